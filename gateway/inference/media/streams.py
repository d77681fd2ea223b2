"""Watching streams of media go by: large events, and answers that come whole although a stream was asked
for."""

from collections.abc import Callable

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.frames import FrameOverflow, UnreadableStream, data_lines
from gateway.inference.dialects.openai_chat.wire import error_frame
from gateway.inference.upstream import MAX_BODY_BYTES
from kit.json import NOT_JSON

EVENT_STREAM = "text/event-stream"
_ENDS = (b"\n\n", b"\r\n\r\n")


def is_event_stream(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == EVENT_STREAM


class EventPayloads:
    """Feed bytes in any pieces, get the payloads of whole server-sent events. An event may hold an image:
    what has been searched for an event's end is not searched again."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        start = max(0, len(self._pending) - 3)
        self._pending += chunk
        payloads: list[bytes] = []
        while (end := self._end(start)) >= 0:
            lines = data_lines(bytes(self._pending[:end]))
            payload = b"\n".join(lines)
            if payload:
                payloads.append(payload)
            del self._pending[:end]
            start = 0
        if len(self._pending) > MAX_BODY_BYTES:
            raise FrameOverflow(f"an event of more than {MAX_BODY_BYTES} bytes")
        return payloads

    def _end(self, start: int) -> int:
        """Where the first event ends, its blank line included; -1 if it has not."""
        ends = [at + len(mark) for mark in _ENDS if (at := self._pending.find(mark, start)) >= 0]
        return min(ends, default=-1)


class TellsAsOpenAI:
    """How a stream of media tells that it broke."""

    @staticmethod
    def error_frames(message: str, code: str) -> bytes:
        return error_frame(message, code)


class WholeTap(TellsAsOpenAI):
    """An answer that is no stream of events: passed on as it comes, read once it is complete."""

    def __init__(self, read: Callable[[bytes], TokenUsage], unread: Callable[[], TokenUsage]) -> None:
        """``read`` gives the usage in a whole answer, raising ValueError; ``unread`` that of a part of
        one."""
        self.complete = False
        self.failed = False
        self._read = read
        self._unread = unread
        self._pieces: list[bytes] = []
        self._size = 0
        self._usage: TokenUsage | None = None

    def feed(self, chunk: bytes) -> bytes:
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise UnreadableStream(f"an answer of more than {MAX_BODY_BYTES} bytes")
        return chunk

    def end(self) -> bytes:
        try:
            self._usage = self._read(b"".join(self._pieces))
        except (*NOT_JSON, ValueError) as error:
            raise UnreadableStream(str(error)) from None
        self.complete = True
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:  # noqa: ARG002 - media know their own
        return self._usage or self._unread()
