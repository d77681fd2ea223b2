"""Answering with server-sent events, and where a reader wants them to go on."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import cast

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Send

from kit.errors import InvalidRequest

MAX_ID = 2**53
SSE_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class EventStream(StreamingResponse):
    """Frames as they come. When the reader has gone, the source is closed at once."""

    def __init__(self, frames: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(frames, media_type="text/event-stream", headers={**SSE_HEADERS, **headers})

    async def stream_response(self, send: Send) -> None:
        async with aclosing(cast("AsyncGenerator[bytes, None]", self.body_iterator)):
            await super().stream_response(send)


def starting_point(request: Request) -> int | None:
    """The id of the last event that the reader has: the first there is of ``Last-Event-ID``,
    ``?starting_after=`` and ``?after=`` (a browser that connects again has the old query and a new header).
    None if there is none. Raises InvalidRequest for any that is no id."""
    given = {
        "last-event-id": request.headers.get("last-event-id") or None,  # empty is how browsers say none
        "starting_after": request.query_params.get("starting_after"),
        "after": request.query_params.get("after"),
    }
    ids = [_event_id(name, text) for name, text in given.items() if text is not None]
    return ids[0] if ids else None


def _event_id(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID):
        raise InvalidRequest(
            f"{name}: expected the id of an event (a whole number from 0 to {MAX_ID}), not {text[:40]!r}",
            param=name,
        )
    return int(text)
