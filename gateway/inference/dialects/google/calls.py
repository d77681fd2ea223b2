"""Function calls: ids where Google sent none, and which call a result answers."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.inference.dialects.google.reading import own
from gateway.inference.dialects.neutral import Message, ToolUse
from kit.json import NOT_JSON

NO_ID = {"functionCall": {"id": None}}
"""Marks a call whose id was invented here."""


class CallIds:
    """Gives each call its id and finds the call that a result without an id answers.

    ``seed`` names the answer or request, so that ids are the same every time and differ between answers.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0
        self._unanswered: list[tuple[str, str]] = []

    def of_call(self, name: str, given: str | None) -> str:
        tool_id = given or self._invented(name)
        self._unanswered.append((tool_id, name))
        return tool_id

    def of_result(self, name: str, given: str | None) -> str:
        for number, (tool_id, called) in enumerate(self._unanswered):
            if tool_id == given or (not given and called == name):
                del self._unanswered[number]
                return tool_id
        return given or self._invented(name)

    def _invented(self, name: str) -> str:
        self._count += 1
        text = f"{self._seed}\n{self._count}\n{name}".encode("utf-8", "replace")
        return "call_" + base64.b32encode(hashlib.sha256(text).digest()).decode().lower()[:24]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the history: ``bare`` if its id was invented here and Google never saw it."""

    name: str
    order: int
    bare: bool


def calls_of(messages: Iterable[Message]) -> dict[str, Call]:
    """The calls by their ids."""
    uses = [block for message in messages for block in message.content if isinstance(block, ToolUse)]
    return {
        use.id: Call(use.name, order, own(use.extra).get("functionCall", {}).get("id", "") is None)
        for order, use in enumerate(uses)
    }


def arguments_of(use: ToolUse) -> dict[str, Any]:
    """The arguments as an object; text that is none (a free-form call, a model's malformed one) as its
    ``input``."""
    if not use.custom:
        if not use.arguments.strip():
            return {}
        try:
            found = msgspec.json.decode(use.arguments)
        except NOT_JSON:
            found = None
        if isinstance(found, dict):
            return found
    return {"input": use.arguments}
