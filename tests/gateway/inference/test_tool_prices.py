"""Tools that run at the provider are billed as it bills them, or refused before anything is sent."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.inference.providers import Provider
from gateway.loopback import served
from tests.gateway.inference.upstream import MODELS, Upstream, stream, whole
from tests.gateway.serving import Serving, serving

TOOL_USD = {
    "web_search": Decimal("0.01"),
    "web_fetch": Decimal(0),
    "code_execution": Decimal("0.03"),
    "code_execution_4g": Decimal("0.12"),
    "file_search": Decimal("0.0025"),
}
MICROS_PER_NANO = 1_000
TOKENS_NANOS = (100 * 1 + 10 * 5) * MICROS_PER_NANO
Exchange = tuple[str, dict[str, Any], dict[str, Any]]
Rig = Callable[..., AbstractAsyncContextManager[Serving]]


@dataclass(frozen=True)
class Case:
    path: str
    request: dict[str, Any]
    answer: dict[str, Any]
    billed: dict[str, int]
    """Units beside input and output."""


def _anthropic(tools: list[dict[str, Any]], use: dict[str, int], **fields: Any) -> Exchange:
    request = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    usage = {"input_tokens": 100, "output_tokens": 10, "server_tool_use": use}
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    return "/v1/messages", request, {**answer, "content": [], "usage": usage, **fields}


def _responses(tools: list[dict[str, Any]], *output: dict[str, Any], **fields: Any) -> Exchange:
    request = {"max_output_tokens": 100, "input": "hi", "tools": tools}
    usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "usage": usage}
    return "/v1/responses", request, {**answer, "output": list(output), **fields}


def _chat(tools: list[dict[str, Any]], usage: dict[str, Any], **fields: Any) -> Exchange:
    asked = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], "tools": tools, **fields}
    counted = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **usage}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return "/v1/chat/completions", asked, {**answer, "usage": counted}


SEARCH, FETCH = {"type": "web_search_20250305", "name": "web_search"}, {"type": "web_fetch_20250910"}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
CONTAINER = {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"}
INTERPRETER = {"type": "code_interpreter", "container": {"type": "auto"}}
BIG = {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}


def _ran(container: str) -> dict[str, Any]:
    return {"type": "code_interpreter_call", "id": f"ci_{container}", "container_id": container}


CASES = {
    "searches of Messages": Case(*_anthropic([SEARCH], {"web_search_requests": 2}), billed={"web_search": 2}),
    "free fetches of Messages": Case(
        *_anthropic([FETCH], {"web_fetch_requests": 3}), billed={"web_fetch": 3}
    ),
    "code in a container of Messages": Case(
        *_anthropic([CODE], {}, container=CONTAINER), billed={"code_execution": 1}
    ),
    "code that was not needed": Case(*_anthropic([CODE], {}, container=None), billed={}),
    "code beside filtering searches is free": Case(
        *_anthropic([{**SEARCH, "type": "web_search_20260209"}, CODE], {}, container=CONTAINER), billed={}
    ),
    "searches of Responses": Case(
        *_responses(
            [{"type": "web_search"}],
            {"type": "web_search_call", "action": {"type": "search"}},
            {"type": "web_search_call", "action": {"type": "open_page"}},
        ),
        billed={"web_search": 1},
    ),
    "files of Responses": Case(
        *_responses([{"type": "file_search"}], {"type": "file_search_call"}, {"type": "file_search_call"}),
        billed={"file_search": 2},
    ),
    "containers of Responses are counted, not calls": Case(
        *_responses([INTERPRETER], _ran("a"), _ran("a"), _ran("b")), billed={"code_execution": 2}
    ),
    "larger containers cost more": Case(*_responses([BIG], _ran("a")), billed={"code_execution_4g": 1}),
    "searches that a Chat provider counts": Case(
        *_chat([{"type": "openrouter:web_search"}], {"server_tool_use": {"web_search_requests": 3}}),
        billed={"web_search": 3},
    ),
    "a search that a Chat provider does not count": Case(
        *_chat([{"type": "web_search", "web_search": {"enable": True}}], {}), billed={"web_search": 1}
    ),
    "a plug-in": Case(*_chat([], {}, plugins=[{"id": "web"}]), billed={"web_search": 1}),
    "a function named like a search": Case(
        *_chat([{"type": "function", "function": {"name": "web_search"}}], {}), billed={}
    ),
}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    @asynccontextmanager
    async def before(upstream: Upstream, tool_usd: dict[str, Decimal] = TOOL_USD) -> AsyncIterator[Serving]:
        async with served(lambda _url: upstream) as url:
            urls = {"anthropic": url, "openai-chat": f"{url}/v1", "openai-responses": f"{url}/v1"}
            fake = Provider("fake", urls, ("k",), tool_usd=tool_usd)
            async with serving(tmp_path, {"fake": fake}, models=MODELS, markup=Decimal(0)) as heddle:
                yield heddle

    return before


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_each_use_is_billed_at_its_price(rig: Rig, case: Case) -> None:
    async with rig(Upstream(whole(json.dumps(case.answer).encode()))) as heddle:
        answer = await heddle.http.post(case.path, json={"model": "fake-model", **case.request})
        assert answer.status_code == 200, answer.text
        event = await heddle.only_event()
    lines = {line["unit"]: line.get("count") for line in event.breakdown}
    assert {unit: lines[unit] for unit in lines.keys() - {"input", "output", "markup"}} == case.billed
    tools = sum(TOOL_USD[unit] * count for unit, count in case.billed.items())
    assert event.cost_nanos == TOKENS_NANOS + tools * 10**9


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.billed])
async def test_a_tool_without_a_price_is_refused_before_anything_is_sent(rig: Rig, case: Case) -> None:
    upstream = Upstream()
    async with rig(upstream, {}) as heddle:
        answer = await heddle.http.post(case.path, json={"model": "fake-model", **case.request})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (422, "model_not_priced", "tools")
        assert "tool_usd under [providers.fake]" in error["message"]
        assert upstream.heard == []
        assert await heddle.usage_events() == []
        assert await heddle.holds() == []


async def test_what_the_hold_lacks_for_a_tool_is_not_lent(rig: Rig) -> None:
    """A wallet that cannot pay for the searches that are allowed starts none."""
    upstream = Upstream()
    search = {**SEARCH, "max_uses": 1000}
    async with rig(upstream) as heddle:
        path, request, _ = _anthropic([search], {})
        answer = await heddle.http.post(path, json={"model": "fake-model", **request})
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "wallet_empty")
        assert upstream.heard == []


async def test_a_stream_tells_the_same(rig: Rig) -> None:
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 100, "output_tokens": 1}, "container": None},
    }
    delta = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "container": CONTAINER},
        "usage": {"output_tokens": 10, "server_tool_use": {"web_search_requests": 1}},
    }
    frames = [
        b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n"
        for event in (start, delta, {"type": "message_stop"})
    ]
    async with rig(Upstream(stream(*frames))) as heddle:
        path, request, _ = _anthropic([SEARCH, CODE], {})
        answer = await heddle.http.post(path, json={"model": "fake-model", "stream": True, **request})
        assert answer.status_code == 200
        event = await heddle.only_event()
    assert event.cost_nanos == TOKENS_NANOS + (10_000 + 30_000) * MICROS_PER_NANO


async def test_what_a_provider_says_it_charged_is_the_least_that_is_billed(rig: Rig) -> None:
    """OpenRouter's plug-ins and fees are in no list; its answers tell the sum."""
    _, request, answer = _chat([], {"cost": 0.5})
    async with rig(Upstream(whole(json.dumps(answer).encode()))) as heddle:
        made = await heddle.http.post("/v1/chat/completions", json={"model": "fake-model", **request})
        assert made.status_code == 200
        event = await heddle.only_event()
    assert event.cost_nanos == 500_000_000
    assert event.breakdown[-2]["unit"] == "reported_by_provider"


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/responses", "service_tier"), ("/v1/chat/completions", "service_tier"), ("/v1/messages", "speed")],
)
async def test_a_dearer_tier_without_a_price_is_refused(rig: Rig, path: str, field: str) -> None:
    upstream = Upstream()
    bodies = {"/v1/responses": _responses([]), "/v1/chat/completions": _chat([], {})}
    _, request, _ = bodies.get(path, _anthropic([], {}))
    wanted = "fast" if field == "speed" else "priority"
    async with rig(upstream) as heddle:
        answer = await heddle.http.post(path, json={"model": "fake-model", **request, field: wanted})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "model_not_priced")
        assert upstream.heard == []
