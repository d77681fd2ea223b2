"""Streams of OpenAI Responses (developers.openai.com, API reference: Responses, Streaming events).

Providers of this dialect leave out events; what an item's ``done`` or the final response has beyond what was
streamed is given then.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.inference.dialects.error_types import neutral_type
from gateway.inference.dialects.events import (
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.frames import FrameOverflow, FrameSplitter, data_lines
from gateway.inference.dialects.neutral import ServerBlock
from gateway.inference.dialects.openai_responses.envelope import ending, stop_of
from gateway.inference.dialects.openai_responses.reading import NAME, extra
from gateway.inference.dialects.openai_responses.responses import created_of, kept_fields
from gateway.inference.dialects.openai_responses.stream_items import (
    Blocks,
    CallItem,
    MessageItem,
    ReasoningItem,
    TooManyBlocks,
)
from gateway.inference.dialects.openai_responses.usage import decode_usage
from kit.json import NOT_JSON

_Item = MessageItem | CallItem | ReasoningItem


class ResponsesStreamDecoder:
    def __init__(self, origin: str) -> None:
        self._frames = FrameSplitter()
        self._blocks = Blocks()
        self._origin = origin
        self._open: dict[int, _Item | None] = {}
        """Items that have begun; None for those that come whole when they are done."""
        self._done: set[int] = set()
        self._started = False
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        if self._over:
            return []
        try:
            frames = self._frames.feed(data)
        except FrameOverflow as error:
            return self._fail(Failed(message=f"the provider sent {error}"))
        return [event for frame in frames for event in self._frame(frame)]

    def end(self) -> list[Event]:
        return [] if self._over else self._frame(self._frames.rest())

    def _frame(self, frame: bytes) -> list[Event]:
        events: list[Event] = []
        for line in data_lines(frame):
            try:
                event = msgspec.json.decode(line)
            except NOT_JSON:
                continue
            if not self._over and isinstance(event, dict):
                events += self._see(event)
        return events

    def _see(self, event: dict[str, Any]) -> list[Event]:
        kind = event.get("type")
        if kind == "error" or (kind is None and event.get("error")):
            error = event.get("error")
            return self._error(error if isinstance(error, dict) else event)
        if not isinstance(kind, str) or not kind.startswith("response."):
            return []
        before = self._start(event.get("response"))
        handler = _HANDLERS.get(kind)
        try:
            return before + (handler(self, event) if handler else self._progress(kind, event))
        except TooManyBlocks as error:
            return before + self._fail(Failed(message=str(error)))

    def _start(self, response: Any) -> list[Event]:
        if self._started:
            return []
        self._started = True
        known = response if isinstance(response, dict) else {}
        given_id, model = known.get("id"), known.get("model")
        return [
            Started(
                id=given_id if isinstance(given_id, str) else "",
                model=model if isinstance(model, str) else "",
                created_s=created_of(known),
                extra=extra(kept_fields(known)),
            )
        ]

    def _added(self, event: dict[str, Any]) -> list[Event]:
        place, item = _place(event), event.get("item")
        if not isinstance(item, dict) or place in self._open or place in self._done:
            return []
        self._blocks.count()
        return self._begin(place, item)

    def _begin(self, place: int, item: dict[str, Any]) -> list[Event]:
        kind = item.get("type")
        if kind == "message":
            self._open[place] = MessageItem(self._blocks, item)
        elif kind in ("function_call", "custom_tool_call"):
            call = CallItem(self._blocks, item)
            self._open[place] = call if call.known else None
            return call.begin()
        elif kind == "reasoning":
            self._open[place] = ReasoningItem(self._blocks, item, self._origin)
        else:
            self._open[place] = None
        return []

    def _progress(self, kind: str, event: dict[str, Any]) -> list[Event]:
        """More of an open item; progress of a server's tool says nothing that its whole item does not."""
        place = _place(event)
        before: list[Event] = []
        if place not in self._open and place not in self._done and kind.startswith("response.output_text."):
            before = self._begin(place, {"type": "message"})
        item = self._open.get(place)
        return before + (item.see(kind, event) if item is not None else [])

    def _item_done(self, event: dict[str, Any]) -> list[Event]:
        place, item = _place(event), event.get("item")
        if not isinstance(item, dict) or place in self._done:
            return []
        return self._finish_item(place, item)

    def _finish_item(self, place: int, item: dict[str, Any]) -> list[Event]:
        before = [] if place in self._open else self._begin(place, item)
        reader = self._open.pop(place)
        self._blocks.count()
        self._done.add(place)
        if reader is not None:
            return before + reader.finish(item)
        index = self._blocks.next()
        whole = ServerBlock(dialect=NAME, data=item)
        return [*before, BlockStarted(index=index, block=whole), BlockStopped(index=index)]

    def _completed(self, event: dict[str, Any]) -> list[Event]:
        response = event.get("response")
        if not isinstance(response, dict):
            return []
        events: list[Event] = []
        output = response.get("output")
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if place not in self._done and isinstance(item, dict):
                events += self._finish_item(place, item)
        for reader in self._open.values():
            if reader is not None:
                events += reader.finish({})
        self._over = True
        return events + self._ending(response)

    def _ending(self, response: dict[str, Any]) -> list[Event]:
        refused = self._blocks.refused
        stop = stop_of(response, refused=refused, called=self._blocks.called) or "end_turn"
        names = ("status", "incomplete_details", "error")
        said = tuple(response.get(name) for name in names)
        odd = {} if said == ending(stop, refused=refused) else dict(zip(names, said, strict=True))
        return [
            ChoiceFinished(stop=stop, extra=extra(odd)),
            Finished(usage=decode_usage(response), extra=extra(kept_fields(response))),
        ]

    def _failed(self, event: dict[str, Any]) -> list[Event]:
        response = event.get("response")
        error = response.get("error") if isinstance(response, dict) else None
        return self._error(error if isinstance(error, dict) else {})

    def _error(self, error: dict[str, Any]) -> list[Event]:
        message, code = error.get("message"), error.get("code")
        return self._fail(
            Failed(
                message=message if isinstance(message, str) else "the provider's stream failed",
                type=neutral_type(error.get("type"), code),
                code=code if isinstance(code, str) else None,
            )
        )

    def _fail(self, failed: Failed) -> list[Event]:
        self._over = True
        return [failed]


_HANDLERS: dict[str, Callable[[ResponsesStreamDecoder, dict[str, Any]], list[Event]]] = {
    "response.output_item.added": ResponsesStreamDecoder._added,
    "response.output_item.done": ResponsesStreamDecoder._item_done,
    "response.completed": ResponsesStreamDecoder._completed,
    "response.incomplete": ResponsesStreamDecoder._completed,
    "response.failed": ResponsesStreamDecoder._failed,
}


def _place(event: dict[str, Any]) -> int:
    place = event.get("output_index")
    return place if type(place) is int else 0
