"""What the simulated provider makes besides conversations: the request, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.sim.conversation import Refused

EVENT_STREAM = "text/event-stream; charset=utf-8"
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request as it arrived."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def fields(self) -> dict[str, Any]:
        """The JSON object in the body. Raises Refused."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refused(400, f"The request body is not valid JSON: {error}") from None
        if not isinstance(found, dict):
            raise Refused(400, "The request body is not a JSON object")
        return found


@dataclass(frozen=True, slots=True)
class Made:
    """An answer: a streamed one is all of its events."""

    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


def as_json(answer: Any) -> Made:
    return Made(msgspec.json.encode(answer))


def as_events(events: list[dict[str, Any]]) -> Made:
    """Server-sent events named by their ``type``."""
    frames = [f"event: {event['type']}\n".encode() + _data(event) for event in events]
    return Made(b"".join(frames), EVENT_STREAM)


def _data(event: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


def tokens_in(text: str) -> int:
    return max(1, -(-len(text.encode()) // BYTES_PER_TOKEN))


def text_in(fields: Mapping[str, Any], name: str) -> str:
    """Raises Refused unless the field is a text that is not empty."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"Missing required parameter: '{name}'.", param=name)
    return value
