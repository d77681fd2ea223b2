"""Looking a key up: once for all who wait, and never from before a change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from gateway.accounts.keys import LOOKUP_TTL_MS, ApiKeys, NewKey
from gateway.accounts.models import Account, ApiKey
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import AuthenticationFailed
from kit.ids import new_id


@dataclass
class Rig:
    keys: ApiKeys
    account_id: str
    row: ApiKey
    secret: str
    clock: ManualClock
    reads: int = 0
    has_read: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None


@pytest.fixture
async def rig(db: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A key, and a database that counts its reads and holds them back while ``gate`` is shut."""
    account = Account(id=new_id("acct"), name="test", created_at=clock.now_ms())
    await db.write(lambda session: session.add(account.model_copy()))
    keys = ApiKeys(db, clock, key_prefix="ak_live_")
    row, secret = await keys.mint(account.id, NewKey("test", "standard"))
    rig = Rig(keys, account.id, row, secret, clock)
    session_of = db.session

    @asynccontextmanager
    async def counted() -> AsyncIterator[AsyncSession]:
        rig.reads += 1
        async with session_of() as session:
            yield session
            rig.has_read.set()
            if rig.gate is not None:
                await rig.gate.wait()

    monkeypatch.setattr(db, "session", counted)
    return rig


async def test_a_burst_reads_the_key_once(rig: Rig) -> None:
    callers = await asyncio.gather(*(rig.keys.authenticate(rig.secret) for _ in range(50)))
    assert {caller.key_id for caller in callers} == {rig.row.id}
    assert rig.reads == 1
    rig.clock.advance(seconds=LOOKUP_TTL_MS / 1000)
    await asyncio.gather(*(rig.keys.authenticate(rig.secret) for _ in range(50)))
    assert rig.reads == 2


async def test_a_burst_with_an_unknown_key_is_refused_every_time(rig: Rig) -> None:
    attempts = (rig.keys.authenticate("ak_live_unknown") for _ in range(20))
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(answer, AuthenticationFailed) for answer in answers)
    assert rig.reads == 1


async def test_a_cancelled_request_does_not_fail_those_that_wait_with_it(rig: Rig) -> None:
    rig.gate = asyncio.Event()
    first, second = (asyncio.create_task(rig.keys.authenticate(rig.secret)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    rig.gate.set()
    assert (await second).key_id == rig.row.id
    assert first.cancelled()


async def test_a_reading_from_before_a_revoke_admits_nobody_after_it(rig: Rig) -> None:
    rig.gate = asyncio.Event()
    before = asyncio.create_task(rig.keys.authenticate(rig.secret))
    await rig.has_read.wait()  # the answer waits at the gate
    await rig.keys.revoke(rig.account_id, rig.row.id)
    after = asyncio.create_task(rig.keys.authenticate(rig.secret))
    await asyncio.sleep(0)
    rig.gate.set()
    await before
    with pytest.raises(AuthenticationFailed, match="revoked"):
        await after
    with pytest.raises(AuthenticationFailed, match="revoked"):
        await rig.keys.authenticate(rig.secret)
