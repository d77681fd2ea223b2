"""A process is paused past its lease, another one goes on with its turn, and then the first one wakes up: at
every kind of write there is one that writes, and the other learns that it has lost, and leaves no trace."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy
from sqlmodel import SQLModel, select

from kit.db import Database
from tests.threads.rivals import (
    FORBIDDEN,
    NO_RUNNER,
    ONLY_COSTS,
    PAST_LEASE_S,
    WITHOUT_EFFECT,
    Process,
    finish,
    park,
    release,
    step,
)
from threads import models
from threads.journal import Journal
from threads.model_client import LeaseLost
from threads.models import Message

TABLES: list[Any] = [
    table
    for _, table in inspect.getmembers(models, inspect.isclass)
    if issubclass(table, SQLModel) and table is not SQLModel
]


def test_every_method_of_the_journal_is_fought_over() -> None:
    assert len(TABLES) >= 9
    methods = {name for name, _ in inspect.getmembers(Journal, inspect.isfunction) if name[0] != "_"}
    assert methods == (FORBIDDEN | WITHOUT_EFFECT | ONLY_COSTS).keys() - {"events"} | NO_RUNNER


async def runs(paused: Process, other: Process) -> None:
    assert await other.take(paused.turn)


async def has_parked(paused: Process, other: Process) -> None:
    await runs(paused, other)
    await park(other)


async def has_ended(paused: Process, other: Process) -> None:
    await runs(paused, other)
    await finish(other)


async def has_released(paused: Process, other: Process) -> None:
    await runs(paused, other)
    await release(other)


async def had_it_taken_back(paused: Process, other: Process) -> None:
    """By the process that was paused: what goes on in it of its first attempt may not write either."""
    first = paused.turn
    await has_released(paused, other)
    assert await paused.take(other.turn)
    paused.turn = first


TAKE_OVERS = (runs, has_parked, has_ended, has_released, had_it_taken_back)


@pytest.mark.parametrize("take_over", TAKE_OVERS)
async def test_a_process_that_wakes_up_after_its_turn_was_taken_writes_nothing(
    db: Database, take_over: Callable[[Process, Process], Awaitable[None]]
) -> None:
    paused = Process(db, "paused")
    for name, write in (FORBIDDEN | WITHOUT_EFFECT | ONLY_COSTS).items():
        other = Process(db, "other")
        await paused.begin()
        other.clock.advance(seconds=PAST_LEASE_S)
        await take_over(paused, other)
        before = await everything(db)
        if name in FORBIDDEN:
            with pytest.raises(LeaseLost):
                await write(paused)
        else:
            await write(paused)
        after = await everything(db)
        if name in ONLY_COSTS:
            turn, was = after["turn", paused.turn.id], before["turn", paused.turn.id]
            assert turn.pop("cost_nanos") == was.pop("cost_nanos") + 7, name
            del turn["updated_at"], was["updated_at"]
        if take_over is had_it_taken_back and name == "renew":
            continue  # the process is the runner, and renews its lease for its new attempt
        assert after == before, name


async def everything(db: Database) -> dict[Any, dict[str, Any]]:
    """Every row, by its table and its key."""
    rows: dict[Any, dict[str, Any]] = {}
    async with db.session() as session:
        for table in TABLES:
            for row in (await session.exec(select(table))).all():
                rows[table.__tablename__, *identity(row)] = row.model_dump()
    return rows


def identity(row: Any) -> tuple[Any, ...]:
    found = sqlalchemy.inspect(row).identity
    return tuple(found)


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_a_process_that_wakes_up_before_anybody_has_taken_its_turn_goes_on(
    sqlite_db: Database, name: str
) -> None:
    paused, other = Process(sqlite_db, "paused"), Process(sqlite_db, "other")
    await paused.begin()
    for process in (paused, other):
        process.clock.advance(seconds=PAST_LEASE_S)
    before = await everything(sqlite_db)
    await FORBIDDEN[name](paused)
    assert await everything(sqlite_db) != before
    assert await other.take(paused.turn) == (name not in {"withdraw", "park", "finish"})


async def test_while_one_writes_and_the_other_takes_there_is_one_order(db: Database) -> None:
    """Either the step is written and the turn taken after it, or it is taken and the step refused."""
    for _ in range(5):
        paused, other = Process(db, "paused"), Process(db, "other")
        await paused.begin()
        other.clock.advance(seconds=PAST_LEASE_S)
        written, taken = await asyncio.gather(step(paused), other.take(paused.turn), return_exceptions=True)
        assert taken is True
        async with db.session() as session:
            query = select(Message).where(Message.thread_id == paused.turn.thread_id, Message.seq == 3)
            assert ((await session.exec(query)).first() is not None) == (written is None)
        assert other.turn.last_seq == (3 if written is None else 2)
        with pytest.raises(LeaseLost):
            await step(paused)
