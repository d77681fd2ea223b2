"""Two processes and one turn: never two that write."""

import asyncio
from typing import Any

import pytest

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import Conflict
from threads.journal import Journal
from threads.leases import LEASE_MS
from threads.model_client import LeaseLost, StepCost
from threads.models import Turn
from threads.store import ThreadStore
from threads.turn_request import TurnRequest, parse_turn

CALLER = Caller("acct_1", "key_1", "standard")
REQUEST: TurnRequest = parse_turn({"model": "sim-small", "content": "hi"})


@pytest.fixture
async def thread_id(db: Database, clock: ManualClock) -> str:
    store = ThreadStore(db, clock)
    return (await store.create(CALLER, end_user_id=None, metadata={}, thread_id=None)).id


async def record(db: Database, journal: Journal, turn: Turn) -> Any:
    return await db.write(
        lambda session: journal.record_step(
            session,
            turn,
            iteration=1,
            request_id="r",
            content=[{"type": "text", "text": "x"}],
            model="sim",
            stop_reason="end_turn",
            cost=StepCost(0, {}),
        )
    )


async def test_a_lease_that_ran_out_is_taken_once_and_the_old_owner_may_not_write(
    db: Database, clock: ManualClock, thread_id: str
) -> None:
    first = Journal(db, clock, "one")
    rivals = [Journal(db, clock, f"rival {number}") for number in range(5)]
    turn = await first.begin(CALLER, thread_id, REQUEST)
    assert await rivals[0].take(turn.id, expected_attempt=1, force=False) is None
    clock.advance(seconds=LEASE_MS / 1000 + 1)
    assert await rivals[0].orphans(any_owner_but_me=False) == [(turn.id, 1)]
    taken = await asyncio.gather(*(rival.take(turn.id, expected_attempt=1, force=False) for rival in rivals))
    winners = [(rival, row) for rival, row in zip(rivals, taken, strict=True) if row is not None]
    assert len(winners) == 1
    with pytest.raises(LeaseLost):
        await record(db, first, turn)
    with pytest.raises(LeaseLost):
        await first.finish(turn, "completed", lambda _session: None)
    winner, row = winners[0]
    assert row.attempt == 2
    assert (await record(db, winner, row)).seq == 2


async def test_a_renewed_lease_is_not_taken(db: Database, clock: ManualClock, thread_id: str) -> None:
    owner, rival = Journal(db, clock, "owner"), Journal(db, clock, "rival")
    turn = await owner.begin(CALLER, thread_id, REQUEST)
    clock.advance(seconds=LEASE_MS / 1000 - 1)
    await owner.renew([turn.id])
    clock.advance(seconds=LEASE_MS / 1000 - 1)
    assert await rival.take(turn.id, expected_attempt=1, force=False) is None
    assert (await record(db, owner, turn)).seq == 2


async def test_a_thread_runs_one_turn_at_a_time(db: Database, clock: ManualClock, thread_id: str) -> None:
    journals = [Journal(db, clock, f"process {number}") for number in range(4)]
    results = await asyncio.gather(
        *(journal.begin(CALLER, thread_id, REQUEST) for journal in journals for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Turn) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 11


async def test_a_refused_turn_takes_its_message_back(
    db: Database, clock: ManualClock, thread_id: str
) -> None:
    journal, store = Journal(db, clock, "one"), ThreadStore(db, clock)
    turn = await journal.begin(CALLER, thread_id, REQUEST)
    await journal.withdraw(turn, {"message": "no money"}, lambda _session: None)
    rows = await store.messages(CALLER, thread_id, limit=10, ascending=True, after_seq=None, before_seq=None)
    assert rows == []
    again = await journal.begin(CALLER, thread_id, REQUEST)
    assert again.user_seq == 1
