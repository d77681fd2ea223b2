"""The image tool draws with the gateway's models: billed once, within every limit of the key and the turn."""

import base64
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from gateway.billing.models import Hold, UsageEvent, Wallet
from gateway.inference.providers import Provider, sim_provider
from gateway.settings import ModelSettings
from gateway.sim.server import sim_server
from tests.serving import Served, heddle

MODEL = ModelSettings(provider="studio", upstream_model="painter", unit_usd={"image": Decimal("0.04")})
EACH_MICROS = 42_800
"""What a picture costs, with the usual markup of 7 %."""


@pytest.fixture
async def served(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with sim_server() as sim:
        studio = Provider("studio", {"openai-chat": f"{sim}/as/studio/v1"}, ("key",))
        providers = {"sim": sim_provider(sim), "studio": studio}
        async with heddle(sqlite_url, tmp_path, providers=providers, models={"draw": MODEL}) as served:
            await painting(served)
            yield served


async def painting(served: Served) -> None:
    """Register the tool."""
    admin = await served.client()
    tool = {"name": "paint", "provider": "qlaud-builtin/image-generation", "config": {"model": "draw"}}
    (await admin.post("/v1/tools", json=tool)).raise_for_status()


async def turn(client: httpx.AsyncClient, content: str, **fields: Any) -> dict[str, Any]:
    thread = (await client.post("/v1/threads", json={})).raise_for_status().json()["id"]
    body = {"model": "sim-small", "max_tokens": 200, "content": content, "tools": ["paint"], **fields}
    answer = await client.post(f"/v1/threads/{thread}/messages", json=body)
    message: dict[str, Any] = answer.raise_for_status().json()
    return message


async def images(served: Served) -> list[UsageEvent]:
    """The usage events of pictures, after making sure that nothing is held any more."""
    async with served.app.db.session() as session:
        assert (await session.exec(select(Hold))).all() == []
        assert (await session.exec(select(Wallet))).one().held_nanos == 0
        return list((await session.exec(select(UsageEvent).where(UsageEvent.model == "draw"))).all())


async def test_a_direct_call_pays_for_its_pictures(served: Served) -> None:
    client, key = await served.mint()
    body = {"name": "paint", "input": {"prompt": "a loom", "count": 2}}
    answer = (await client.post("/v1/tools/call", json=body)).raise_for_status()
    made = answer.json()
    assert made["cost_micros"] == 2 * EACH_MICROS and made["is_error"] is False
    assert [image["media_type"] for image in made["output"]["images"]] == ["image/png"] * 2
    assert base64.b64decode(made["output"]["images"][0]["data"]).startswith(b"\x89PNG")
    assert made["content"] == [{"type": "text", "text": "2 pictures were drawn, and are shown to the user."}]
    (event,) = await images(served)
    assert (event.key_id, event.cost_nanos, event.tool) == (key["id"], 2 * EACH_MICROS * 1000, None)


async def test_a_turn_counts_its_pictures_among_what_it_cost(served: Served) -> None:
    client, _ = await served.mint()
    message = await turn(client, 'use paint {"prompt": "a loom"} and paint {"prompt": "a shuttle"}')
    assert [call["cost_micros"] for call in message["tool_calls"]] == [EACH_MICROS] * 2
    events = await images(served)
    assert [event.turn_id for event in events] == [message["turn_id"]] * 2
    async with served.app.db.session() as session:
        every = (await session.exec(select(UsageEvent))).all()
    assert message["cost_micros"] == sum(event.cost_nanos for event in every) // 1000


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [
        ({"max_spend_usd": 0.04}, 402, "cap_reached"),
        ({"models": ["sim-small"]}, 200, "model_not_allowed"),
    ],
)
async def test_a_picture_that_is_not_covered_is_not_drawn(
    served: Served, limit: dict[str, Any], status: int, code: str
) -> None:
    client, _ = await served.mint(**limit)
    answer = await client.post("/v1/tools/call", json={"name": "paint", "input": {"prompt": "a loom"}})
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["is_error"] is True
    assert code in answer.text
    assert await images(served) == []


async def test_the_turns_own_limit_holds_for_pictures_side_by_side(served: Served) -> None:
    client, _ = await served.mint()
    message = await turn(
        client,
        'use paint {"prompt": "a"} and paint {"prompt": "b"} and paint {"prompt": "c"}',
        max_cost_usd=0.10,
    )
    paid = [call.get("cost_micros") for call in message["tool_calls"]]
    assert sorted(paid, key=str) == sorted([EACH_MICROS, EACH_MICROS, None], key=str)
    assert len(await images(served)) == 2 and message["cost_micros"] <= 100_000
