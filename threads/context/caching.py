"""Where a provider's prompt cache is told to remember (Anthropic ``cache_control``).

A prefix is read from the cache up to a breakpoint that an earlier request wrote, if it lies at most 20 blocks
before one of this request. So the ends of this request and of the one before it are marked, which is found
again however many calls lie between; and the ends of what changes least, the system's words and the tools.
Source: Anthropic, Prompt caching.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MOST = 4
"""Breakpoints in a request."""
_TOOLS, _SYSTEM, _MESSAGES = 0, 1, 2
"""Their order in the prompt."""


def with_breakpoints(body: Mapping[str, Any], *, ours: bool) -> dict[str, Any]:
    """The request with at most four breakpoints: its caller's own first, the newest of them, then ours."""
    marking = _Marking(body)
    if ours:
        messages = marking.messages
        if body.get("cache_control") is None:
            marking.mark_message(len(messages) - 1)
        if len(messages) > 2 and messages[-1]["role"] == "user":
            marking.mark_message(len(messages) - 3)
        marking.mark_field("system", _SYSTEM)
        marking.mark_field("tools", _TOOLS)
    return marking.body


class _Marking:
    """``body`` is a copy; what is not marked is the caller's own."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = dict(body)
        self.messages: list[dict[str, Any]] = list(body["messages"])
        self.body["messages"] = self.messages
        fixed = [body.get("cache_control"), *_marks(body.get("tools")), *_marks(body.get("system"))]
        self._left = MOST - sum(mark is not None for mark in fixed)
        self._hours = [_SYSTEM] if any(map(_lasts_an_hour, fixed)) else []
        self._keep_newest()

    def _keep_newest(self) -> None:
        """Unmark what earlier messages have beyond four."""
        for index in range(len(self.messages) - 1, -1, -1):
            content = self.messages[index]["content"]
            for position in range(len(content) - 1, -1, -1):
                mark = content[position].get("cache_control")
                if mark is None:
                    continue
                if self._left > 0:
                    self._left -= 1
                    if _lasts_an_hour(mark):
                        self._hours.append(_MESSAGES + index)
                    continue
                block = {name: value for name, value in content[position].items() if name != "cache_control"}
                content = [*content[:position], block, *content[position + 1 :]]
                self.messages[index] = {**self.messages[index], "content": content}

    def mark_message(self, index: int) -> None:
        """Mark the last block of a message."""
        if self.messages and self._left > 0:
            message = self.messages[index]
            marked = self._marked(message["content"], _MESSAGES + index)
            self.messages[index] = {**message, "content": marked}

    def mark_field(self, name: str, place: int) -> None:
        """Mark the last entry of the system's words or the tools."""
        value = self.body.get(name)
        if isinstance(value, str) and value.strip():
            value = [{"type": "text", "text": value}]
        if self._left > 0 and isinstance(value, list) and value and isinstance(value[-1], dict):
            self.body[name] = self._marked(value, place)

    def _marked(self, entries: Sequence[dict[str, Any]], place: int) -> list[dict[str, Any]]:
        """Breakpoints that last longer must come first."""
        last = entries[-1]
        if "cache_control" in last:
            return list(entries)
        self._left -= 1
        longer = any(hour > place for hour in self._hours)
        mark = {"type": "ephemeral", "ttl": "1h"} if longer else {"type": "ephemeral"}
        return [*entries[:-1], {**last, "cache_control": mark}]


def _marks(entries: Any) -> list[Any]:
    if not isinstance(entries, list):
        return []
    return [entry.get("cache_control") for entry in entries if isinstance(entry, dict)]


def _lasts_an_hour(mark: Any) -> bool:
    return isinstance(mark, Mapping) and mark.get("ttl") == "1h"
