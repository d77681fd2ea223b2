"""Heddle before a simulated provider that speaks one dialect only, so that calls in others cross."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import openai
from pydantic import BaseModel

from gateway.inference.providers import Provider, sim_provider
from gateway.sim.server import SimServer
from tests.gateway.serving import Serving, serving

TIMEOUT_S = 15.0
ASK = 'use get_weather {"city": "Oslo"} and get_weather {"city": "Lima"} then get_weather {"city": "Bern"}'
CITIES = [["Oslo", "Lima"], ["Bern"]]
"""What ``ASK`` makes the model ask for, round by round."""
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Place(BaseModel):
    """An answer in a form: nested, with a choice and a list."""

    name: str
    metres: int
    kind: str
    position: "Position"


class Position(BaseModel):
    latitude: float
    north: bool


EXAMPLE = Place(name="example", metres=1, kind="example", position=Position(latitude=1, north=True))
"""The simulated model's idea of a ``Place``."""


@dataclass
class Crossed:
    """Heddle, and the provider's side of it."""

    heddle: Serving
    sim: SimServer

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What the provider was sent, oldest first."""
        return [msgspec.json.decode(seen.body) for seen in self.sim.app.seen]

    @property
    def paths(self) -> set[str]:
        return {seen.path for seen in self.sim.app.seen}

    def claude(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(
            base_url=self.heddle.base_url, api_key=self.heddle.admin_key, max_retries=0, timeout=TIMEOUT_S
        )

    def gpt(self) -> openai.AsyncOpenAI:
        url = f"{self.heddle.base_url}/v1"
        return openai.AsyncOpenAI(
            base_url=url, api_key=self.heddle.admin_key, max_retries=0, timeout=TIMEOUT_S
        )


@asynccontextmanager
async def crossed(data_dir: Path, dialect: str, **settings: Any) -> AsyncIterator[Crossed]:
    """Heddle before a simulated provider that speaks ``dialect`` only."""
    sim = SimServer(remember=32)
    speaks_all = sim_provider(await sim.start())
    only = Provider(speaks_all.name, {dialect: speaks_all.base_urls[dialect]}, speaks_all.api_keys)
    try:
        async with serving(data_dir, {only.name: only}, **settings) as heddle:
            yield Crossed(heddle, sim)
    finally:
        await sim.stop()


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]
