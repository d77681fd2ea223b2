"""Turns that wait: threads, tools that answer at once or later, and looking at what became of it all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlmodel import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.signing import signed_headers
from gateway.billing.models import Hold
from gateway.loopback import served
from tests.serving import Served

PICK = {"name": "pick", "description": "Pick one", "input_schema": {"properties": {"n": {"type": "integer"}}}}
ENDED = {"completed", "failed", "cancelled"}
PATIENCE_S = 30.0


@dataclass
class Tools:
    """Two webhooks: ``note`` answers at once, ``later`` takes the call and answers another time."""

    url: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    before_202: Any = None
    """Awaited with the call before the 202 for it goes out."""

    async def answer(self, request: Request) -> Response:
        call = json.loads(await request.body())
        self.calls.append(call)
        if call["name"] == "note":
            return JSONResponse({"output": {"noted": call["input"]}})
        if self.before_202 is not None:
            await self.before_202(call)
        return JSONResponse({"pending": True}, status_code=202)

    async def register(self, heddle: Served) -> None:
        admin = await heddle.client()
        for name in ("note", "later"):
            body = {"name": name, "description": name, "webhook_url": f"{self.url}/"}
            made = (await admin.post("/v1/tools", json=body)).raise_for_status().json()
            self.ids[name], self.secrets[name] = made["id"], made["secret"]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["name"] == name]

    def signed(self, body: bytes, *, form: str, secret: str | None = None, age_s: int = 0) -> dict[str, str]:
        """The headers of one of the two forms: ``webhook`` or ``x-qlaud``."""
        stamp = int(time.time()) - age_s
        headers = signed_headers(
            secret or self.secrets["later"], message_id="msg_1", timestamp_s=stamp, body=body
        )
        return {name: value for name, value in headers.items() if name.startswith(form)}


@asynccontextmanager
async def webhooks() -> AsyncIterator[Tools]:
    tools = Tools()

    def build(url: str) -> Starlette:
        tools.url = url
        return Starlette(routes=[Route("/", tools.answer, methods=["POST"])])

    async with served(build):
        yield tools


async def new_thread(client: httpx.AsyncClient, **fields: Any) -> str:
    made = (await client.post("/v1/threads", json=fields)).raise_for_status().json()
    return f"/v1/threads/{made['id']}"


async def post(client: httpx.AsyncClient, thread: str, content: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "sim-small", "max_tokens": 60, "content": content, **fields}
    answer = await client.post(f"{thread}/messages", json=body)
    assert answer.status_code in {200, 202}, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def turn_when(client: httpx.AsyncClient, path: str, *statuses: str) -> dict[str, Any]:
    """The turn, as soon as it has one of these statuses."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        turn: dict[str, Any] = (await client.get(path)).raise_for_status().json()
        if turn["status"] in statuses:
            return turn
        assert time.monotonic() < deadline, turn
        await asyncio.sleep(0.03)


async def ended(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    return await turn_when(client, path, *ENDED)


async def act(client: httpx.AsyncClient, path: str, *answers: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(f"{path}/actions", json={"actions": list(answers)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def texts(client: httpx.AsyncClient, thread: str) -> list[tuple[str, str]]:
    """The thread's messages: who, and the text of the first block."""
    rows = (await client.get(f"{thread}/messages?limit=100")).raise_for_status().json()["data"]
    return [
        (
            row["role"],
            row["content"] if isinstance(row["content"], str) else row["content"][0].get("text", ""),
        )
        for row in rows
    ]


async def leaves_nothing(heddle: Served) -> None:
    """No hold, no running turn, no task of one."""
    deadline = time.monotonic() + PATIENCE_S
    while heddle.app.engine._running:
        assert time.monotonic() < deadline, heddle.app.engine._running
        await asyncio.sleep(0.02)
    async with heddle.app.db.session() as session:
        assert (await session.exec(select(Hold))).all() == []
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert [name for name in names if name.startswith("turn_")] == []
