"""``kill -9`` while a connection's tokens are renewed: the vendor has rotated them, or not."""

import asyncio
import signal

import pytest

from connectors.connections import Connections
from connectors.models import Connection
from connectors.renewal import LEASE_MS
from gateway.demo.oauth_mcp import NotebookVendor
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk, configured, desk, vendor_files
from tests.connectors.leasing import Leasing, Order, Setup, Told

TAKEN, ANSWERED = "connection.refresh.taken", "connection.refresh.answered"
APPLIED, COMMITTED = "connection.refresh.applied", "connection.refresh.committed"
POINTS = {TAKEN, ANSWERED, APPLIED, COMMITTED}

__all__ = ["configured", "desk", "vendor_files"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is in the database after a crash is tested on both engines elsewhere."""
    return sqlite_url


async def connected(desk: Desk) -> tuple[NotebookVendor, Setup]:
    vendor = await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    url = desk.db.url.render_as_string(hide_password=False)
    return vendor, Setup(url, ACCOUNT, f"{desk.url}/connect/callback", f"{vendor.base_url}/mcp")


async def dies(setup: Setup, point: str, now_ms: int) -> None:
    doomed = Leasing(setup)
    doomed.tell(Order(1, now_ms, point))
    with pytest.raises(EOFError):
        await doomed.hear()
    await asyncio.to_thread(doomed.process.join, 30)
    assert doomed.process.exitcode == -signal.SIGKILL


async def uses(setup: Setup, now_ms: int, *, calls: int = 3) -> Told:
    worker = Leasing(setup)
    try:
        return await worker.do(Order(calls, now_ms))
    finally:
        worker.close()


async def the_row(connections: Connections) -> Connection:
    rows = await connections.page(ACCOUNT, limit=10, before=None)
    assert len(rows) == 1
    return rows[0]


async def test_a_refresh_that_never_reached_the_vendor_is_made_by_the_next(desk: Desk) -> None:
    vendor, setup = await connected(desk)
    now = desk.clock.now_ms() + 3_600_000
    await dies(setup, TAKEN, now)
    assert vendor.refreshes == 0
    told = await uses(setup, now + LEASE_MS + 1)
    assert (told.failures, set(told.generations), vendor.refreshes) == ([], {2}, 1)


async def test_meanwhile_others_go_on_with_a_token_that_is_good(desk: Desk) -> None:
    vendor, setup = await connected(desk)
    now = desk.clock.now_ms() + 3_400_000
    await dies(setup, TAKEN, now)
    told = await uses(setup, now)
    assert (told.failures, set(told.generations), vendor.refreshes) == ([], {1}, 0)


async def test_a_refresh_whose_answer_was_lost_is_made_once_more(desk: Desk) -> None:
    """Vendors that forgive a repeat, for this very reason, lose nobody."""
    vendor, setup = await connected(desk)
    now = desk.clock.now_ms() + 3_600_000
    await dies(setup, ANSWERED, now)
    assert vendor.refreshes == 1
    assert (await the_row(desk.connections)).status == "active"
    vendor.refreshing |= vendor.spent
    vendor.spent.clear()
    told = await uses(setup, now + LEASE_MS + 1)
    assert (told.failures, set(told.generations), vendor.refreshes) == ([], {2}, 2)


async def test_only_then_the_connection_has_expired_and_says_why(desk: Desk) -> None:
    vendor, setup = await connected(desk)
    now = desk.clock.now_ms() + 3_600_000
    await dies(setup, APPLIED, now)
    assert (vendor.refreshes, vendor.reuses) == (1, 0)
    told = await uses(setup, now + LEASE_MS + 1)
    assert told.answers == []
    assert len([failure for failure in told.failures if "connection_required" in failure]) == 3
    assert (vendor.refreshes, vendor.reuses) == (1, 1)
    row = await the_row(desk.connections)
    assert (row.status, row.status_reason, row.generation) == ("expired", "refresh_interrupted", 1)


async def test_tokens_that_were_committed_are_used_by_the_next(desk: Desk) -> None:
    vendor, setup = await connected(desk)
    now = desk.clock.now_ms() + 3_600_000
    await dies(setup, COMMITTED, now)
    told = await uses(setup, now)
    assert (told.failures, set(told.generations)) == ([], {2})
    assert (vendor.refreshes, vendor.reuses) == (1, 0)
