"""No route is outside admission: whatever can spend is refused before anything is sent, or it is declared
here that it spends nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import select

from broker.calls import NeedsConnection
from gateway.billing.models import Hold, UsageEvent
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from kit.caller import Caller
from kit.money import Nanos
from tests.gateway.inference.media.rig import sound
from tests.gateway.inference.upstream import Upstream, whole
from tests.priced.rig import Shop, shop
from threads import needs
from threads.turn_request import parse_turn

TURN = "/v1/threads/{thread_id}/messages"
ACTIONS = "/v1/threads/{thread_id}/turns/{turn_id}/actions"
TOOL = "/v1/tools/call"
MCP = "/mcp"
BATCH = "/v1/tools/execute"
JOBS = "/v1/jobs"
RESPONSES = "/v1/responses"
SPEND = {
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    TURN,
    ACTIONS,
    TOOL,
    MCP,
    BATCH,
    JOBS,
}
SPEND_NOTHING = {
    "/v1/messages/count_tokens": "providers count for nothing",
    "/v1/threads": "",
    "/v1/threads/import": "copies messages; nothing is asked of a model",
    "/v1/threads/{thread_id}/fork": "copies messages; nothing is asked of a model",
    "/v1/threads/{thread_id}/turns/{turn_id}/cancel": "settles what was spent",
    "/v1/responses/{response_id}/cancel": "settles what was spent",
    "/v1/conversations": "stores messages; nothing is asked of a model",
    "/v1/conversations/{conversation_id}": "",
    "/v1/tools": "",
    "/v1/tools/search": "calls no tool; what makes vectors of tools is admitted like any embedding",
    "/v1/tools/schemas": "",
    "/v1/connections": "",
    "/v1/tools/{tool_id}/rotate-secret": "",
    "/v1/tools/{tool_id}/test": "calls the account's own webhook, which has no price",
    "/v1/mcp-servers": "asks a server for its tools, and calls none",
    "/v1/mcp-servers/{server_id}/refresh": "the same",
    "/v1/mcp-servers/{server_id}/approve": "",
    "/v1/threads/{thread_id}/tool-results/{tool_use_id}": "as an action: a turn goes on, and is admitted",
    "/v1/tools/{tool_id}/results/{tool_use_id}": "the same",
    "/v1/connections/sessions": "",
    "/v1/connections/{connection_id}/refresh": "",
    "/connect/{token}": "a turn that it sets going is admitted like any other",
    "/v1/keys": "",
    "/v1/billing/checkout": "brings money in, like those that follow",
    "/v1/billing/credits": "",
    "/v1/billing/portal": "",
    "/v1/billing/stripe-webhook": "",
}

ANSWER = (
    b'{"id":"m","type":"message","role":"assistant","model":"m","content":[],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
)
PRICES = {"input_usd_per_mtok": Decimal(1), "output_usd_per_mtok": Decimal(5)}
MODELS = {
    "talk": ModelSettings(provider="fake", max_output_tokens=1_000, **PRICES),
    "draw": ModelSettings(provider="fake", unit_usd={"image": Decimal("0.04")}),
    "say": ModelSettings(provider="fake", unit_usd={"input_character": Decimal("0.00001")}),
    "hear": ModelSettings(provider="fake", unit_usd={"audio_second": Decimal("0.0001")}),
}
CONVERSATION = {"model": "talk", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/messages": {"json": CONVERSATION},
    "/v1/chat/completions": {"json": CONVERSATION},
    "/v1/responses": {"json": {"model": "talk", "input": "hi", "max_output_tokens": 16}},
    "/v1/embeddings": {"json": {"model": "talk", "input": "hi"}},
    "/v1/images/generations": {"json": {"model": "draw", "prompt": "a loom"}},
    "/v1/audio/speech": {"json": {"model": "say", "input": "Hello", "voice": "alloy"}},
    "/v1/audio/transcriptions": {
        "data": {"model": "hear"},
        "files": {"file": ("said.wav", sound(1), "audio/wav")},
    },
    TOOL: {"json": {"name": "search/query", "input": {}}},
}
JOB_ENDPOINTS = [path for path, request in REQUESTS.items() if "json" in request and path != TOOL]
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "search__query"}
ENVELOPE = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
STREAMED = ("/v1/messages", "/v1/chat/completions", "/v1/responses")


@asynccontextmanager
async def before(upstream: Upstream, database_url: str, folder: Path) -> AsyncIterator[Shop]:
    """Heddle without a cent, before a provider that is not to be asked."""
    async with served(lambda _url: upstream) as url:
        urls = {"anthropic": url, "openai-chat": f"{url}/v1", "openai-responses": f"{url}/v1"}
        providers = {"fake": Provider("fake", urls, ("k",))}
        async with shop(
            database_url, folder, providers=providers, models=MODELS, starter_credit_usd=Decimal(0)
        ) as open_shop:
            yield open_shop


async def refusals(heddle: Shop, user: httpx.AsyncClient, key: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """How each route that can spend answers: a status and a code."""
    told: dict[str, tuple[int, str]] = {}

    def tell(name: str, answer: httpx.Response) -> None:
        told[name] = answer.status_code, (answer.json().get("error") or {}).get("code", "")

    for path, request in REQUESTS.items():
        tell(path, await user.post(path, **request))
    for path in STREAMED:
        body = {**REQUESTS[path]["json"], "stream": True}
        tell(f"{path}, streamed", await user.post(path, json=body))
    thread = (await user.post("/v1/threads", json={})).raise_for_status().json()["id"]
    said = {"model": "talk", "max_tokens": 10, "content": "hi"}
    refusing = {"background": True, "on_insufficient_funds": "fail"}
    for more in ({}, {"stream": True}, refusing):
        tell(f"{TURN} {more}", await user.post(f"/v1/threads/{thread}/messages", json={**said, **more}))
    stored = {**REQUESTS[RESPONSES]["json"], "store": True}
    tell(f"{RESPONSES}, stored", await user.post(RESPONSES, json=stored))
    for endpoint in JOB_ENDPOINTS:
        told[f"{JOBS} {endpoint}"] = await failure_of_job(user, endpoint)
    for age in ({}, MODERN):
        told[f"{MCP} {age}"] = await refusal_of_mcp(user, age)
    told[BATCH] = await refusal_within_a_batch(user)
    told[ACTIONS] = await refusal_after_waiting(heddle, user, key)
    return told


async def refusal_of_mcp(user: httpx.AsyncClient, headers: dict[str, str]) -> tuple[int, str]:
    """A refused tool call of an MCP client is a result, whose model may mend it."""
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in ENVELOPE.items()} if headers else {}
    params = {"name": "search__query", "arguments": {}, "_meta": meta}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    accept = {"accept": "application/json, text/event-stream"}
    answer = (await user.post(MCP, json=asked, headers={**accept, **headers})).raise_for_status()
    (message,) = [line for line in answer.text.splitlines() if "jsonrpc" in line]
    result = json.loads(message.removeprefix("data: "))["result"]
    assert result["isError"], result
    return result["structuredContent"]["error"]["status"], result["structuredContent"]["error"]["code"]


async def refusal_within_a_batch(user: httpx.AsyncClient) -> tuple[int, str]:
    """Each call of a batch is refused by itself, and its result says so."""
    answer = await user.post(BATCH, json={"calls": [{"name": "search/query", "input": {}}]})
    (result,) = answer.raise_for_status().json()["results"]
    assert result["is_error"]
    code = result["dispatch"]["status"]
    return 429 if code.startswith("rate_limit") else 402, code


async def failure_of_job(user: httpx.AsyncClient, endpoint: str) -> tuple[int, str]:
    """A job is taken, and refused when it runs; one that its key's rates refuse waits for them."""
    asked = await user.post(JOBS, json={"endpoint": endpoint, "body": REQUESTS[endpoint]["json"]})
    path = f"{JOBS}/{asked.json()['id']}"
    async with asyncio.timeout(10):
        while True:
            found = (await user.get(path)).json()
            if found["error"] is not None:
                return found["error"]["status"], found["error"]["code"]
            await asyncio.sleep(0.01)


