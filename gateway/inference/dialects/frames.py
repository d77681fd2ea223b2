"""Splitting a byte stream into server-sent events (WHATWG HTML, section 9.2)."""

from collections.abc import Iterable

MAX_PENDING_BYTES = 8 * 1024 * 1024


class UnreadableStream(ValueError):
    """A provider's stream is not what it should be."""


class FrameOverflow(UnreadableStream):
    """A provider sent an event that never ends."""


class FrameSplitter:
    """Feed bytes in any pieces, get complete frames with their blank line."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        data = self._pending + chunk if self._pending else chunk
        if b"\r" in data:
            return self._feed_crlf(data)
        parts = data.split(b"\n\n")
        self._keep(parts.pop())
        return [part + b"\n\n" for part in parts]

    def rest(self) -> bytes:
        """What came after the last complete frame."""
        rest, self._pending = self._pending, b""
        return rest

    def _feed_crlf(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        start = 0
        while True:
            ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := data.find(mark, start)) >= 0]
            if not ends:
                break
            at, width = min(ends)
            frames.append(data[start : at + width])
            start = at + width
        self._keep(data[start:])
        return frames

    def _keep(self, rest: bytes) -> None:
        if len(rest) > MAX_PENDING_BYTES:
            raise FrameOverflow(f"an event of more than {MAX_PENDING_BYTES} bytes")
        self._pending = rest


def data_lines(frame: bytes) -> Iterable[bytes]:
    """The payloads of a frame's ``data:`` lines; a JSON payload may keep the space before it."""
    start = 5 if frame.startswith(b"data:") else frame.find(b"\ndata:") + 6
    end = frame.find(b"\n", start)
    if len(frame) - end == 2 and frame[start - 5 : start] == b"data:":  # by far the most: one line, the last
        return (frame[start:end],)
    lines = (line[5:].lstrip(b" ") for line in frame.splitlines() if line.startswith(b"data:"))
    return list(lines)
