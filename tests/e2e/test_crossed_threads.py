"""Threads, which speak Anthropic's dialect, over a provider that speaks only OpenAI's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.webhook import WeatherHook, build_weather_hook
from gateway.inference.providers import Provider, sim_provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from gateway.sim.server import SimServer
from tests.serving import Served, heddle, read_events, text_of, types_of

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASK = (
    'use get_weather {"city":"Oslo"} and get_weather {"city":"Lima"} '
    'then get_weather {"city":"Cairo"} then get_weather {"city":"Oslo"}'
)


class Rig:
    """Heddle before one simulated provider, which is ``sim`` in OpenAI's dialect and ``other`` in
    Anthropic's, with the tool ``get_weather``."""

    def __init__(self, served_heddle: Served, sim: SimServer) -> None:
        self.heddle = served_heddle
        self.sim = sim
        self.hook = WeatherHook()
        self.tool_id = ""

    async def offer_weather(self) -> None:
        hook_url = await self.heddle.stack.enter_async_context(
            served(lambda _: build_weather_hook(self.hook))
        )
        admin = await self.heddle.client()
        tool = {"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}
        made = await admin.post("/v1/tools", json={**tool, "webhook_url": f"{hook_url}/weather"})
        self.tool_id, self.hook.secret = made.raise_for_status().json()["id"], made.json()["secret"]

    def turn(self, content: str, model: str = "sim-small", **more: Any) -> dict[str, Any]:
        fields = {"model": model, "max_tokens": 300, "tools": [self.tool_id], "stream": True}
        return {**fields, "content": content, **more}

    def sent(self) -> dict[str, Any]:
        """What the provider was sent last."""
        body: dict[str, Any] = json.loads(self.sim.app.seen[-1].body)
        return body


@asynccontextmanager
async def rigged(database_url: str, data_dir: Path) -> AsyncIterator[Rig]:
    sim = SimServer(remember=32)
    known = sim_provider(await sim.start())
    chat, messages = "openai-chat", "anthropic"
    providers = {
        "sim": Provider("sim", {chat: known.base_urls[chat]}, known.api_keys),
        "other": Provider("other", {messages: known.base_urls[messages]}, known.api_keys),
    }
    prices: dict[str, Any] = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 5}
    near = ModelSettings(provider="other", upstream_model="sim-small", max_output_tokens=8_192, **prices)
    try:
        async with heddle(database_url, data_dir, providers=providers, models={"near": near}) as running:
            rig = Rig(running, sim)
            await rig.offer_weather()
            yield rig
    finally:
        await sim.stop()


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(database_url, tmp_path) as running:
        yield running


