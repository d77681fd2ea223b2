"""Streams in pieces."""

from collections.abc import Iterable

from gateway.inference.dialects.events import Event
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec

CODEC = OpenAIChatCodec()
ORIGIN = "openai-chat/acme"


def decoded(pieces: Iterable[bytes], origin: str = ORIGIN) -> list[Event]:
    decoder = CODEC.stream_decoder(origin)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def encoded(events: Iterable[Event], request: Request | None = None) -> bytes:
    request = request or Request(model="m", messages=[], stream=True, stream_usage=True)
    encoder = CODEC.stream_encoder(request)
    return b"".join(encoder.feed(event) for event in events)


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]
