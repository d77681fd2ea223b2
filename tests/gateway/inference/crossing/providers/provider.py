"""One scripted provider."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.inference.dialects.codec import Quirks
from tests.gateway.inference.crossing.ask import Json, Told
from tests.gateway.inference.upstream import Answer, stream, whole
from tests.gateway.inference.wire.reply import Reply

DIGEST = "0123456789abcdef"
PIECE = 61
"""Bytes of a stream that are written at once."""


@dataclass(frozen=True)
class FakeProvider:
    """``hear`` reads a request's path and body; ``whole_reply``, ``stream_reply``, ``error`` and
    ``stream_error`` are the wire's. ``signs_thoughts``: whether thoughts come back with a signature of their
    own."""

    dialect: str
    name: str
    base_path: str
    model: str
    hear: Callable[[str, Json], Told]
    whole_reply: Callable[[Reply, str, str], bytes]
    stream_reply: Callable[[Reply, str, str], Iterator[bytes]]
    error: Callable[[str], bytes]
    stream_error: Callable[[str], bytes]
    signs_thoughts: bool
    quirks: Quirks = field(default_factory=Quirks)

    def frames(self, reply: Reply, digest: str = DIGEST) -> list[bytes]:
        return list(self.stream_reply(reply, self.model, digest))

    def answer(self, reply: Reply, *, streamed: bool, digest: str = DIGEST) -> Answer:
        """A stream is cut without regard to its frames and characters."""
        if streamed:
            raw = b"".join(self.frames(reply, digest))
            return stream(*(raw[at : at + PIECE] for at in range(0, len(raw), PIECE)), pace_s=0)
        return whole(self.whole_reply(reply, self.model, digest))


def data_url(url: str) -> tuple[str, bytes]:
    """The media type and the bytes."""
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(data, validate=True)


def joined(content: Any) -> str:
    """A text that is a string or a list of parts with text."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or ())
