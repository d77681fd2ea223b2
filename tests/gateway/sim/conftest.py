"""The bare simulator on a loopback port, and the official SDKs pointed at it."""

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest

from gateway.sim.server import sim_server

TIMEOUT_S = 15.0


@pytest.fixture
async def sim() -> AsyncIterator[str]:
    async with sim_server() as base_url:
        yield base_url


@pytest.fixture
async def claude(sim: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=sim, api_key="any", max_retries=0, timeout=TIMEOUT_S
    ) as client:
        yield client


@pytest.fixture
async def gpt(sim: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{sim}/v1", api_key="any", max_retries=0, timeout=TIMEOUT_S
    ) as client:
        yield client