@pytest.fixture
async def sqlite_rig(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(sqlite_url, tmp_path) as running:
        yield running


async def new_thread(user: Any) -> str:
    return str((await user.post("/v1/threads", json={"end_user_id": "u1"})).raise_for_status().json()["id"])


def dispatched(events: list[dict[str, Any]]) -> list[list[str]]:
    """The cities that were asked about, round by round (a round's calls run in any order)."""
    rounds: list[list[str]] = [[]]
    for event in events:
        if event["type"] == "qlaud.iteration_start":
            rounds.append([])
        elif event["type"] == "qlaud.tool_dispatch_done":
            rounds[-1].append(event["output"]["city"])
    return [sorted(cities) for cities in rounds]


async def test_a_turn_with_tools_looks_as_it_does_without_crossing(rig: Rig) -> None:
    user, _ = await rig.heddle.mint(max_spend_usd=1)
    turns = {}
    for model in ("sim-small", "near"):
        path = f"/v1/threads/{await new_thread(user)}/messages"
        turns[model] = await read_events(user, "POST", path, json=rig.turn(ASK, model))
        assert rig.sim.app.seen[-1].path == {"sim-small": "/v1/chat/completions"}.get(model, "/v1/messages")
    crossed, native = turns["sim-small"], turns["near"]
    assert dispatched(crossed) == dispatched(native) == [["Lima", "Oslo"], ["Cairo"], ["Oslo"], []]
    assert _in_order(crossed) == _in_order(native)
    assert text_of(crossed) == text_of(native)
    assert [event["__id"] for event in crossed] == list(range(1, len(crossed) + 1))
    assert (crossed[-1]["iterations"], crossed[-1]["hit_max_iterations"], crossed[-1]["seq"]) == (4, False, 8)
    assert len(rig.hook.seen) == 8


def _in_order(events: list[dict[str, Any]]) -> list[str]:
    """The kinds of events; those of tools that run at once in alphabetical order."""
    kinds: list[str] = []
    tools: list[str] = []
    for kind in types_of(events):
        if kind.startswith("qlaud.tool"):
            tools.append(kind)
        else:
            kinds += [*sorted(tools), kind]
            tools.clear()
    return kinds


async def test_frames_obey_the_byte_rules(sqlite_rig: Rig) -> None:
    user, _ = await sqlite_rig.heddle.mint()
    path = f"/v1/threads/{await new_thread(user)}/messages"
    asked = 'use get_weather {"city":"Øslo 你好"} and get_weather {"city":"Lima"}'
    answer = await user.post(path, json=sqlite_rig.turn(asked))
    assert answer.content.endswith(b"\n\n")
    assert b"\r" not in answer.content
    assert b"\\u" not in answer.content
    kinds = set()
    for frame in answer.content.split(b"\n\n")[:-1]:
        event, event_id, data = frame.split(b"\n")
        payload = json.loads(data.removeprefix(b"data: "))
        assert event == b"event: " + payload["type"].encode()
        assert event_id.removeprefix(b"id: ").isdigit()
        assert json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode() == data[6:]
        if payload["type"] == "content_block_delta":
            kinds.add(payload["delta"]["type"])
            assert data.startswith(b'data: {"type":"content_block_delta","index":')
            assert b'"delta":{"type":' in data
    assert kinds == {"text_delta", "input_json_delta"}
    assert "Øslo 你好".encode() in answer.content


async def test_every_step_is_billed_and_recorded(sqlite_rig: Rig) -> None:
    user, _ = await sqlite_rig.heddle.mint()
    thread = await new_thread(user)
    events = await read_events(user, "POST", f"/v1/threads/{thread}/messages", json=sqlite_rig.turn(ASK))
    admin = await sqlite_rig.heddle.client()
    rows = (await admin.get("/v1/usage/events")).raise_for_status().json()["data"]
    assert [(row["status"], row["estimated"], row["provider"]) for row in rows] == [("ok", False, "sim")] * 4
    assert {row["thread_id"] for row in rows} == {thread}
    assert events[-1]["cost_micros"] == pytest.approx(sum(row["cost_micros"] for row in rows), abs=4)
    stored = (await user.get(f"/v1/threads/{thread}/messages")).json()["data"]
    said = [message["usage"] for message in stored if message["role"] == "assistant"]
    assert sum(usage["input_tokens"] for usage in said) == sum(row["input_tokens"] for row in rows)
    assert sum(usage["output_tokens"] for usage in said) == sum(row["output_tokens"] for row in rows)
    balance = (await admin.get("/v1/billing/balance")).json()
    assert balance["held_micros"] == 0
    assert 5_000_000 - balance["balance_micros"] == pytest.approx(events[-1]["cost_micros"], abs=4)


async def test_the_next_turn_replays_the_conversation_and_a_stream_can_be_read_again(rig: Rig) -> None:
    user, _ = await rig.heddle.mint()
    thread = f"/v1/threads/{await new_thread(user)}"
    first = await read_events(user, "POST", f"{thread}/messages", json=rig.turn(ASK))
    second = await read_events(user, "POST", f"{thread}/messages", json=rig.turn("and now in short"))
    assert text_of(second) == "You said: and now in short"
    messages = rig.sent()["messages"]
    assert [message["role"] for message in messages] == [
        *("user", "assistant", "tool", "tool", "assistant", "tool", "assistant", "tool"),
        *("assistant", "user"),
    ]
    called = [call["id"] for message in messages for call in message.get("tool_calls") or []]
    answered = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert called == answered
    assert messages[8]["content"] == text_of(first)
    (turn, *_) = (await user.get(f"{thread}/turns")).json()["data"][::-1]
    again = await read_events(
        user, "GET", f"{thread}/turns/{turn['id']}/events", headers={"last-event-id": "5"}
    )
    assert again == first[5:]


async def test_a_thread_moves_between_dialects(sqlite_rig: Rig) -> None:
    user, _ = await sqlite_rig.heddle.mint()
    path = f"/v1/threads/{await new_thread(user)}/messages"
    ask = 'use get_weather {"city":"Oslo"} and get_weather {"city":"Lima"}'
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    for model in ("near", "sim-small", "near", "sim-small"):
        body = sqlite_rig.turn(ask, model, max_tokens=4_000, thinking=thinking)
        events = await read_events(user, "POST", path, json=body)
        assert "snow" in text_of(events) and "fog" in text_of(events)
        assert "qlaud.error" not in types_of(events)
    assert len(sqlite_rig.hook.seen) == 8


async def test_a_provider_that_breaks_off_leaves_a_thread_that_goes_on(sqlite_rig: Rig) -> None:
    user, _ = await sqlite_rig.heddle.mint()
    path = f"/v1/threads/{await new_thread(user)}/messages"
    for fault, code in (("break-after=6", "upstream_broke_off"), ("error-after=6", "upstream_error_event")):
        body = sqlite_rig.turn(f"[sim: words=90 {fault}] x")
        events = await read_events(user, "POST", path, json=body)
        error = next(event for event in events if event["type"] == "qlaud.error")
        assert error["code"] == code
        assert events[-1]["type"] == "qlaud.done"
        assert events[-1]["cost_micros"] > 0
    admin = await sqlite_rig.heddle.client()
    rows = (await admin.get("/v1/usage/events")).json()["data"]
    assert [(row["status"], row["estimated"]) for row in rows] == [("error", True)] * 2
    assert (await admin.get("/v1/billing/balance")).json()["held_micros"] == 0
    again = await user.post(path, json=sqlite_rig.turn("again", stream=False))
    assert again.json()["content"][0]["text"] == "You said: again"


async def test_upstream_faults_before_the_stream_are_http_statuses(sqlite_rig: Rig) -> None:
    user, _ = await sqlite_rig.heddle.mint()
    path = f"/v1/threads/{await new_thread(user)}/messages"
    for simulated, status in ((400, 400), (429, 429), (500, 502), (503, 503)):
        answer = await user.post(path, json=sqlite_rig.turn(f"[sim: status={simulated} retry-after=60]"))
        assert answer.status_code == status
        assert answer.json()["error"]["provider"] == "sim"
    assert (await user.get(path)).json()["data"] == []
