"""Turns of every kind to look at: a webhook, ways to read a stream, the same from another process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.loopback import served
from kit.db import Database
from tests.serving import Served
from threads.events import EventHub


async def _answer(request: Request) -> Response:
    call = json.loads(await request.body())
    if "wait" in call["input"]:
        await asyncio.sleep(call["input"]["wait"])
    return JSONResponse({"output": {"noted": call["input"]}, "is_error": "fail" in call["input"]})


@asynccontextmanager
async def webhook(heddle: Served) -> AsyncIterator[str]:
    """The id of a tool, ``jot``; it answers after ``wait`` seconds, with an error if it is to ``fail``."""
    async with served(lambda _url: Starlette(routes=[Route("/", _answer, methods=["POST"])])) as url:
        admin = await heddle.client()
        body = {"name": "jot", "description": "Jot down", "webhook_url": f"{url}/"}
        yield (await admin.post("/v1/tools", json=body)).raise_for_status().json()["id"]


@asynccontextmanager
async def elsewhere(database_url: str) -> AsyncIterator[EventHub]:
    """The streams as another process sees them."""
    db = Database(database_url)
    try:
        yield EventHub(db)
    finally:
        await db.close()


async def body_of(client: httpx.AsyncClient, method: str, path: str, **request: Any) -> bytes:
    """All bytes of an answer with status 200."""
    async with client.stream(method, path, **request) as response:
        data = await response.aread()
        assert response.status_code == 200, data
        return data


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(30):
        return b"".join([piece async for piece in pieces])
