"""Refreshing: once, whoever asks; and believing the vendor's no only when it is about this generation."""

import asyncio
from typing import Any

import pytest
from sqlmodel import select

from connectors.credentials import ConnectionRequired, Credential
from connectors.models import Connection
from connectors.oauth import refresh
from gateway.demo.oauth_mcp import NotebookVendor
from kit.caller import Caller
from kit.errors import UpstreamFailed
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk


async def connected(desk: Desk) -> NotebookVendor:
    vendor = await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    return vendor


async def lease(desk: Desk, rejected: Credential | None = None) -> Credential:
    return await desk.credentials.lease(ACCOUNT, "notebook", "ada", rejected=rejected)


async def test_fifty_callers_in_two_processes_refresh_once(desk: Desk) -> None:
    vendor = await connected(desk)
    desk.clock.advance(seconds=3_600)
    processes = (desk.credentials, desk.other)
    leased = await asyncio.gather(*(processes[n % 2].lease(ACCOUNT, "notebook", "ada") for n in range(50)))
    assert vendor.refreshes == 1
    assert {credential.generation for credential in leased} == {2}
    token = leased[0].headers["authorization"].removeprefix("Bearer ")
    assert vendor.access[token].subject == "ada"


async def test_a_token_is_refreshed_five_minutes_early_and_not_before(desk: Desk) -> None:
    vendor = await connected(desk)
    desk.clock.advance(seconds=3_600 - 301)
    await lease(desk)
    assert vendor.refreshes == 0
    desk.clock.advance(seconds=2)
    await lease(desk)
    assert vendor.refreshes == 1


async def test_a_rejected_token_is_refreshed_once_by_all_who_saw_it_rejected(desk: Desk) -> None:
    vendor = await connected(desk)
    old = await lease(desk)
    vendor.expire_access()
    renewed = await asyncio.gather(*(lease(desk, rejected=old) for _ in range(20)))
    assert vendor.refreshes == 1
    assert {credential.generation for credential in renewed} == {2}
    assert (await lease(desk, rejected=old)).generation == 2


async def test_a_revoked_grant_expires_the_connection(desk: Desk) -> None:
    vendor = await connected(desk)
    old = await lease(desk)
    vendor.revoke_user("ada")
    results = await asyncio.gather(*(lease(desk, rejected=old) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, ConnectionRequired) for result in results)
    with pytest.raises(ConnectionRequired) as refusal:
        await lease(desk)
    assert refusal.value.reason == "expired"
    await connect(await desk.browser(), (await desk.link()).connect_url)
    assert (await lease(desk)).generation > old.generation


async def test_a_vendor_that_is_down_does_not_cost_the_connection(desk: Desk) -> None:
    vendor = await connected(desk)
    old = await lease(desk)
    await desk.db.write(lambda session: _point_elsewhere(session, "http://127.0.0.1:9/token"))
    with pytest.raises(UpstreamFailed):
        await lease(desk, rejected=old)
    desk.clock.advance(seconds=3_600 - 100)
    assert (await lease(desk)).generation == old.generation
    await desk.db.write(lambda session: _point_elsewhere(session, f"{vendor.base_url}/token"))
    assert (await lease(desk)).generation == old.generation + 1


def _point_elsewhere(session, endpoint: str) -> None:  # type: ignore[no-untyped-def]
    row = session.exec(select(Connection)).one()
    row.oauth = {**row.oauth, "token_endpoint": endpoint}
    session.add(row)


async def test_a_refresh_that_comes_late_never_replaces_a_newer_connection(desk: Desk) -> None:
    await connected(desk)
    async with desk.db.session() as session:
        seen = (await session.exec(select(Connection))).one()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    newest = await lease(desk)
    from connectors.token_answer import Tokens

    await desk.credentials._store_refreshed(seen, {"refresh_token": "old"}, Tokens("late", "late"))
    assert (await lease(desk)).headers == newest.headers


async def test_a_refresh_goes_on_when_its_caller_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor has rotated the token by then: whoever gives up must not lose the new one."""
    vendor = await connected(desk)
    asked, answering = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        tokens = await refresh(*arguments)
        asked.set()
        await answering.wait()
        return tokens

    monkeypatch.setattr("connectors.credentials.refresh", slow)
    desk.clock.advance(seconds=3_600)
    caller = asyncio.create_task(lease(desk))
    await asked.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    answering.set()
    await desk.credentials.close()
    assert (await lease(desk)).generation == 2
    assert vendor.refreshes == 1


async def test_who_connects_anew_before_a_refresh_keeps_the_new_token(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = await connected(desk)
    desk.clock.advance(seconds=3_600)
    open_secret = desk.connections.open_secret

    async def late(row: Connection) -> Any:
        monkeypatch.setattr(desk.connections, "open_secret", open_secret)
        await connect(await desk.browser(), (await desk.link()).connect_url)
        return await open_secret(row)

    monkeypatch.setattr(desk.connections, "open_secret", late)
    leased = await lease(desk)
    assert (leased.generation, vendor.refreshes) == (2, 0)
    desk.clock.advance(seconds=3_600)
    assert (await lease(desk)).generation == 3


async def test_deleting_revokes_at_the_vendor_and_forgets(desk: Desk) -> None:
    vendor = await connected(desk)
    api = await desk.api(Caller(ACCOUNT, "k", "standard"))
    row = (await api.get("/v1/connections")).json()["data"][0]
    assert (await api.delete(f"/v1/connections/{row['id']}")).json()["deleted"] is True
    assert vendor.refreshing == {}
    assert (await api.get(f"/v1/connections/{row['id']}")).status_code == 404
    with pytest.raises(ConnectionRequired) as refusal:
        await lease(desk)
    assert refusal.value.reason == "not_connected"


async def test_the_refresh_route_gets_a_new_token(desk: Desk) -> None:
    vendor = await connected(desk)
    api = await desk.api(Caller(ACCOUNT, "k", "standard"))
    row = (await api.get("/v1/connections")).json()["data"][0]
    assert (await api.post(f"/v1/connections/{row['id']}/refresh")).json()["status"] == "active"
    assert vendor.refreshes == 1


async def test_connections_are_seen_by_their_own_only(desk: Desk) -> None:
    await connected(desk)
    owner = await desk.api(Caller(ACCOUNT, "k", "standard"))
    row = (await owner.get("/v1/connections")).json()["data"][0]
    assert set(row) & {"secret_id", "access_token", "refresh_token", "oauth"} == set()
    strangers = (Caller("acct_2", "k", "standard"), Caller(ACCOUNT, "k", "standard", "bob"))
    for stranger in strangers:
        api = await desk.api(stranger)
        assert (await api.get("/v1/connections")).json()["data"] == []
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/refresh")):
            answer = await api.request(method, f"/v1/connections/{row['id']}{path}")
            assert answer.status_code == 404
    bound = await desk.api(Caller(ACCOUNT, "k", "standard", "ada"))
    assert len((await bound.get("/v1/connections")).json()["data"]) == 1
    other = await bound.post("/v1/connections/sessions", json={"connector": "notebook", "end_user_id": "bob"})
    assert other.status_code == 403
