"""Heddle before every provider that it knows, each of them a recorder that no test call may reach."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from gateway.inference.providers import configured_providers, known_keys
from gateway.loopback import served
from gateway.settings import Settings
from tests.gateway.serving import Serving, serving

LAB = {"dialect": "openai-chat", "base_url": "http://lab.invalid/v1"}
SETTINGS: dict[str, Any] = {
    "providers": {"lab": LAB, "books": {**LAB, "dialect": "anthropic"}},
    "models": {
        "house": {"provider": "lab", "input_usd_per_mtok": 2, "output_usd_per_mtok": 4},
        "painter": {"provider": "lab", "unit_usd": {"image": "0.04"}},
        "reader": {"provider": "books", "upstream_model": "r-1", "input_usd_per_mtok": 1}
        | {"output_usd_per_mtok": 1, "max_output_tokens": 500},
    },
    "aliases": {"smart": {"targets": [{"model": "anthropic/claude-sonnet-4-5"}, {"model": "house"}]}},
}


class Recorder:
    """Stands where the real providers would: remembers each request, and answers none."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(f"{scope['method']} {scope['path']}")
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error":{"message":"no"}}'})


@dataclass
class Everyone:
    heddle: Serving
    recorder: Recorder
    test: httpx.AsyncClient
    """With a test key of scope admin."""
    dialects: dict[str, list[str]]
    """Of each provider."""

    async def models(self, client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
        data = (await client.get("/v1/models")).json()["data"]
        return {model["id"]: model for model in data}


@asynccontextmanager
async def before_everyone(data_dir: Path, **settings: Any) -> AsyncIterator[Everyone]:
    chosen = {**SETTINGS, **settings}
    environ = dict.fromkeys(known_keys(), "real-key") | {"CLOUDFLARE_ACCOUNT_ID": "a"}
    recorder = Recorder()
    async with served(lambda _url: recorder, lifespan=False) as url:
        real = configured_providers(Settings(**chosen), environ)
        assert len(real) > 18
        behind = {
            name: replace(provider, base_urls=dict.fromkeys(provider.base_urls, f"{url}/{name}"))
            for name, provider in real.items()
        }
        async with serving(data_dir, behind, with_sim=True, **chosen) as heddle:
            answer = await heddle.http.post("/v1/keys", json={"name": "t", "mode": "test", "scope": "admin"})
            headers = {"x-api-key": answer.json()["secret"]}
            async with httpx.AsyncClient(base_url=heddle.base_url, headers=headers, timeout=30) as test:
                dialects = {name: list(provider.base_urls) for name, provider in real.items()}
                yield Everyone(heddle, recorder, test, dialects)


def data_of(stream: str) -> list[dict[str, Any]]:
    """The events of a stream, but for OpenAI's ``[DONE]``."""
    lines = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
