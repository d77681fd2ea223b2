"""An answer as it is kept, and how it is recorded while it goes out."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import Message, Send

REPLAYED = (b"idempotent-replayed", b"true")
_OF_ITS_MOMENT = (b"x-ratelimit-", b"retry-after")
"""Headers that would be wrong later."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def replay(self, send: Send) -> None:
        """Give it once more, and say so."""
        headers = [*self.headers, REPLAYED]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


encode_answer = msgspec.msgpack.Encoder().encode
decode_answer = msgspec.msgpack.Decoder(Answer).decode

Conclude = Callable[[int, Answer | None], Awaitable[None]]


class Recorder:
    """Sends an answer on and keeps its bytes, up to ``limit`` of them.

    ``conclude`` is told the status and the answer (None: too large) before the last bytes go out, so that
    whoever has a whole answer will get it again. A client that has gone does not end the recording.
    """

    def __init__(self, send: Send, *, limit: int, conclude: Conclude) -> None:
        self.begun = False
        self.ended = False
        self._send = send
        self._limit = limit
        self._conclude = conclude
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self._status = message["status"]
            self._headers = [
                (bytes(name), bytes(value))
                for name, value in message.get("headers", ())
                if not name.startswith(_OF_ITS_MOMENT)
            ]
        elif message["type"] == "http.response.body":
            self._record(message.get("body", b""))
            if not message.get("more_body", False):
                self.ended = True
                await self._conclude(self._status, self._answer())
        try:
            await self._send(message)
        except OSError:  # the client has gone; whoever repeats the request gets the rest
            return

    def _record(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def _answer(self) -> Answer | None:
        if self._size > self._limit:
            return None
        return Answer(self._status, self._headers, b"".join(self._pieces))
