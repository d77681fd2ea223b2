"""The stream of an answer with its calls' arguments as the tools declared them.

Arguments that have to be changed can be changed only when they are whole: those come in one piece, at the
end of their block. All others pass as they come.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.inference.tool_schemas.restoration import Restoration
from kit.json import NOT_JSON


class RestoredStream:
    """Feed the events of a Messages stream, get those to show."""

    def __init__(self, restorations: Mapping[str, Restoration]) -> None:
        self._restorations = restorations
        self._pieces: dict[Any, list[str]] = {}
        self._open: dict[Any, Restoration] = {}

    def feed(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        kind, index = event.get("type"), event.get("index")
        if kind == "content_block_start":
            event = self._start(event, index)
        elif index in self._open:
            delta = event.get("delta")
            if isinstance(delta, dict) and delta.get("type") == "input_json_delta":
                self._pieces[index].append(str(delta.get("partial_json") or ""))
                return
            if kind == "content_block_stop":
                yield from self._arguments(index)
        yield event

    def _start(self, event: dict[str, Any], index: Any) -> dict[str, Any]:
        block = event.get("content_block")
        if not isinstance(block, dict) or block.get("type") != "tool_use":
            return event
        restoration = self._restorations.get(str(block.get("name")))
        if restoration is None:
            return event
        self._open[index], self._pieces[index] = restoration, []
        given = block.get("input")
        if not given or not isinstance(given, dict):
            return event
        return {**event, "content_block": {**block, "input": restoration.restore(given)}}

    def _arguments(self, index: Any) -> Iterator[dict[str, Any]]:
        restoration, text = self._open.pop(index), "".join(self._pieces.pop(index))
        if text:
            delta = {"type": "input_json_delta", "partial_json": _restored(text, restoration)}
            yield {"type": "content_block_delta", "index": index, "delta": delta}


def _restored(text: str, restoration: Restoration) -> str:
    """Text that is no JSON object stays as it is: whoever reads the arguments finds fault with it."""
    try:
        arguments = msgspec.json.decode(text)
    except NOT_JSON:
        return text
    if not isinstance(arguments, dict):
        return text
    return msgspec.json.encode(restoration.restore(arguments)).decode()
