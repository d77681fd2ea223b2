"""One request's way back to its client: whole, streamed, or cut off as the directives ask."""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from starlette.types import Receive, Send

from gateway.sim.conversation import Conversation, Refused
from gateway.sim.directives import Directives
from gateway.sim.made import Made
from gateway.sim.reply import Reply

STALL_MS = 600_000
EVENTS_PER_WRITE = 16
"""How many events go out at once when nothing asks for a pause between them."""
JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"


class Answers(Protocol):
    """A dialect's rendering (the modules ``anthropic_answer`` and ``openai_answer``, and ``translated``)."""

    @property
    def REQUEST_ID_HEADER(self) -> bytes: ...  # noqa: N802 - a constant

    def error(self, refused: Refused, request_id: str) -> bytes: ...
    def stream_error(self) -> bytes: ...
    def model_list(self) -> bytes: ...
    def whole(self, reply: Reply, conversation: Conversation, directives: Directives) -> bytes: ...
    def stream(self, reply: Reply, conversation: Conversation, directives: Directives) -> Iterator[bytes]: ...


class ClientGone(Exception):
    """The client closed its connection."""


class Exchange:
    """One request's way back to its client."""

    def __init__(self, receive: Receive, send: Send, answers: Answers) -> None:
        self._receive = receive
        self._send = send
        self._gone: asyncio.Task[None] | None = None
        self.answers = answers
        self.request_id = "req_sim"

    async def pause(self, milliseconds: int) -> None:
        """Wait. Raises ClientGone as soon as the client has closed the connection."""
        if self._gone is None:
            self._gone = asyncio.create_task(_disconnected(self._receive))
        await asyncio.wait({self._gone}, timeout=milliseconds / 1000)
        if self._gone.done():
            raise ClientGone

    def close(self) -> None:
        if self._gone is not None:
            self._gone.cancel()

    async def refuse(self, refused: Refused) -> None:
        body = self.answers.error(refused, self.request_id)
        extra = [] if refused.retry_after is None else [(b"retry-after", refused.retry_after.encode())]
        await self._start(refused.status, JSON, [*extra, _length(body)])
        await self._send({"type": "http.response.body", "body": body})

    async def whole(self, body: bytes, directives: Directives | None = None) -> None:
        """Send a whole body; or half of one, if the connection is to break or stall."""
        broken = directives is not None and directives.break_after is not None
        stalled = directives is not None and directives.stall_after is not None
        await self._start(200, JSON, [_length(body)])
        if broken or stalled:
            await self._write(body[: len(body) // 2])
            if stalled:
                await self.pause(STALL_MS)
            return  # incomplete: the server closes the connection
        await self._send({"type": "http.response.body", "body": body})

    async def made(self, made: Made) -> None:
        """Send what is no conversation."""
        headers = [*made.headers, _length(made.body)]
        await self._start(200, made.content_type.encode(), headers)
        await self._send({"type": "http.response.body", "body": made.body})

    async def stream(self, events: Iterator[bytes], directives: Directives) -> None:
        await self._start(200, EVENT_STREAM, [(b"cache-control", b"no-cache")])
        if not directives.pace_ms and not directives.faulty:
            held: list[bytes] = []
            for event in events:
                held.append(event)
                if len(held) == EVENTS_PER_WRITE:
                    await self._write(b"".join(held))
                    held.clear()
            await self._send({"type": "http.response.body", "body": b"".join(held)})
            return
        for number, event in enumerate(events):
            if number == directives.break_after:
                return  # incomplete: the server closes the connection
            if number == directives.error_after:
                await self._write(self.answers.stream_error())
                break
            if number == directives.stall_after:
                await self.pause(STALL_MS)
            await self._write(event)
            if directives.pace_ms:
                await self.pause(directives.pace_ms)
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, content_type: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        request_id = (self.answers.REQUEST_ID_HEADER, self.request_id.encode())
        wire = [(b"content-type", content_type), request_id, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": wire})

    async def _write(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
