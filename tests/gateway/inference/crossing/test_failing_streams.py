"""A stream that fails after it has begun, in the words of the client's dialect."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import msgspec
import pytest

from tests.gateway.inference.crossing.ask import Ask, Json, Said
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.clients.client import events, gpt
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.world import World
from tests.gateway.inference.upstream import stream
from tests.gateway.inference.wire.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_PROVIDER = pytest.mark.parametrize("provider", PROVIDERS)
REPLY = Reply("A text that takes several pieces to stream.", input_tokens=9, output_tokens=9)
BEGUN = 3
"""Frames of the reply before it fails."""


@dataclass(frozen=True)
class Failure:
    """What a provider says, and how the clients hear it."""

    provider: str
    said: Json
    anthropic: str
    chat: tuple[str, str]
    responses: str


LIMITED: dict[str, Any] = {
    "anthropic": "rate_limit_error",
    "chat": ("rate_limit_error", "rate_limit_exceeded"),
    "responses": "rate_limit_exceeded",
}
OVERLOADED: dict[str, Any] = {
    "anthropic": "overloaded_error",
    "chat": ("server_error", "server_error"),
    "responses": "server_error",
}
UNKNOWN: dict[str, Any] = OVERLOADED | {"anthropic": "api_error"}
REFUSED: dict[str, Any] = {
    "anthropic": "invalid_request_error",
    "chat": ("invalid_request_error", "invalid_prompt"),
    "responses": "invalid_prompt",
}


def claude(kind: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": "Oh"}}


def chat(kind: str | None, code: object = None) -> Json:
    return {"error": {"message": "Oh", "type": kind, "code": code}}


def responses(code: str) -> Json:
    return {"type": "error", "message": "Oh", "code": code, "param": None, "sequence_number": 9}


def failed(code: str) -> Json:
    return {"type": "response.failed", "response": {"error": {"message": "Oh", "code": code}}}


def google(status: str) -> Json:
    return {"error": {"code": 500, "message": "Oh", "status": status}}


FAILURES = [
    Failure("anthropic", claude("overloaded_error"), **OVERLOADED),
    Failure("anthropic", claude("rate_limit_error"), **LIMITED),
    Failure("anthropic", claude("invalid_request_error"), **REFUSED),
    Failure("anthropic", claude("permission_error"), **UNKNOWN | {"anthropic": "permission_error"}),
    Failure("anthropic", claude("odd"), **UNKNOWN),
    Failure("openai-chat", chat("tokens", "rate_limit_exceeded"), **LIMITED),
    Failure("openai-chat", chat("server_error", "server_error"), **UNKNOWN),
    Failure("openai-chat", chat("invalid_request_error", "invalid_prompt"), **REFUSED),
    Failure("openai-chat", chat(None, 429), **LIMITED | {"chat": ("rate_limit_error", "429")}),
    Failure("openai-chat", chat(None, 503), **OVERLOADED | {"chat": ("server_error", "503")}),
    Failure("openai-responses", responses("rate_limit_exceeded"), **LIMITED),
    Failure("openai-responses", failed("server_error"), **UNKNOWN),
    Failure(
        "openai-responses",
        responses("server_is_overloaded"),
        **OVERLOADED | {"chat": ("server_error", "server_is_overloaded")},
    ),
    Failure(
        "google",
        google("RESOURCE_EXHAUSTED"),
        **LIMITED | {"chat": ("rate_limit_error", "RESOURCE_EXHAUSTED")},
    ),
    Failure("google", google("UNAVAILABLE"), **OVERLOADED | {"chat": ("server_error", "UNAVAILABLE")}),
]
CROSSED = [
    pytest.param(client, failure, id=f"{client}-{failure.provider}-{number}")
    for client in CLIENTS
    for number, failure in enumerate(FAILURES)
    if client != failure.provider
]


async def answered(world: World, client: str, provider: str, *frames: bytes, **ending: Any) -> bytes:
    world.script(provider, stream(*frames, pace_s=0, **ending))
    ask = Ask((Said("Weave."),), model=provider, stream=True)
    answer = await world.post(CLIENTS[client], ask)
    assert answer.status == 200
    assert answer.event is not None
    assert answer.event.status == "error"
    return answer.raw


def frame(event: Json) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


@pytest.mark.parametrize(("client", "failure"), CROSSED)
async def test_a_providers_failure_has_the_clients_type(
    heddle_world: World, client: str, failure: Failure
) -> None:
    begun = PROVIDERS[failure.provider].frames(REPLY)[:BEGUN]
    raw = await answered(heddle_world, client, failure.provider, *begun, frame(failure.said))
    last = events(raw)[-1]
    if client == "anthropic":
        assert (last["error"]["type"], last["error"]["message"]) == (failure.anthropic, "Oh")
    elif client == "openai-chat":
        assert (last["error"]["type"], last["error"]["code"]) == failure.chat
    else:
        error = last["response"]["error"]
        assert (last["type"], error["code"], error["message"]) == ("response.failed", failure.responses, "Oh")


@EVERY_PROVIDER
@pytest.mark.parametrize("begun", [0, BEGUN], ids=["at-once", "begun"])
@pytest.mark.parametrize("break_off", [False, True], ids=["ended", "dropped"])
async def test_the_sdk_sees_a_response_of_a_broken_stream_fail(
    heddle_world: World, provider: str, begun: int, break_off: bool
) -> None:
    frames = PROVIDERS[provider].frames(REPLY)[:begun]
    raw = await answered(heddle_world, "openai-responses", provider, *frames, break_off=break_off)
    async with (
        gpt(raw, 200, stream=True) as client,
        client.responses.stream(model="m", input="?") as received,
    ):
        seen: list[Any] = [event async for event in received]
    error, last = seen[-2:]
    assert (error.type, error.code) == ("error", "upstream_broke_off")
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert (last.response.error.code, last.response.error.message) == ("server_error", error.message)
    assert last.response.id == seen[0].response.id
    numbers = [event.sequence_number for event in seen]
    assert numbers == list(range(len(seen)))


@pytest.mark.parametrize(
    ("client", "provider"), [pair for pair in product(CLIENTS, PROVIDERS) if pair[0] != pair[1]]
)
async def test_a_failure_is_told_once_though_the_connection_breaks_too(
    heddle_world: World, client: str, provider: str
) -> None:
    begun = PROVIDERS[provider].frames(REPLY)[:BEGUN]
    words = PROVIDERS[provider].stream_error("Oh")
    raw = await answered(heddle_world, client, provider, *begun, words, break_off=True)
    told = [event for event in events(raw) if event.get("error") or event.get("type") == "error"]
    assert len(told) == 1