async def failure_of(user: httpx.AsyncClient, thread: str, turn: str) -> tuple[int, str]:
    async with asyncio.timeout(10):
        while True:
            found = (await user.get(f"/v1/threads/{thread}/turns/{turn}")).json()
            if found["status"] == "failed":
                return found["error"]["status"], found["error"]["code"]
            await asyncio.sleep(0.01)


async def refusal_after_waiting(
    heddle: Shop, user: httpx.AsyncClient, key: dict[str, Any]
) -> tuple[int, str]:
    """Of a turn that waited for a connection, and goes on when that is declined."""
    journal = heddle.heddle.app.engine.journal
    caller = Caller(await heddle.account_id(), key["id"], "standard")
    thread = (await user.post("/v1/threads", json={})).raise_for_status().json()["id"]
    body = {"model": "talk", "content": "hi", "max_duration_ms": 1000}
    turn = await journal.begin(caller, thread, parse_turn(body))
    (action,) = await journal.park(
        turn,
        lambda _session, _actions: None,
        [needs.connection(NeedsConnection("x", "X", "https://x.test", 2**50))],
    )
    declined = {"actions": [{"id": action.id, "type": "deny"}]}
    path = f"/v1/threads/{thread}/turns/{turn.id}"
    (await user.post(f"{path}/actions", json=declined)).raise_for_status()
    return await failure_of(user, thread, turn.id)


