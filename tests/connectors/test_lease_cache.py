"""Credentials in memory: few, for seconds, never past their time, gone when something is learned of them."""

import pytest

from connectors.credentials import ConnectionRequired
from connectors.lease_cache import MAX_AGE_MS, ConnectionKey, Credential, LeaseCache
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk

KEY = ConnectionKey(ACCOUNT, "notebook", "ada")
SECRET = "access-token-in-the-clear"


def credential(connection_id: str = "conn_1") -> Credential:
    return Credential(connection_id, 1, {"authorization": f"Bearer {SECRET}"})


def keep(cache: LeaseCache, *, key: ConnectionKey = KEY, until: int | None = None, drops: int = 0) -> None:
    cache.put(key, credential(f"conn_{key.end_user_id}"), now_ms=1_000, usable_until=until, drops=drops)


def test_it_is_kept_for_seconds() -> None:
    cache = LeaseCache()
    keep(cache)
    assert cache.get(KEY, 1_000 + MAX_AGE_MS - 1) is not None
    assert cache.get(KEY, 1_000 + MAX_AGE_MS) is None
    assert len(cache) == 0


def test_it_is_never_kept_past_its_time_nor_by_a_clock_that_was_set_back() -> None:
    cache = LeaseCache()
    keep(cache, until=1_500)
    assert cache.get(KEY, 1_499) is not None
    assert cache.get(KEY, 1_500) is None
    keep(cache, until=1_000)
    assert len(cache) == 0
    keep(cache)
    assert cache.get(KEY, 999) is None


def test_the_least_used_makes_room() -> None:
    cache = LeaseCache(max_entries=3)
    keys = [KEY._replace(end_user_id=str(number)) for number in range(5)]
    for key in keys[:3]:
        keep(cache, key=key)
    assert cache.get(keys[0], 1_001) is not None
    for key in keys[3:]:
        keep(cache, key=key)
    assert [cache.get(key, 1_002) is not None for key in keys] == [True, False, False, True, True]


def test_what_was_being_read_when_it_was_dropped_is_not_kept() -> None:
    cache = LeaseCache()
    before = cache.drops
    cache.drop("conn_ada")
    keep(cache, drops=before)
    assert cache.get(KEY, 1_001) is None


def test_nothing_shows_a_credential() -> None:
    cache = LeaseCache()
    keep(cache)
    assert SECRET not in repr(cache) + repr(cache.get(KEY, 1_001)) + str(vars(cache))


async def test_a_deleted_connection_ends_here_at_once_and_elsewhere_in_seconds(desk: Desk) -> None:
    await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    for process in (desk.credentials, desk.other):
        await process.lease(ACCOUNT, "notebook", "ada")
    row = (await desk.connections.page(ACCOUNT, limit=1, before=None))[0]
    await desk.connections.disconnect(row)
    with pytest.raises(ConnectionRequired):
        await desk.credentials.lease(ACCOUNT, "notebook", "ada")
    desk.clock.advance(seconds=MAX_AGE_MS / 1000)
    with pytest.raises(ConnectionRequired):
        await desk.other.lease(ACCOUNT, "notebook", "ada")


async def test_a_token_that_is_refused_is_asked_for_anew_in_every_process(desk: Desk) -> None:
    vendor = await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    old = await desk.other.lease(ACCOUNT, "notebook", "ada")
    await desk.credentials.lease(ACCOUNT, "notebook", "ada", rejected=old)
    again = await desk.other.lease(ACCOUNT, "notebook", "ada", rejected=old)
    assert (again.generation, vendor.refreshes) == (2, 1)
    assert await desk.other.lease(ACCOUNT, "notebook", "ada") is again
