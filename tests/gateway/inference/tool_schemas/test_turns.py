"""A turn's tools on their way through a whole Heddle: to four makers' models and back."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.inference.dialects.codec import Quirks
from gateway.inference.providers import Provider
from gateway.settings import ModelSettings
from gateway.sim.server import SimServer
from tests.gateway.inference.tool_schemas.provider_rules import violations
from tests.gateway.inference.tool_schemas.samples import DOT, LINE, of
from tests.serving import Served, heddle, read_events
from tests.threads.waiting.rig import new_thread, webhooks

MAKERS = {
    "anthropic": ("anthropic", "", Quirks()),
    "openai": ("openai-responses", "/v1", Quirks(strict_tools=True)),
    "google": ("google", "", Quirks()),
    "groq": ("openai-chat", "/v1", Quirks()),
}
RULES = {"anthropic": "anthropic", "openai": "openai-strict", "google": "google", "groq": "openai"}
SEARCH = of(
    {"filter[id]": {"type": "string"}, "note": {"type": "string"}, "limit": {"type": "integer"}}, "filter[id]"
)
DRAW = {"name": "draw", "description": "", "input_schema": {"oneOf": [LINE, DOT]}}
CALLS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "anthropic": ('{"filter_id":"7"}', {"filter[id]": "7"}, '{"kind":"dot"}', {"kind": "dot"}),
    "openai": (
        '{"filter[id]":"7","note":null,"limit":3}',
        {"filter[id]": "7", "limit": 3},
        '{"arguments":{"kind":"line","to":1,"color":null}}',
        {"kind": "line", "to": 1},
    ),
    "google": ('{"filter_id":"7"}', {"filter[id]": "7"}, '{"kind":"dot"}', {"kind": "dot"}),
    "groq": (
        '{"filter[id]":7,"limit":"3"}',  # mended
        {"filter[id]": "7", "limit": 3},
        '{"kind":"dot"}',
        {"kind": "dot"},
    ),
}
"""What each model gives the webhook and the caller's tool, and what these get."""


@asynccontextmanager
async def rigged(url: str, data_dir: Path) -> AsyncIterator[tuple[Served, SimServer]]:
    """Heddle before the simulated provider in four makers' places."""
    sim = SimServer(remember=16)
    base = await sim.start()
    providers = {
        maker: Provider(maker, {dialect: f"{base}/as/{maker}{path}"}, ("k",), quirks=quirks)
        for maker, (dialect, path, quirks) in MAKERS.items()
    }
    models = {
        f"{maker}-model": ModelSettings(
            provider=maker, upstream_model=f"{maker}-1", input_usd_per_mtok=1, output_usd_per_mtok=5
        )
        for maker in MAKERS
    }
    try:
        async with heddle(url, data_dir, providers=providers, models=models) as running:
            yield running, sim
    finally:
        await sim.stop()


def sent_schemas(body: bytes, maker: str) -> list[dict[str, Any]]:
    """The schemas of the functions in a request, as its maker heard it."""
    tools = json.loads(body)["tools"]
    if maker == "anthropic":
        return [tool["input_schema"] for tool in tools]
    if maker == "google":
        return [one["parametersJsonSchema"] for tool in tools for one in tool["functionDeclarations"]]
    functions = tools if maker == "openai" else [tool["function"] for tool in tools]
    assert all(bool(function.get("strict")) == (maker == "openai") for function in functions)
    return [function["parameters"] for function in functions]


def streamed_arguments(events: list[dict[str, Any]]) -> list[Any]:
    """The arguments of the first answer's calls, put together from their deltas."""
    texts: dict[int, str] = {}
    for event in events:
        if event["type"] == "message_stop":
            break
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            texts[event["index"]] = texts.get(event["index"], "") + event["delta"]["partial_json"]
    return [json.loads(text) for text in texts.values()]


async def test_makers_hear_what_they_take_and_tools_get_what_they_declared(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with rigged(sqlite_url, tmp_path) as (running, sim), webhooks() as hooks:
        admin = await running.client()
        tool = {"name": "note", "description": "", "input_schema": SEARCH, "webhook_url": f"{hooks.url}/"}
        (await admin.post("/v1/tools", json=tool)).raise_for_status()
        user, _ = await running.mint()
        for maker, (search, received, draw, drawn) in CALLS.items():
            body = {
                "model": f"{maker}-model",
                "stream": True,
                "tools": ["note"],
                "client_tools": [DRAW],
                "client_tool_timeout_ms": 0,
                "content": f"use note {search} and draw {draw}",
            }
            hooks.calls.clear()
            events = await read_events(user, "POST", f"{await new_thread(user)}/messages", json=body)
            schemas = sent_schemas(sim.app.seen[-1].body, maker)
            assert [violations(schema, RULES[maker]) for schema in schemas] == [[], []], maker
            assert [call["input"] for call in hooks.calls] == [received], maker
            [action] = next(one for one in events if one["type"] == "qlaud.requires_action")["actions"]
            assert action["input"] == drawn, maker
            assert streamed_arguments(events)[-1] == drawn, maker


async def test_a_call_that_is_no_turn_keeps_its_tools_as_they_are(sqlite_url: str, tmp_path: Path) -> None:
    async with rigged(sqlite_url, tmp_path) as (running, sim):
        user, _ = await running.mint()
        tool = {"name": "search", "description": "", "input_schema": SEARCH}
        body = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
        for maker in ("anthropic", "groq"):
            answer = await user.post("/v1/messages", json={**body, "model": f"{maker}-model"})
            answer.raise_for_status()
            assert sent_schemas(sim.app.seen[-1].body, maker) == [SEARCH]