async def test_whatever_can_spend_is_admitted_first(sqlite_url: str, tmp_path: Path) -> None:
    upstream = Upstream(whole(ANSWER))
    async with before(upstream, sqlite_url, tmp_path) as heddle:
        app = heddle.heddle.app
        declared = {*SPEND, *SPEND_NOTHING}
        assert app.post_paths == declared, (
            f"say here whether these routes spend, and try those that do: {app.post_paths ^ declared}"
        )
        user, key = await heddle.heddle.mint()
        told = await refusals(heddle, user, key)
        assert {name.partition(",")[0].partition(" ")[0] for name in told} >= SPEND
        assert told == dict.fromkeys(told, (402, "wallet_empty"))

        await app.billing.credit(
            await heddle.account_id(), Nanos(10**9), kind="credit", entry_id="e", reference="test"
        )
        capped, key = await heddle.heddle.mint(max_spend_usd=0)
        told = await refusals(heddle, capped, key)
        assert told == dict.fromkeys(told, (402, "key_cap_reached"))

        admin = await heddle.heddle.client()
        budget = {"budget_usd": "0.000000001"}
        (await admin.put("/v1/end-users/ann", json=budget)).raise_for_status()
        bound, key = await heddle.heddle.mint(end_user_id="ann")
        told = await refusals(heddle, bound, key)
        assert told == dict.fromkeys(told, (402, "end_user_budget_reached"))
        assert (upstream.heard, heddle.calls) == ([], [])

        limited, key = await heddle.heddle.mint(rpm=1)
        (await limited.post("/v1/messages", json=CONVERSATION)).raise_for_status()
        told = await refusals(heddle, limited, key)
        assert told.pop(ACTIONS) == (504, "turn_time_reached")  # it waited for the key's next minute
        assert told == dict.fromkeys(told, (429, "rate_limit_requests"))
        assert (len(upstream.heard), heddle.calls) == (1, [])
        async with app.db.session() as session:
            assert len((await session.exec(select(UsageEvent))).all()) == 1
            assert (await session.exec(select(Hold))).all() == []


async def test_counting_tokens_and_tools_without_a_price_need_no_money(
    sqlite_url: str, tmp_path: Path
) -> None:
    upstream = Upstream(whole(b'{"input_tokens":7}'))
    async with before(upstream, sqlite_url, tmp_path) as heddle:
        user, _ = await heddle.heddle.mint(max_spend_usd=0)
        counted = await user.post("/v1/messages/count_tokens", json=CONVERSATION)
        assert counted.json() == {"input_tokens": 7}
        assert [heard.path for heard in upstream.heard] == ["/v1/messages/count_tokens"]
        assert (await heddle.call(user, "search/help")).json()["output"] == "found"
        assert await heddle.paid() == []
