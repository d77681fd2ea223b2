"""A request's trace goes on in the calls that are made for it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.loopback import served
from tests.broker.scripted_server import ECHO, Scripted, scripted
from tests.serving import Served
from tests.threads.waiting.rig import act, ended, new_thread, post

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00", "tracestate": "congo=t61,rojo=00f0"}


@asynccontextmanager
async def hook(heddle: Served) -> AsyncIterator[list[Mapping[str, str]]]:
    """A webhook tool ``ring``; the headers that came."""
    came: list[Mapping[str, str]] = []

    async def answer(request: Request) -> Response:
        came.append(dict(request.headers))
        return JSONResponse({"output": json.loads(await request.body())["name"]})

    async with served(lambda _: Starlette(routes=[Route("/", answer, methods=["POST"])])) as url:
        body = {"name": "ring", "description": "Rings", "webhook_url": f"{url}/"}
        (await (await heddle.client()).post("/v1/tools", json=body)).raise_for_status()
        yield came


def goes_on(headers: Mapping[str, Any]) -> bool:
    """Whether this is a span of the request's trace, sampled as little as it."""
    version, trace, span, flags = headers["traceparent"].split("-")
    return (version, trace, flags, headers.get("tracestate")) == ("00", TRACE, "00", SENT["tracestate"]) and (
        span != "00f067aa0ba902b7"
    )


async def test_webhooks_of_a_turn_get_it_also_after_the_turn_has_waited(sqlite_heddle: Served) -> None:
    async with hook(sqlite_heddle) as came:
        client = await sqlite_heddle.client()
        thread = await new_thread(client)
        client.headers.update(SENT)
        await post(client, thread, "use ring {}", tools=["ring"])
        parked = await post(client, thread, "use ring {}", tools=["ring"], tool_approval="always")
        for name in SENT:
            del client.headers[name]
        path = f"{thread}/turns/{parked['turn_id']}"
        await act(client, path, {"id": parked["actions"][0]["id"], "type": "approve"})
        await ended(client, path)
        await post(client, thread, "use ring {}", tools=["ring"])
        first, second, other = came
        assert goes_on(first) and goes_on(second) and first["traceparent"] != second["traceparent"]
        assert not goes_on(other) and "tracestate" not in other


async def test_calls_without_a_turn_get_it_and_malformed_ones_count_as_none(sqlite_heddle: Served) -> None:
    async with hook(sqlite_heddle) as came, scripted(Scripted(tools=[ECHO])) as server:
        client = await sqlite_heddle.client()
        body = {"name": "srv", "server_url": server.url, "auth_mode": "tenant"}
        (await client.post("/v1/mcp-servers", json=body)).raise_for_status()
        for headers in (
            SENT,
            {**SENT, "tracestate": "congo=1,congo=2"},
            {**SENT, "traceparent": "00-nonsense"},
        ):
            for name in ("ring", "srv/echo"):
                asked: dict[str, Any] = {"name": name, "input": {}}
                (await client.post("/v1/tools/call", json=asked, headers=headers)).raise_for_status()
        batch = {"calls": [{"name": "ring", "input": {}}]}
        (await client.post("/v1/tools/execute", json=batch, headers=SENT)).raise_for_status()
        metas = [rpc.params["_meta"] for rpc in server.calls()]
        for taken, no_state, nothing in (came[:3], metas):
            assert goes_on(taken)
            assert no_state["traceparent"].split("-")[1] == TRACE and "tracestate" not in no_state
            assert nothing["traceparent"].split("-")[1] != TRACE and "tracestate" not in nothing
        assert goes_on(came[3])


async def test_mcp_clients_send_it_in_meta_or_as_headers(sqlite_heddle: Served) -> None:
    async with hook(sqlite_heddle) as came:
        client = await sqlite_heddle.client()
        accepted = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "ring",
        }
        for meta, headers in (
            (SENT, {}),
            ({}, SENT),
            (SENT, {"traceparent": f"00-{'e' * 32}-{'f' * 16}-01"}),
        ):
            version = "io.modelcontextprotocol/protocolVersion"
            ours = {version: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
            body = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "ring", "arguments": {}, "_meta": {**ours, **meta}},
            }
            answer = await client.post("/mcp", json=body, headers={**accepted, **headers})
            assert answer.status_code == 200, answer.text
        assert len(came) == 3 and all(map(goes_on, came))
