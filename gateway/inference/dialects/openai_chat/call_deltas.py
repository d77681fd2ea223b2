"""Tool calls in a stream, as the providers cut them.

OpenAI sends a call's id and name first and its arguments in pieces, told apart by ``index``. Others leave the
index out, give every call the index 0, repeat id and name with each piece, or send a call whole.
"""

from typing import Any

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
)
from gateway.inference.dialects.neutral import ToolUse
from gateway.inference.dialects.openai_chat.calls import decode_answered_call
from gateway.inference.dialects.openai_chat.extras import extra

_MAX_HELD = 1024 * 1024


class _Call:
    """A call that has begun; it waits for its name before its block starts."""

    def __init__(self, block: ToolUse) -> None:
        self.block = block
        self.block_index: int | None = None
        self.held = ""


class CallReader:
    """The calls of one choice. ``read`` and ``finish`` take and give the number of its blocks so far."""

    def __init__(self, choice: int, seed: str) -> None:
        self._choice = choice
        self._seed = seed
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}

    @property
    def any(self) -> bool:
        return bool(self._calls)

    def read(self, piece: dict[str, Any], blocks: int, events: list[Event], *, legacy: bool) -> int:
        seen = decode_answered_call(piece, "")
        call = self._known(piece, seen)
        if call is None:
            call = self._begin(piece, seen, legacy=legacy)
        elif not call.block.name:
            call.block.name = seen.name
        if call.block_index is None:
            call.held += seen.arguments
            if not call.block.name and len(call.held) < _MAX_HELD:
                return blocks
            return self._start(call, blocks, events)
        if seen.arguments:
            events.append(ArgumentsDelta(index=call.block_index, text=seen.arguments, choice=self._choice))
        return blocks

    def finish(self, blocks: int, events: list[Event]) -> int:
        for call in self._calls:
            if call.block_index is None:
                blocks = self._start(call, blocks, events)
        for call in self._calls:
            assert call.block_index is not None
            events.append(BlockStopped(index=call.block_index, choice=self._choice))
        return blocks

    def _known(self, piece: dict[str, Any], seen: ToolUse) -> _Call | None:
        """The call that a piece continues: that of its index, unless another id with a name begins a call
        under the same index; without an index that of its id; without either the last one."""
        index = _number(piece.get("index"))
        begins = bool(seen.id and seen.name)
        if index is not None:
            call = self._by_index.get(index)
            return None if call is not None and begins and call.block.id != seen.id else call
        if seen.id:
            return next((call for call in self._calls if call.block.id == seen.id), None)
        if seen.name and self._calls and self._calls[-1].block.name:
            return None
        return self._calls[-1] if self._calls else None

    def _begin(self, piece: dict[str, Any], seen: ToolUse, *, legacy: bool) -> _Call:
        fields = {
            name: value
            for name, value in piece.items()
            if name not in {"index", "id", "type", "function", "custom"} and value is not None
        }
        block = ToolUse(
            id=seen.id or f"{self._seed}_{len(self._calls)}",
            name=seen.name,
            arguments="",
            signature=seen.signature,
            custom=seen.custom,
            extra=extra(fields, legacy=legacy),
        )
        call = _Call(block)
        self._calls.append(call)
        index = _number(piece.get("index"))
        if index is not None:
            self._by_index[index] = call
        return call

    def _start(self, call: _Call, blocks: int, events: list[Event]) -> int:
        call.block_index = blocks
        events.append(BlockStarted(index=blocks, block=call.block, choice=self._choice))
        if call.held:
            events.append(ArgumentsDelta(index=blocks, text=call.held, choice=self._choice))
            call.held = ""
        return blocks + 1


def _number(index: Any) -> int | None:
    return index if isinstance(index, int) and not isinstance(index, bool) else None
