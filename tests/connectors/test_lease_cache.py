"""Credentials in memory: gone when something is learned of them, here at once and elsewhere in seconds."""

import pytest

from connectors.credentials import ConnectionRequired
from connectors.lease_cache import ConnectionKey, Credential, LeaseCache
from kit.brief_cache import MAX_AGE_MS
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk

KEY = ConnectionKey(ACCOUNT, "notebook", "ada")
SECRET = "access-token-in-the-clear"


def credential(connection_id: str = "conn_1") -> Credential:
    return Credential(connection_id, 1, {"authorization": f"Bearer {SECRET}"})


def test_a_connection_is_dropped_whoever_asked_for_it() -> None:
    cache = LeaseCache()
    for end_user in ("ada", "bob"):
        key = KEY._replace(end_user_id=end_user)
        cache.put(key, credential(f"conn_{end_user}"), now_ms=1_000, drops=0)
    cache.drop_connection("conn_ada")
    assert [cache.get(KEY._replace(end_user_id=name), 1_001) is None for name in ("ada", "bob")] == [
        True,
        False,
    ]


def test_nothing_shows_a_credential() -> None:
    cache = LeaseCache()
    cache.put(KEY, credential(), now_ms=1_000, drops=0)
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
