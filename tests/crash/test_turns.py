"""``kill -9`` at every point of a turn: it is finished once, what had been delivered is paid once, and a tool
that is called again is told that it is the same call."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.billing.models import UsageEvent
from gateway.loopback import served
from kit.db import parse_database_url, sync_engine
from tests.crash.provider import CALL_NANOS, INPUT_TOKENS, TOOL
from tests.crash.rig import Rig, rig, until
from threads.event_log import IDS_PER_ATTEMPT
from threads.models import ToolCallRow, Turn, TurnEventChunk

BEGINNING = (
    "turn.begin.applied",
    "turn.begin.committed",
    "billing.hold.applied",
    "billing.hold.committed",
    "turn.step.opened",
)
FIRST_STEP = (
    "turn.step.shown:4",
    "turn.events.applied",
    "turn.events.committed",
    "turn.events.committed:3",
    "turn.step.applied",
)
TOOL_STEP = (
    "billing.settle.committed",
    "turn.step.committed",
    "turn.tool.started",
    "turn.tool.answered",
    "turn.tool.committed",
    "turn.results.applied",
    "turn.results.committed",
)
LAST_STEP = (
    "turn.step.opened:2",
    "turn.step.shown:17",
    "turn.step.applied:2",
    "turn.step.committed:2",
    "turn.end.applied",
    "turn.end.committed",
)
TAKE_OVER = (
    "turn.take.applied",
    "turn.take.committed",
    "billing.settle.applied",
    "billing.settle.committed",
    "turn.lost.committed",
    "turn.step.shown:4",
)
POINTS = {point.partition(":")[0] for point in BEGINNING + FIRST_STEP + TOOL_STEP + LAST_STEP + TAKE_OVER}


@dataclass
class Hook:
    """The developer's end of the tool; ``calls`` holds the ids that it was called with."""

    url: str = ""
    calls: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append(Request(scope, receive).headers["webhook-id"])
        await JSONResponse({"output": "woven"})(scope, receive, send)


@dataclass
class Talk:
    """A thread in which a turn dies."""

    rig: Rig
    hook: Hook
    thread_id: str = ""

    async def open(self) -> None:
        async with self.rig.heddle.client(self.rig.key) as client:
            self.thread_id = (await client.post("/v1/threads", json={})).raise_for_status().json()["id"]
        self.hook.calls.clear()

    async def say(self) -> None:
        """Post the message, and read the stream as far as it goes."""
        body = {"model": "chat", "content": "weave", "tools": [TOOL], "stream": True, "max_tokens": 100}
        await self.rig.call(f"/v1/threads/{self.thread_id}/messages", body)

    async def turns(self) -> list[dict[str, Any]]:
        found = await self.rig.get(f"/v1/threads/{self.thread_id}/turns")
        turns: list[dict[str, Any]] = found["data"]
        return turns

    async def ended(self) -> bool:
        turns = await self.turns()
        return bool(turns) and turns[0]["status"] not in {"running", "requires_action"}

    async def finish(self) -> None:
        """Wait until the turn has been finished by whoever took it over; say it again if it was not heard."""
        if not await self.turns():
            await self.say()
        await until(self.ended)


@asynccontextmanager
async def talk(folder: Path) -> AsyncIterator[Talk]:
    hook = Hook()
    async with served(lambda _: hook, lifespan=False) as url, rig(folder) as running:
        hook.url = url
        async with running.heddle.client() as admin:
            tool = {"name": TOOL, "webhook_url": url, "idempotent": True}
            (await admin.post("/v1/tools", json=tool)).raise_for_status()
        yield Talk(running, hook)


@pytest.mark.parametrize(
    "points", [BEGINNING, FIRST_STEP, TOOL_STEP, LAST_STEP], ids=["beginning", "first", "tool", "last"]
)
async def test_a_turn_that_dies_is_finished_and_paid_once(tmp_path: Path, points: tuple[str, ...]) -> None:
    async with talk(tmp_path) as talking:
        for point in points:
            await talking.open()
            talking.rig.heddle.arm(point)
            await talking.say()
            await talking.rig.die_at(point)
            await talking.finish()
            await check(talking, point)


async def test_a_turn_that_dies_again_while_it_is_taken_over_is_paid_once(tmp_path: Path) -> None:
    async with talk(tmp_path) as talking:
        heddle = talking.rig.heddle
        for point in TAKE_OVER:
            await talking.open()
            heddle.arm("turn.events.committed:3")
            await talking.say()
            await heddle.died()
            await heddle.start(point)
            await heddle.died()
            await heddle.start()
            await talking.finish()
            lost = await check(talking, point)
            assert lost >= 1, point


async def check(talking: Talk, point: str) -> int:
    """The turn is finished, and its money is right; returns how many lost attempts were paid."""
    (turn,) = await talking.turns()
    assert turn["status"] == "completed", (point, turn)
    messages = (await talking.rig.get(f"/v1/threads/{talking.thread_id}/messages"))["data"]
    assert [one["role"] for one in messages] == ["user", "assistant", "user", "assistant"], point
    assert len(talking.hook.calls) in ((1, 2) if ".tool." in point else (1,)), point
    assert len(set(talking.hook.calls)) == 1, point
    books = talking.rig.books()
    assert books.holds == [], point
    engine = sync_engine(parse_database_url(talking.rig.heddle.database_url), writing=False)
    with Session(engine) as session:
        events = session.exec(select(UsageEvent).where(UsageEvent.turn_id == turn["id"])).all()
        row = session.exec(select(Turn).where(Turn.id == turn["id"])).one()
        assert row.cost_nanos == sum(event.cost_nanos for event in events), point
        assert len(session.exec(select(ToolCallRow).where(ToolCallRow.turn_id == row.id)).all()) == 1
        finished = [event for event in events if event.status == "ok"]
        assert [event.cost_nanos for event in finished] == [CALL_NANOS] * 2, point
        lost = {event.id: event for event in events if event.status != "ok"}
        assert _costs(lost) == _delivered(session, row, {event.id for event in finished}), point
    engine.dispose()
    return len(lost)


def _costs(lost: dict[str, UsageEvent]) -> dict[str, int]:
    assert all(event.error_code == "process_died" for event in lost.values())
    return {name: event.cost_nanos for name, event in lost.items()}


def _delivered(session: Session, turn: Turn, finished: set[str]) -> dict[str, int]:
    """What is to be paid for the steps that were begun, logged and not finished, by request id: the input as
    the provider counted it, and a token for each four letters that a subscriber could see (or what the
    provider counted, if it had)."""
    chunks = session.exec(
        select(TurnEventChunk).where(TurnEventChunk.turn_id == turn.id).order_by(col(TurnEventChunk.first_id))
    ).all()
    tokens: dict[str, float] = {}
    iteration: dict[int, int] = {}
    name = ""
    for chunk in chunks:
        attempt = (chunk.first_id - 1) // IDS_PER_ATTEMPT + 1
        for frame in filter(None, chunk.frames.split("\n\n")):
            event = json.loads(frame.partition("\ndata: ")[2])
            if event["type"].endswith(".iteration_start"):
                iteration[attempt] = event["iteration"]
            elif event["type"] == "message_start":
                name = f"{turn.id}:{iteration.get(attempt, 1)}"
                name = name if attempt == 1 else f"{name}:{attempt}"
                tokens[name] = 0
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                tokens[name] += len(delta.get("text", "") + delta.get("partial_json", "")) / 4
            elif event["type"] == "message_delta":
                tokens[name] = event["usage"]["output_tokens"]
    return {
        name: INPUT_TOKENS * 1_000 + max(1, math.ceil(count)) * 5_000
        for name, count in tokens.items()
        if name not in finished
    }
