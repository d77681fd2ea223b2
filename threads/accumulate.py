"""Putting an assistant message together from its stream of events (Anthropic: Streaming Messages)."""

from collections.abc import Set
from typing import Any

import msgspec

from kit.json import NOT_JSON


class StreamOutOfOrder(ValueError):
    """The provider's events do not make a message."""


class MessageAccumulator:
    """Feed events, get the message. Keeps tool_use ids unique in the thread by renaming repeated ones."""

    def __init__(self, used_tool_ids: Set[str]) -> None:
        self._used = set(used_tool_ids)
        self._blocks: dict[int, dict[str, Any]] = {}
        self._json: dict[int, list[str]] = {}
        self._text: dict[tuple[int, str], list[str]] = {}
        self.id: str | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.stop_sequence: str | None = None
        self.complete = False

    def feed(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Take an event in; returns it as it should be shown, or None if it is not for the client."""
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start":
            return self._start(event)
        if kind == "message_start":
            message = event.get("message") or {}
            self.id, self.model = message.get("id"), message.get("model")
        elif kind == "message_delta":
            delta = event.get("delta") or {}
            self.stop_reason = delta.get("stop_reason")
            self.stop_sequence = delta.get("stop_sequence")
        elif kind == "message_stop":
            self.complete = True
        elif kind == "ping":
            return None
        return event

    def content(self) -> list[dict[str, Any]]:
        """The finished content blocks. Raises StreamOutOfOrder if a tool's arguments are not JSON."""
        return [self._finished(index, block) for index, block in sorted(self._blocks.items())]

    def delivered(self) -> list[dict[str, Any]]:
        """The text so far, of an answer that will not be finished: what can stand in a conversation without
        the rest."""
        texts = ["".join(pieces) for (_, name), pieces in sorted(self._text.items()) if name == "text"]
        return [{"type": "text", "text": text} for text in texts if text.strip()]

    def _start(self, event: dict[str, Any]) -> dict[str, Any]:
        index, block = event.get("index"), event.get("content_block")
        if not isinstance(index, int) or not isinstance(block, dict):
            raise StreamOutOfOrder("content_block_start without an index or a block")
        block = dict(block)
        if block.get("type") in {"tool_use", "server_tool_use"}:
            block["id"] = self._unique(str(block.get("id")))
            event = {**event, "content_block": block}
        self._blocks[index] = block
        return event

    def _unique(self, tool_id: str) -> str:
        candidate, number = tool_id, 2
        while candidate in self._used:
            candidate, number = f"{tool_id}_{number}", number + 1
        self._used.add(candidate)
        return candidate

    def _delta(self, event: dict[str, Any]) -> dict[str, Any]:
        index, delta = event.get("index"), event.get("delta")
        if not isinstance(index, int) or index not in self._blocks or not isinstance(delta, dict):
            raise StreamOutOfOrder("content_block_delta without its block")
        kind = delta.get("type")
        if kind == "text_delta":
            self._text.setdefault((index, "text"), []).append(delta.get("text", ""))
        elif kind == "input_json_delta":
            self._json.setdefault(index, []).append(delta.get("partial_json", ""))
        elif kind == "thinking_delta":
            self._text.setdefault((index, "thinking"), []).append(delta.get("thinking", ""))
        elif kind == "signature_delta":
            self._text.setdefault((index, "signature"), []).append(delta.get("signature", ""))
        elif kind == "citations_delta":
            citations = self._blocks[index].get("citations") or []
            self._blocks[index]["citations"] = [*citations, delta.get("citation")]
        return event

    def _finished(self, index: int, block: dict[str, Any]) -> dict[str, Any]:
        finished = dict(block)
        for (at, name), pieces in self._text.items():
            if at == index:
                finished[name] = finished.get(name, "") + "".join(pieces)
        if index in self._json:
            text = "".join(self._json[index])
            try:
                finished["input"] = msgspec.json.decode(text) if text.strip() else {}
            except NOT_JSON:
                raise StreamOutOfOrder("a tool call's arguments are not JSON") from None
        return finished
