"""The stream of a stored response: its turn's events, as Responses events.

The numbers of the events follow from the turn's log alone, so a stream can be taken up again from any
process. Where a process died in the middle of an answer, what it had shown of it ends as incomplete, and
the answer begins anew as further items; the numbers jump, as the turn's do.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec

from gateway.inference.dialects.anthropic.codec import AnthropicCodec
from gateway.inference.dialects.events import (
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import Extra, Text
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec
from gateway.inference.dialects.openai_responses.reading import NAME
from gateway.responses.models import StoredResponse
from gateway.responses.rendering import request_of
from threads.event_log import IDS_PER_ATTEMPT

_RESPONSES, _ANTHROPIC = OpenAIResponsesCodec(), AnthropicCodec()
_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)
_ENDINGS = {"completed": "response.completed", "failed": "response.failed"}
"""The last event, by the response's status; else it is ``response.incomplete``, of a cancelled one too: there
is no event of its own for that."""


class ResponseStream:
    """Translates the frames of one turn, in their order."""

    def __init__(self, row: StoredResponse, model: str) -> None:
        self._encoder = _RESPONSES.stream_encoder(request_of(row))
        self._decoder = _ANTHROPIC.stream_decoder(_ANTHROPIC.name)
        self._started = Started(id=row.id, model=model, created_s=row.created_at // 1000)
        self._attempt = 0
        self._first = 0
        """The index that the attempt's first block has in the stream."""
        self._open: dict[int, None] = {}
        self._next = 0
        self._cut_off = False
        self._anew = False

    def begin(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**event, "response": response} for event in self._write([self._started])]

    def feed(self, frame: bytes) -> list[dict[str, Any]]:
        found = _ID.search(frame)
        if found is None:  # a ping
            return []
        attempt = (int(found[1]) - 1) // IDS_PER_ATTEMPT
        written: list[dict[str, Any]] = []
        if attempt != self._attempt:
            written = self._take_over(attempt)
        return written + self._write(self._placed(self._decoder.feed(frame)))

    def end(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        """What was open is closed, then the response as it ended."""
        finished: list[Event] = [ChoiceFinished(stop="end_turn"), Finished()]
        *written, last = self._write([*map(_stop, self._open), *finished])
        if response["status"] == "failed":
            error = {
                "code": response["error"]["code"],
                "message": response["error"]["message"],
                "param": None,
            }
            written.append({"type": "error", **error, "sequence_number": last["sequence_number"]})
            last["sequence_number"] += 1
        kind = _ENDINGS.get(response["status"], "response.incomplete")
        return [*written, {**last, "type": kind, "response": response}]

    def _take_over(self, attempt: int) -> list[dict[str, Any]]:
        self._decoder = _ANTHROPIC.stream_decoder(_ANTHROPIC.name)
        stopped: list[Event] = [_stop(index) for index in self._open]
        written = self._write(stopped)
        self._attempt, self._first = attempt, self._next
        self._cut_off = self._anew = self._next > 0
        self._open.clear()
        return written

    def _placed(self, events: list[Event]) -> Iterator[Event]:
        """The events of blocks, with their indexes in the stream; how it ends is said by the turn's row."""
        for event in events:
            if isinstance(event, Started | ChoiceFinished | Finished | Failed):
                continue
            event.index += self._first
            if isinstance(event, BlockStarted):
                self._open[event.index] = None
                self._next = max(self._next, event.index + 1)
                if self._anew and isinstance(event.block, Text):  # not a part of the message that was cut off
                    event.block.extra = Extra(dialect=NAME, fields={"_item": {}})
                self._anew = False
            elif isinstance(event, BlockStopped):
                self._open.pop(event.index, None)
            yield event

    def _write(self, events: Any) -> list[dict[str, Any]]:
        written = []
        for event in events:
            for frame in self._encoder.feed(event).split(b"\n\n"):
                if frame:
                    written.append(self._numbered(msgspec.json.decode(frame.partition(b"\ndata: ")[2])))
        return written

    def _numbered(self, event: dict[str, Any]) -> dict[str, Any]:
        event["sequence_number"] += self._attempt * IDS_PER_ATTEMPT
        if event["type"] == "response.output_item.added":
            self._cut_off = False
        elif self._cut_off and event["type"] == "response.output_item.done" and "status" in event["item"]:
            event["item"]["status"] = "incomplete"
        return event


def _stop(index: int) -> Event:
    return BlockStopped(index=index)


async def response_events(
    row: StoredResponse,
    begun: dict[str, Any],
    frames: AsyncIterator[bytes],
    ended: Callable[[], Awaitable[dict[str, Any]]],
    *,
    after: int = -1,
) -> AsyncIterator[bytes]:
    """Server-sent events with numbers above ``after``. ``begun`` is the response in progress; ``ended`` reads
    it once the frames are over."""
    stream = ResponseStream(row, begun["model"])
    for event in stream.begin(begun):
        if event["sequence_number"] > after:
            yield _encoded(event)
    async for frame in frames:
        events = stream.feed(frame)
        if not events and frame.startswith(b"event: ping"):
            yield b": ping\n\n"
        for event in events:
            if event["sequence_number"] > after:
                yield _encoded(event)
    for event in stream.end(await ended()):
        if event["sequence_number"] > after:
            yield _encoded(event)


def _encoded(event: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event))
