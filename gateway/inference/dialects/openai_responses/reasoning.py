"""Reasoning items and the thinking that they stand for.

An item of OpenAI's becomes one Thinking (or a HiddenThinking where nothing of it can be read). Its id, its
encrypted content and the lengths of its parts are the Thinking's signature, so that the item can be made
again from the text and the signature alone, after any way through another dialect.

Thoughts of another maker become an item whose ``encrypted_content`` is ``carried.wrap``; an ``item_id`` in
there (empty if it had none) says that it was a HiddenThinking.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.inference.dialects.carried import Carried, unwrap, wrap
from gateway.inference.dialects.neutral import HiddenThinking, Thinking
from gateway.inference.dialects.openai_responses.reading import NAME, extra, own

JOINT = "\n\n"
"""Stands between the parts of an item in a Thinking's text."""

Kind = Literal["summary", "content"]


class _Seal(msgspec.Struct, array_like=True):
    item_id: str | None
    encrypted: str | None
    parts: list[tuple[Kind, int]]


def decode_replayed(item: Mapping[str, Any]) -> Thinking | HiddenThinking:
    """A thought that a client sends back, of whichever maker. Raises ValueError if the item is malformed."""
    thought = decode_reasoning(item, NAME)
    encrypted = item.get("encrypted_content")
    carried = unwrap(encrypted) if encrypted else None
    if carried is None:
        return thought
    if carried.item_id is not None:
        return HiddenThinking(data=carried.data, origin=carried.origin, item_id=carried.item_id or None)
    text = thought.text if isinstance(thought, Thinking) else ""
    return Thinking(text=text, origin=carried.origin, signature=carried.data or None)


def decode_reasoning(item: Mapping[str, Any], origin: str) -> Thinking | HiddenThinking:
    """Raises ValueError if the item is malformed."""
    parts = parts_of(item)
    item_id, encrypted = item.get("id"), item.get("encrypted_content")
    for name, value in (("id", item_id), ("encrypted_content", encrypted)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name}: expected a text")
    text = JOINT.join(part for _, part in parts)
    kept = {name: value for name, value in item.items() if name not in _READ or value in (None, [])}
    if not parts:
        kept.pop("summary", None)
        return HiddenThinking(data=encrypted or "", origin=origin, item_id=item_id, extra=extra(kept))
    signature = seal(item_id, encrypted, [(kind, len(part)) for kind, part in parts])
    return Thinking(text=text, origin=origin, signature=signature, extra=extra(kept))


def _kept(block: Thinking | HiddenThinking) -> dict[str, Any]:
    return {name: value for name, value in own(block.extra).items() if not name.startswith("_")}


_READ = {"type", "id", "summary", "content", "encrypted_content"}


def seal(item_id: str | None, encrypted: str | None, lengths: list[tuple[Kind, int]]) -> str:
    """The signature of an item's Thinking; ``lengths`` of its parts in characters."""
    return msgspec.json.encode(_Seal(item_id, encrypted, lengths)).decode()


def encode_reasoning(block: Thinking | HiddenThinking, origin: str | None = None) -> dict[str, Any] | None:
    """The item of a thought that this dialect's models had (or those marked with ``origin``); None if it
    cannot be made again."""
    if block.origin not in (NAME, origin):
        return None
    if isinstance(block, HiddenThinking):
        item: dict[str, Any] = {"type": "reasoning", "summary": []}
        if block.item_id:
            item["id"] = block.item_id
        if block.data:
            item["encrypted_content"] = block.data
        return item | _kept(block)
    sealed = _unseal(block.signature)
    if sealed is None:
        return None
    item = {"type": "reasoning", "summary": []}
    for kind, text in _split(block.text, sealed):
        item.setdefault(kind, []).append({"type": _TYPES[kind], "text": text})
    if sealed.item_id:
        item["id"] = sealed.item_id
    if sealed.encrypted:
        item["encrypted_content"] = sealed.encrypted
    return _kept(block) | item


def wrapped(block: Thinking | HiddenThinking) -> str:
    """The ``encrypted_content`` of a thought of another maker."""
    if isinstance(block, HiddenThinking):
        return wrap(Carried(block.origin, block.data, block.item_id or ""))
    return wrap(Carried(block.origin, block.signature or "", None))


_TYPES = {"summary": "summary_text", "content": "reasoning_text"}


def parts_of(item: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    """Raises ValueError."""
    found: list[tuple[Kind, str]] = []
    for kind in ("summary", "content"):
        listed = item.get(kind)
        if listed is not None and not isinstance(listed, list):
            raise ValueError(f"{kind}: expected a list")
        for number, part in enumerate(listed or ()):
            text = part.get("text") if isinstance(part, dict) else None
            if not isinstance(text, str):
                raise ValueError(f"{kind}[{number}].text: expected a text")
            found.append(("summary" if kind == "summary" else "content", text))
    return found


def _unseal(signature: str | None) -> _Seal | None:
    try:
        return msgspec.json.decode(signature or "", type=_Seal)
    except (msgspec.MsgspecError, ValueError):
        return None


def _split(text: str, sealed: _Seal) -> list[tuple[Kind, str]]:
    """The parts of the text; all of it as one if somebody has changed it."""
    parts: list[tuple[Kind, str]] = []
    start = 0
    for number, (kind, length) in enumerate(sealed.parts):
        if number:
            if text[start : start + len(JOINT)] != JOINT:
                return [("summary", text)]
            start += len(JOINT)
        parts.append((kind, text[start : start + length]))
        start += length
    return parts if start == len(text) else [("summary", text)]
