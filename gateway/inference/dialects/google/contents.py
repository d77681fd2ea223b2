"""Messages and Google's ``contents``."""

from typing import Any

from gateway.inference.dialects.google.blocks import model_parts, plain_parts
from gateway.inference.dialects.google.calls import Call, CallIds, calls_of
from gateway.inference.dialects.google.drops import Drops
from gateway.inference.dialects.google.model_names import is_third
from gateway.inference.dialects.google.parts import decode_part
from gateway.inference.dialects.google.reading import Fields, extra, invalid, merged, own
from gateway.inference.dialects.google.results import encode_result
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Request,
    Role,
    ToolResult,
)

UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""For calls that another model made: ``skip_thought_signature_validator``, which the guide to thought
signatures names for this, as base64 since the field holds bytes."""
OWN_CONTENT = "_ownContent"
"""Marks a message that is not to be joined with the one before it."""
_ROLES: dict[str | None, Role] = {
    "user": "user", "model": "assistant", "function": "user", "tool": "user", None: "user",
}  # fmt: skip


def decode_contents(values: list[Any], path: str) -> list[Message]:
    """Raises InvalidRequest."""
    ids = CallIds("request")
    messages: list[Message] = []
    for number, value in enumerate(values):
        fields = Fields(value, f"{path}[{number}]")
        written = fields.text("role")
        if written not in _ROLES:
            raise invalid(fields.path("role"), "user or model")
        role = _ROLES[written]
        content: list[Block] = []
        for at, part in enumerate(fields.items("parts")):
            content += decode_part(part, f"{fields.path('parts')}[{at}]", ids)
        kept = fields.rest()
        if written not in {"user", "model"}:
            kept = {**kept, "role": written}
        if messages and messages[-1].role == role:
            kept = {**kept, OWN_CONTENT: True}
        messages.append(Message(role=role, content=content, extra=extra(kept)))
    return messages


def encode_contents(request: Request, drops: Drops) -> list[dict[str, Any]]:
    """Raises Unsupported, or InvalidRequest for the result of a call that nobody made."""
    writer = _Writer(calls_of(request.messages), drops)
    for number, message in enumerate(request.messages):
        writer.add(message, f"messages[{number}]")
    contents = writer.contents
    if is_third(drops.target.model):
        _sign_first_calls(contents)
    return contents


class _Writer:
    """Appends contents; tool results of one turn go into one content, in the order of their calls."""

    def __init__(self, calls: dict[str, Call], drops: Drops) -> None:
        self.contents: list[dict[str, Any]] = []
        self._calls = calls
        self._drops = drops
        self._results: list[tuple[int, dict[str, Any]]] | None = None
        self._parts: list[dict[str, Any]] = []
        """The results of this turn and the order of their calls, while nothing of the model has followed."""

    def add(self, message: Message, place: str) -> None:
        self._drops.foreign(message.extra, place)
        if message.name is not None:
            self._drops.add(f"{place}.name")
        if message.role == "assistant":
            self._results = None
            self._append("model", model_parts(message.content, place, self._drops), message)
            return
        others: list[dict[str, Any]] = []
        results: list[tuple[int, dict[str, Any]]] = []
        for at, block in enumerate(message.content):
            spot = f"{place}.content[{at}]"
            if isinstance(block, ToolResult):
                call = self._calls.get(block.tool_use_id)
                result, media = encode_result(block, call, spot, self._drops)
                results.append((call.order if call is not None else 0, result))
                others += media
            else:
                others += plain_parts(block, spot, self._drops, as_system=message.role == "system")
        if results:
            self._add_results(results, message)
        self._append("user", others, message if not results else None)

    def _add_results(self, results: list[tuple[int, dict[str, Any]]], message: Message) -> None:
        if self._results is None or OWN_CONTENT in own(message.extra):
            self._results = []
            self._append("user", [part for _, part in results], message)
            self._parts = self.contents[-1]["parts"]
        self._results += results
        self._results.sort(key=lambda ordered: ordered[0])
        self._parts[:] = [part for _, part in self._results]

    def _append(self, role: str, parts: list[dict[str, Any]], message: Message | None) -> None:
        if not parts:
            return
        kept = own(message.extra) if message is not None else {}
        joins = role == "model" and kept.pop(OWN_CONTENT, None) is None
        kept.pop(OWN_CONTENT, None)
        if joins and self.contents and self.contents[-1].get("role") == "model":
            self.contents[-1]["parts"] += parts
            return
        self.contents.append(merged({"role": role, "parts": parts}, kept))


def _sign_first_calls(contents: list[dict[str, Any]]) -> None:
    """The first call of every step of the model must have a signature; only Google's own have."""
    signed = False
    for content in contents:
        if content.get("role") != "model":
            signed = False
            continue
        for part in content["parts"]:
            if "functionCall" in part and not signed:
                part.setdefault("thoughtSignature", UNSIGNED)
                signed = True
