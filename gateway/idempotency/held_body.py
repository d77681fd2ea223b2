"""A request's body, received whole before anything is done with it: its fingerprint, and its bytes again."""

import asyncio
import hashlib
from tempfile import TemporaryFile
from typing import IO

from python_multipart.multipart import parse_options_header
from starlette.types import Message, Receive, Scope

from kit.errors import InvalidRequest, TooLarge

IN_MEMORY_BYTES = 1024 * 1024
"""A larger body is kept on disk."""
_CHUNK_BYTES = 256 * 1024


class Fingerprint:
    """SHA-256 of method, path, query and body. A form's boundary counts for nothing: clients draw a new one
    each time they send the same form."""

    def __init__(self, scope: Scope) -> None:
        head = (scope["method"], scope["path"], scope["query_string"].decode("latin-1"), "")
        self._hash = hashlib.sha256("\n".join(head).encode())
        self._delimiter = _delimiter(scope)
        self._tail = b""

    def add(self, piece: bytes) -> None:
        if not self._delimiter:
            self._hash.update(piece)
            return
        seen = (self._tail + piece).replace(self._delimiter, b"")
        self._tail = seen[-(len(self._delimiter) - 1) :]
        self._hash.update(seen[: len(seen) - len(self._tail)])

    def hexdigest(self) -> str:
        whole = self._hash.copy()
        whole.update(self._tail)
        return whole.hexdigest()


def _delimiter(scope: Scope) -> bytes:
    """What stands before each part of a form (RFC 2046, 5.1.1); nothing if the body is none."""
    content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary") if kind == b"multipart/form-data" else None
    return b"--" + boundary if boundary else b""


class HeldBody:
    """Bytes that are given out once, and forgotten as they are. ``close`` it in any case."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    async def receive(self, receive: Receive, fingerprint: Fingerprint, *, limit: int) -> None:
        """Take the whole body in. Raises TooLarge beyond ``limit`` bytes, InvalidRequest if it is cut off."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequest("the request ended before its body was complete")
            piece = message.get("body", b"")
            self._size += len(piece)
            if self._size > limit:
                raise TooLarge(f"the body is larger than {limit} bytes")
            fingerprint.add(piece)
            await self._add(piece)
            if not message.get("more_body", False):
                break
        if self._file is not None:
            await asyncio.to_thread(self._file.seek, 0)

    def again(self, receive: Receive) -> Receive:
        """The body as the application receives it; after it, what else there is to hear of the client."""
        left = self._size
        ended = False

        async def replay() -> Message:
            nonlocal left, ended
            if ended:
                return await receive()
            piece = await self._take()
            left -= len(piece)
            ended = left == 0
            return {"type": "http.request", "body": piece, "more_body": not ended}

        return replay

    def close(self) -> None:
        self._pieces.clear()
        if self._file is not None:
            self._file.close()

    async def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        if self._size > IN_MEMORY_BYTES:
            await asyncio.to_thread(self._spill)

    def _spill(self) -> None:
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - ``close`` closes it
        self._file.writelines(self._pieces)
        self._pieces.clear()

    async def _take(self) -> bytes:
        if self._file is not None:
            return await asyncio.to_thread(self._file.read, _CHUNK_BYTES)
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole
