"""``kill -9`` at every point of a turn: it is finished once, what had been delivered is paid once, no tool
does twice what it may do once, and whoever was listening hears the rest, without a gap or a repetition."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from kit.db import parse_database_url, sync_engine
from tests.crash.doomed import Doomed
from tests.crash.provider import TOOL_ROUNDS
from tests.crash.rig import Rig, rig
from tests.crash.talk import ROUNDS, Talk
from tests.crash.workshop import TOOLS, Use, workshop

AT_THE_WEBHOOK = "at the webhook"
"""Killed from outside, when a tool that may not be called again has the call and has not answered."""
FIRST_ROUND = (
    "turn.begin.applied",
    "turn.begin.committed",
    "billing.hold.applied",
    "billing.hold.committed",
    "call.upstream.asked",
    "call.upstream.answered",
    "turn.step.opened",
    "turn.step.shown:4",
    "turn.events.applied",
    "turn.events.committed",
    "turn.events.committed:3",
    "turn.step.applied",
    "billing.settle.applied",
    "billing.settle.committed",
    "turn.step.committed",
)
TOOL_STEPS = (
    "turn.tool.started",
    "turn.tool.started:4",
    AT_THE_WEBHOOK,
    "turn.tool.answered",
    "turn.tool.answered:4",
    "turn.tool.committed",
    "turn.tool.committed:4",
    "turn.results.applied",
    "turn.results.committed",
    "turn.tool.answered:6",
    "turn.results.committed:2",
)
LATER_ROUNDS = (
    "turn.step.opened:2",
    "turn.step.shown:40",
    "turn.step.applied:2",
    "turn.step.committed:2",
    "billing.hold.committed:3",
    "call.upstream.answered:3",
    "turn.step.opened:3",
    "turn.step.shown:60",
    "billing.settle.applied:3",
    "turn.step.committed:3",
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
VICTIMS_AT_ONCE = 4
FAR_FUTURE = 2**53
ALL = FIRST_ROUND + TOOL_STEPS + LATER_ROUNDS
RESTARTED = (
    "turn.begin.applied",
    "billing.hold.committed",
    "turn.step.opened:2",
    "turn.events.committed:3",
    "billing.settle.applied",
    "turn.step.committed:3",
    "turn.tool.started",
    AT_THE_WEBHOOK,
    "turn.tool.answered:6",
    "turn.tool.committed:3",
    "turn.results.committed",
    "turn.end.committed",
)
"""On SQLite a process is alone: each death wants a start of its own. All points are for PostgreSQL."""
POINTS = {point.partition(":")[0] for point in ALL + TAKE_OVER} - {AT_THE_WEBHOOK}


CALLS = TOOL_ROUNDS * len(TOOLS)
WHOLE_TURN = {
    **dict.fromkeys(("message_start", "message_delta", "message_stop"), ROUNDS),
    **dict.fromkeys(("content_block_start", "content_block_stop"), ROUNDS + CALLS),
    **dict.fromkeys(("qlaud.tool_dispatch_start", "qlaud.tool_dispatch_done"), CALLS),
    "qlaud.iteration_start": ROUNDS - 1,
    "qlaud.done": 1,
}
"""The events of a turn, but for deltas."""


class Stage:
    """Where turns die: ``told`` is what one is told that does not."""

    def __init__(self, running: Rig, tools: Any) -> None:
        self.running = running
        self.tools = tools
        self.told = ""
        self.deaths = 0

    async def talk(self, subject: str, heddle: Doomed) -> Talk:
        talk = Talk(subject, self.running.key, self.running.provider, self.tools)
        await talk.open(heddle)
        return talk

    async def rehearse(self) -> None:
        """One turn that nothing befalls."""
        talk = await self.talk("rehearsal", self.running.heddle)
        await talk.say(self.running.heddle)
        self.told = talk.story()
        kinds = Counter(event["type"] for event in talk.heard.events)
        del kinds["content_block_delta"]
        assert kinds == WHOLE_TURN
        assert self.check(talk, deaths=0) == 0

    async def die(self, point: str, heddle: Doomed) -> Talk:
        """A turn whose process dies at the point while it is being listened to."""
        self.deaths += 1
        talk = await self.talk(f"{self.deaths} dies at {point}", heddle)
        if point == AT_THE_WEBHOOK:

            async def kill(use: Use) -> None:
                if (use.subject, use.tool) == (talk.subject, "ship"):
                    heddle.kill()
                    self.tools.on_use = None

            self.tools.on_use = kill
        else:
            heddle.arm(point)
        await talk.say(heddle)
        await heddle.died()
        return talk

    def check(self, talk: Talk, *, deaths: int) -> int:
        """How many lost attempts were paid."""
        engine = sync_engine(parse_database_url(self.running.heddle.database_url), writing=False)
        try:
            with Session(engine) as session:
                return len(talk.check(session, self.told, deaths))
        finally:
            engine.dispose()


@asynccontextmanager
async def stage(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    async with workshop() as tools, rig(folder, **settings) as running:
        async with running.heddle.client() as admin:
            await tools.register(admin)
        found = Stage(running, tools)
        await found.rehearse()
        yield found


@pytest.mark.parametrize("points", [RESTARTED[:6], RESTARTED[6:]], ids=["steps", "tools"])
async def test_a_turn_that_dies_is_finished_by_the_next_start(
    tmp_path: Path, points: tuple[str, ...]
) -> None:
    async with stage(tmp_path) as found:
        heddle = found.running.heddle
        for point in points:
            talk = await found.die(point, heddle)
            assert await heddle.start(), point
            await talk.hear_out(heddle)
            found.check(talk, deaths=1)
        assert found.running.books().holds == []


async def test_a_turn_that_dies_again_while_it_is_taken_over_is_paid_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as found:
        heddle = found.running.heddle
        for point in TAKE_OVER:
            talk = await found.die("turn.events.committed:3", heddle)
            await heddle.start(point)
            await heddle.died()
            assert await heddle.start(), point
            await talk.hear_out(heddle)
            assert found.check(talk, deaths=2) >= 1, point
        assert found.running.books().holds == []


@pytest.mark.timeout(300)
async def test_turns_that_die_are_finished_by_a_process_that_is_running(
    postgres_url: str, tmp_path: Path
) -> None:
    """Nobody takes a turn before all have died: its process could be one that is to die itself."""
    shared = {"database_url": postgres_url, "vault_keys": "1:" + base64.b64encode(bytes(32)).decode()}
    places = asyncio.Semaphore(VICTIMS_AT_ONCE)
    async with stage(tmp_path, at_once=len(ALL), **shared) as found:

        async def die(number: int, point: str) -> Talk:
            async with places:
                (folder := tmp_path / str(number)).mkdir()
                victim = Doomed(folder, **found.running.heddle.settings | {"data_dir": folder})
                assert await victim.start(), point
                talk = await found.die(point, victim)
                await lease_until(postgres_url, talk.thread_id, FAR_FUTURE)
                return talk

        talks = await asyncio.gather(*(die(number, point) for number, point in enumerate(ALL)))
        for talk in talks:
            await lease_until(postgres_url, talk.thread_id, 0)
        await asyncio.gather(*(talk.hear_out(found.running.heddle) for talk in talks))
        for talk in talks:
            found.check(talk, deaths=1)
        assert found.running.books().holds == []


async def lease_until(database_url: str, thread_id: str, when_ms: int) -> None:
    """As if time had passed for the turn of a dead process, or not."""
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
    async with connection:
        await connection.execute(
            "UPDATE turn SET lease_until = %s WHERE thread_id = %s AND status = 'running'",
            (when_ms, thread_id),
        )
