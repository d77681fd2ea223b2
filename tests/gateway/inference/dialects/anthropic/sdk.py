"""Anthropic's own SDK at the client's end: what it makes of our bytes."""

from typing import Any

import anthropic
import httpx2
from anthropic.types import Message
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)


def validated(body: dict[str, Any]) -> BetaMessage:
    """Raises pydantic.ValidationError."""
    return BetaMessage.model_validate(body)


def validate_event(data: dict[str, Any]) -> None:
    """Raises pydantic.ValidationError."""
    _EVENT.validate_python(data)


def accumulated(stream: bytes) -> BetaMessage:
    with _client(stream).beta.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
    ) as events:
        message: BetaMessage = events.get_final_message()
        return message


def accumulated_stable(stream: bytes) -> Message:
    with _client(stream).messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
    ) as events:
        message: Message = events.get_final_message()
        return message


def _client(stream: bytes) -> anthropic.Anthropic:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(
        api_key="key", base_url="http://test", http_client=anthropic.DefaultHttpxClient(transport=transport)
    )
