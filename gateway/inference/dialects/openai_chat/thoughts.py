"""What models thought, in the fields that providers invented for it.

``reasoning_content`` (DeepSeek, Z.ai, Moonshot, vLLM) and ``reasoning`` (OpenRouter, Groq, Cerebras) are
plain text; ``reasoning_details`` (OpenRouter) holds the pieces with signatures and encrypted ones; Mistral
and Cohere have content parts of type ``thinking``. Thoughts of another dialect's maker reach clients in
``reasoning_content``, with what their maker needs back in ``reasoning_details`` (see ``carried``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.inference.dialects.carried import Carried, unwrap, wrap
from gateway.inference.dialects.neutral import HiddenThinking, Thinking
from gateway.inference.dialects.openai_chat.extras import DIALECT, extra, form, is_own_origin, own_fields
from gateway.inference.dialects.openai_chat.reading import Fields, wrong

Thought = Thinking | HiddenThinking

TEXT_FIELDS = ("reasoning_content", "reasoning")
DETAILS = "reasoning_details"
_SEPARATORS = ("", "\n\n")


def decode_thoughts(
    message: Mapping[str, Any], origin: str
) -> tuple[list[Thought], dict[str, Any], set[str]]:
    """The thoughts of a message, how they were spelled, and the fields that this explains."""
    texts = {name: message[name] for name in TEXT_FIELDS if isinstance(message.get(name), str)}
    details = message.get(DETAILS)
    thoughts: list[Thought] = []
    if isinstance(details, list) and details and all(isinstance(detail, dict) for detail in details):
        thoughts = [decode_detail(detail, origin) for detail in details]
    if not thoughts:
        name = next((name for name in TEXT_FIELDS if texts.get(name)), None)
        if name is None:
            return [], {"thoughts": {"fields": list(texts)}} if texts else {}, set(texts)
        same = [other for other in texts if texts[other] == texts[name]]
        return [Thinking(text=texts[name], origin=origin)], {"thoughts": {"fields": same}}, set(same)
    spelling: dict[str, Any] = {"fields": [], "details": True}
    for separator in _SEPARATORS:
        whole = _joined(thoughts, separator)
        named = [name for name in texts if texts[name] == whole]
        if named:
            spelling |= {"fields": named, "separator": separator}
            break
    return thoughts, {"thoughts": spelling}, {DETAILS, *spelling["fields"]}


def decode_detail(detail: Mapping[str, Any], origin: str) -> Thought:
    """One of ``reasoning_details``."""
    rest = dict(detail)
    kind = rest.get("type")
    if kind == "reasoning.encrypted" and isinstance(rest.get("data"), str):
        data, item_id = rest.pop("data"), rest.get("id")
        carried = unwrap(data)
        if carried is not None:
            return HiddenThinking(data=carried.data, origin=carried.origin, item_id=carried.item_id)
        known = item_id if isinstance(item_id, str) else None
        return HiddenThinking(data=data, origin=origin, item_id=known, extra=extra(rest))
    name = "summary" if kind == "reasoning.summary" else "text"
    text = rest.pop(name) if isinstance(rest.get(name), str) else ""
    signed = rest.get("signature")
    signature: str | None = rest.pop("signature") if isinstance(signed, str) and signed else None
    carried = unwrap(signature) if signature else None
    if carried is not None:
        return Thinking(text=text, origin=carried.origin, signature=carried.data or None)
    return Thinking(text=text, origin=origin, signature=signature, extra=extra(rest))


def encode_thoughts(
    thoughts: Sequence[Thought], spelling: Mapping[str, Any] | None, field: str | None
) -> dict[str, Any]:
    """The fields of a message that carry thoughts; ``field`` is where plain text goes unless ``spelling``
    knows better."""
    spelling = spelling or {}
    if not thoughts:
        return dict.fromkeys(spelling.get("fields", ()), "")
    names = spelling.get("fields", [field] if field else [])
    text = _joined(thoughts, spelling.get("separator", "\n\n"))
    fields: dict[str, Any] = {name: text for name in names if text or spelling}
    if spelling.get("details") or any(_needs_details(thought) for thought in thoughts):
        fields[DETAILS] = [encode_detail(thought, index) for index, thought in enumerate(thoughts)]
    return fields


def _needs_details(thought: Thought) -> bool:
    """Whether plain text would lose something of a thought, be it only who its maker is."""
    if isinstance(thought, HiddenThinking) or thought.signature is not None or thought.extra is not None:
        return True
    return bool(thought.text) and not is_own_origin(thought.origin)


def encode_detail(thought: Thought, index: int) -> dict[str, Any]:
    """One of ``reasoning_details``; what another dialect made is wrapped."""
    own = is_own_origin(thought.origin)
    rest = own_fields(thought.extra) if own else {}
    if isinstance(thought, HiddenThinking):
        data = thought.data if own else wrap(Carried(thought.origin, thought.data, thought.item_id))
        named = {"id": thought.item_id} if own and thought.item_id is not None else {}
        return {"type": "reasoning.encrypted", "data": data, "index": index, **named, **rest}
    kind = rest.get("type", "reasoning.text")
    name = "summary" if kind == "reasoning.summary" else "text"
    detail: dict[str, Any] = {
        "type": kind,
        name: thought.text,
        **({} if "type" in rest else {"index": index}),
    }
    if not own:
        detail["signature"] = wrap(Carried(thought.origin, thought.signature or ""))
    elif thought.signature is not None:
        detail["signature"] = thought.signature
    return detail | rest


def decode_thinking_part(part: Fields, origin: str) -> Thinking:
    """Mistral has a list of text chunks in it, Cohere a text."""
    thinking = part.take("thinking")
    if isinstance(thinking, str):
        return Thinking(text=thinking, origin=origin, extra=extra(part.rest(), part="text"))
    if not isinstance(thinking, list):
        raise wrong(part.at("thinking"), "a text or a list of text chunks")
    texts = [chunk.get("text") for chunk in thinking if isinstance(chunk, dict)]
    text = "".join(piece for piece in texts if isinstance(piece, str))
    plain = [{"type": "text", "text": piece} for piece in texts] == thinking
    pieces = [len(piece) for piece in texts if isinstance(piece, str)] if plain else thinking
    return Thinking(text=text, origin=origin, extra=extra(part.rest(), part="chunks", pieces=pieces))


def encode_thinking_part(thought: Thinking) -> dict[str, Any]:
    """Chunks as they were (by their lengths, or themselves where they were not only text)."""
    if form(thought.extra, "part") == "text":
        return {"type": "thinking", "thinking": thought.text}
    pieces = form(thought.extra, "pieces")
    if pieces is None:
        pieces = [len(thought.text)]
    if not all(isinstance(piece, int) for piece in pieces):
        return {"type": "thinking", "thinking": pieces}
    chunks, start = [], 0
    for length in pieces:
        chunks.append({"type": "text", "text": thought.text[start : start + length]})
        start += length
    return {"type": "thinking", "thinking": chunks}


def is_part(thought: Thought) -> bool:
    """Whether a thought stood among the content's parts."""
    return form(thought.extra, "part") is not None


def accepted(thought: Thought, target_origin: str) -> bool:
    """Whether the target's provider may see this thought: its own, or one whose maker is unknown because its
    client brought it in plain ``reasoning_content``."""
    return thought.origin in {target_origin, DIALECT}


def _joined(thoughts: Sequence[Thought], separator: str) -> str:
    return separator.join(thought.text for thought in thoughts if isinstance(thought, Thinking))
