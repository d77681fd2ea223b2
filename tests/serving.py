"""A whole Heddle inside the test's process, served on a loopback port, with ``sim`` as its provider."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.app import App, running
from gateway.inference.providers import Provider, sim_provider
from gateway.loopback import served
from gateway.settings import Settings
from gateway.sim.server import sim_server

ADMIN_KEY = "ak_live_" + "5eed" * 16


@dataclass
class Served:
    """A running Heddle: its address, its parts, and clients to talk to it."""

    url: str
    app: App
    stack: AsyncExitStack

    async def client(self, key: str = ADMIN_KEY) -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=self.url, headers={"x-api-key": key}, timeout=30, verify=False)
        return await self.stack.enter_async_context(client)

    async def mint(self, **fields: Any) -> tuple[httpx.AsyncClient, dict[str, Any]]:
        """A client with a fresh key, and the key as it was shown."""
        admin = await self.client()
        body = {"name": "test", "scope": "standard", **fields}
        key = (await admin.post("/v1/keys", json=body)).raise_for_status().json()
        return await self.client(key["secret"]), key


@asynccontextmanager
async def heddle(
    database_url: str,
    data_dir: Path,
    *,
    providers: Mapping[str, Provider] | None = None,
    port: int = 0,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve Heddle on ``database_url``; ``providers`` replace the simulator."""
    async with AsyncExitStack() as stack:
        sim_url = None
        if providers is None:
            sim_url = await stack.enter_async_context(sim_server())
            providers = {"sim": sim_provider(sim_url)}
        box: list[App] = []

        async def late(scope: Any, receive: Any, send: Any) -> None:
            await box[0].asgi(scope, receive, send)

        def build(_url: str) -> Any:
            return late

        url = await stack.enter_async_context(served(build, lifespan=False))
        chosen = Settings(
            default_tools_mode=settings.pop("default_tools_mode", "none"),
            database_url=database_url,
            data_dir=data_dir,
            public_url=url,
            bootstrap_admin_key=ADMIN_KEY,
            allow_private_targets="loopback",
            **settings,
        )
        box.append(await stack.enter_async_context(running(chosen, providers, sim_url=sim_url)))
        yield Served(url, box[0], stack)


async def read_events(
    client: httpx.AsyncClient, method: str, path: str, **request: Any
) -> list[dict[str, Any]]:
    """All events of a stream; each with its ``id`` under ``"__id"``. The answer must be 200."""
    events: list[dict[str, Any]] = []
    async with client.stream(method, path, **request) as response:
        if response.status_code != 200:
            raise AssertionError(f"{response.status_code}: {(await response.aread()).decode()}")
        event_id = 0
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                event_id = int(line[4:])
            elif line.startswith("data: "):
                events.append({**json.loads(line[6:]), "__id": event_id})
    return events


def text_of(events: list[dict[str, Any]]) -> str:
    """The text of the last message in a stream."""
    pieces: list[str] = []
    for event in events:
        if event["type"] == "message_start":
            pieces.clear()
        elif event["type"] == "content_block_delta":
            pieces.append(event["delta"].get("text", ""))
    return "".join(pieces)


def types_of(events: list[dict[str, Any]]) -> list[str]:
    """Event types in order, with runs of deltas folded into one."""
    folded: list[str] = []
    for event in events:
        if not (event["type"] == "content_block_delta" and folded and folded[-1] == "content_block_delta"):
            folded.append(event["type"])
    return folded
