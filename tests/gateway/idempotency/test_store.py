"""The records: one request of a kind at a time, whoever else asks, dies or comes late."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlmodel import Session, select

from gateway.idempotency.answer import Answer
from gateway.idempotency.key import record_id
from gateway.idempotency.models import IdempotencyRecord
from gateway.idempotency.refusals import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    IdempotencyOutcomeUnknown,
)
from gateway.idempotency.store import LEASE_MS, LIFETIME_MS, PURGED_AT_ONCE, Asked, Claim, IdempotencyStore
from gateway.idempotency.tending import Tender
from kit.clock import ManualClock
from kit.db import Database
from kit.ids import new_uuid
from tests.gateway.billing.conftest import Purse, bound, outcome, purse
from tests.vault.test_vault import key_text
from vault.keyring import KeyRing
from vault.models import Secret
from vault.store import Vault

__all__ = ["purse"]

ANSWER = Answer(201, [(b"content-type", b"application/json")], b'{"secret": "ak_live_canary"}')
MINE = Claim(mine=True)


@pytest.fixture
async def processes(
    db: Database, database_url: str, clock: ManualClock
) -> AsyncIterator[list[IdempotencyStore]]:
    """Two processes on one database."""
    other = Database(database_url)
    ring = KeyRing.parse(key_text("v1"))
    yield [IdempotencyStore(each, Vault(each, ring, clock), clock) for each in (db, other)]
    await other.close()


def asked(
    key: str = "order-7", path: str = "/v1/messages", body: str = "body", run_id: str | None = None
) -> Asked:
    return Asked(record_id("key_1", key), "acct_1", "key_1", path, body, run_id or new_uuid())


def after_a_crash(clock: ManualClock) -> None:
    clock.advance(seconds=LEASE_MS / 1000 + 1)


async def test_of_many_at_once_exactly_one_is_carried_out(processes: list[IdempotencyStore]) -> None:
    claims = await asyncio.gather(
        *(processes[number % 2].claim(asked()) for number in range(40)), return_exceptions=True
    )
    assert claims.count(MINE) == 1
    others = [claim for claim in claims if claim != MINE]
    assert {type(refusal) for refusal in others} == {IdempotencyInProgress}


async def test_an_answer_is_found_by_those_who_ask_the_same_and_by_nobody_else(
    processes: list[IdempotencyStore], db: Database
) -> None:
    first, second = processes
    request = asked()
    assert await first.claim(request) == MINE
    await first.keep(request, ANSWER)
    repeated = asked()
    claim = await second.claim(repeated)
    assert claim.answer_id is not None
    assert await second.answer(repeated, claim.answer_id) == ANSWER
    with pytest.raises(IdempotencyMismatch):
        await second.claim(asked(body="another"))
    assert await second.claim(asked(key="order-8")) == MINE
    async with db.session() as session:
        sealed = (await session.exec(select(Secret))).one()
    assert b"canary" not in sealed.sealed


async def test_a_call_that_was_cut_off_is_made_again_by_one_and_its_hold_is_free(
    processes: list[IdempotencyStore], purse: Purse, clock: ManualClock
) -> None:
    await purse.credit(1000)
    payer = await purse.key()
    died = asked()
    await processes[0].claim(died)
    await purse.billing.admit(died.run_id, payer, bound(900))
    after_a_crash(clock)
    await processes[1].renew([asked()])  # what other requests renew does not help this one
    claims = await asyncio.gather(
        *(processes[number % 2].claim(asked()) for number in range(10)), return_exceptions=True
    )
    assert claims.count(MINE) == 1
    assert (await purse.wallet()).held_nanos == 0
    await processes[0].keep(died, ANSWER)  # it was only slow, and comes too late
    with pytest.raises(IdempotencyInProgress):
        await processes[0].claim(asked())


async def test_a_call_that_was_charged_is_not_made_again(
    processes: list[IdempotencyStore], purse: Purse, clock: ManualClock
) -> None:
    await purse.credit(1000)
    payer = await purse.key()
    died = asked()
    await processes[0].claim(died)
    await purse.billing.admit(died.run_id, payer, bound(900))
    await purse.billing.settle(died.run_id, payer, outcome(500))
    await processes[0].give_up(died)
    with pytest.raises(IdempotencyOutcomeUnknown, match="has been charged"):
        await processes[1].claim(asked())


async def test_what_may_have_had_its_effect_is_not_done_again(
    processes: list[IdempotencyStore], clock: ManualClock
) -> None:
    paths = ("/v1/keys", "/v1/tools", "/v1/tools/call", "/v1/mcp-servers", "/v1/not-decided-yet")
    for path in paths:
        await processes[0].claim(asked(key=path, path=path))
    after_a_crash(clock)
    for path in (*paths, *paths):
        with pytest.raises(IdempotencyOutcomeUnknown, match="not known what it did"):
            await processes[1].claim(asked(key=path, path=path))


async def test_a_renewed_lease_outlives_its_time_and_a_new_sole_process_ends_it(
    processes: list[IdempotencyStore], clock: ManualClock
) -> None:
    running = asked()
    await processes[0].claim(running)
    for _ in range(3):
        clock.advance(seconds=LEASE_MS / 1000 - 1)
        await processes[0].renew([running])
    with pytest.raises(IdempotencyInProgress) as refused:
        await processes[1].claim(asked())
    assert refused.value.headers == {"retry-after": "30"}
    await processes[1].abandon_all()
    assert await processes[1].claim(asked()) == MINE


async def test_all_is_forgotten_after_a_day(
    processes: list[IdempotencyStore], db: Database, clock: ManualClock
) -> None:
    old = asked()
    await processes[0].claim(old)
    await processes[0].keep(old, ANSWER)
    many = PURGED_AT_ONCE + 5

    def crowd(session: Session) -> None:
        for number in range(many):
            at = clock.now_ms()
            session.add(
                IdempotencyRecord(
                    id=str(number),
                    account_id="a",
                    key_id="k",
                    fingerprint="",
                    state="kept",
                    run_id="r",
                    lease_until=0,
                    created_at=at,
                    expires_at=at + LIFETIME_MS,
                )
            )

    await db.write(crowd)
    clock.advance(seconds=LIFETIME_MS / 1000)
    young = asked(key="young")
    await processes[0].claim(young)
    await processes[0].keep(young, ANSWER)
    assert await processes[1].claim(asked(body="the key is free again")) == MINE
    await asyncio.gather(*(Tender(store).purge() for store in processes))
    async with db.session() as session:
        left = (await session.exec(select(IdempotencyRecord.id))).all()
        answers = (await session.exec(select(Secret.owner))).all()
    assert set(left) == {record_id("key_1", "young"), record_id("key_1", "order-7")}
    assert answers == [record_id("key_1", "young")]
