"""The simulated provider on a free port: in the test's own loop, and as a process of its own."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from gateway.sim.server import SimServer


@pytest.fixture
async def sim_server() -> AsyncIterator[SimServer]:
    """A server in the test's own event loop, not yet started."""
    server = SimServer(remember=16)
    yield server
    await server.stop()


@pytest.fixture
async def http(sim_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client with the headers that both dialects want."""
    headers = {"x-api-key": "any", "authorization": "Bearer any", "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=sim_url, headers=headers, timeout=10, verify=False) as client:
        yield client


@pytest.fixture(scope="session")
def sim_url() -> Iterator[str]:
    """``python -m gateway.sim`` as its own process."""
    command = [sys.executable, "-m", "gateway.sim", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield next(word for word in line.split() if word.startswith("http://"))
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()


def messages_body(text: str, **more: Any) -> dict[str, Any]:
    """A small Messages request."""
    body = {"model": "sim-small", "max_tokens": 500, "messages": [{"role": "user", "content": text}]}
    return {**body, **more}


def chat_body(text: str, **more: Any) -> dict[str, Any]:
    """A small Chat Completions request."""
    return {"model": "sim-small", "messages": [{"role": "user", "content": text}], **more}


WEATHER_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
}
