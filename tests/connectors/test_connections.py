"""Connections: how they stand, what subscribers are told, what is done for them in the background."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlmodel import Session, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.connections import OAUTH, Connected, Connections, NewCredentials
from connectors.credentials import ConnectionRequired, Credential, Credentials
from connectors.keep_alive import KEEP_ALIVE_MS
from connectors.models import Connection, Revocation
from connectors.revocations import MAX_ATTEMPTS
from connectors.session_purge import SessionPurge
from connectors.upkeep import ConnectionUpkeep
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from kit.caller import Caller
from kit.errors import UpstreamFailed
from kit.outbox import OutboxEvent
from tests.connectors.browsing import connect, press
from tests.connectors.conftest import ACCOUNT, Desk
from vault.models import Secret

DAY_S = 86_400
DEAD = "http://127.0.0.1:9/gone"


async def connected(desk: Desk, **options: Any) -> NotebookVendor:
    vendor = await desk.vendor()
    await connect(await desk.browser(), (await desk.link(**options)).connect_url)
    return vendor


def upkeep(desk: Desk, credentials: Credentials) -> ConnectionUpkeep:
    sessions = SessionPurge(desk.db, desk.vault, desk.clock)
    return ConnectionUpkeep(desk.db, desk.clock, desk.connections, credentials, sessions)


async def lease(desk: Desk, **options: Any) -> Credential:
    return await desk.credentials.lease(ACCOUNT, "notebook", "ada", **options)


async def row_of(connections: Connections) -> Connection:
    return (await connections.page(ACCOUNT, limit=1, before=None))[0]


async def told(desk: Desk) -> list[tuple[str, Any]]:
    async with desk.db.session() as session:
        events = (await session.exec(select(OutboxEvent).order_by(OutboxEvent.id))).all()
    return [(event.type, event.data.get("reason")) for event in events]


async def point(desk: Desk, model: type[Connection] | type[Revocation], **endpoints: str) -> None:
    def write(session: Any) -> None:
        for row in session.exec(select(model)).all():
            row.oauth = {**row.oauth, **endpoints}
            session.add(row)

    await desk.db.write(write)


async def token_endpoint(desk: Desk, answer: Callable[[], Response]) -> tuple[str, list[str]]:
    """A vendor's token endpoint that answers so, and what it was asked."""
    asked: list[str] = []

    async def token(request: Request) -> Response:
        asked.append((await request.body()).decode())
        return answer()

    app = Starlette(routes=[Route("/token", token, methods=["POST"])])
    url = await desk.stack.enter_async_context(served(lambda _: app))
    return f"{url}/token", asked


async def test_a_vendor_that_asks_for_time_gets_it(desk: Desk) -> None:
    vendor = await connected(desk)
    url, asked = await token_endpoint(desk, lambda: Response(status_code=429, headers={"retry-after": "120"}))
    await point(desk, Connection, token_endpoint=url)
    desk.clock.advance(seconds=3_400)
    assert (await lease(desk)).generation == 1, "it is good for another 200 seconds"
    assert (await lease(desk)).generation == 1
    assert len(asked) == 1
    desk.clock.advance(seconds=200)
    with pytest.raises(UpstreamFailed):
        await lease(desk)
    with pytest.raises(UpstreamFailed) as pause:
        await lease(desk)
    assert (pause.value.code, pause.value.headers["retry-after"]) == ("refresh_paused", "120")
    assert len(asked) == 2
    assert (await row_of(desk.connections)).status == "active"
    await point(desk, Connection, token_endpoint=f"{vendor.base_url}/token")
    desk.clock.advance(seconds=121)
    assert (await lease(desk)).generation == 2


async def test_a_vendor_that_refuses_heddle_is_an_error_that_mends_itself(desk: Desk) -> None:
    vendor = await connected(desk)
    url, _ = await token_endpoint(desk, lambda: JSONResponse({"error": "invalid_client"}, 401))
    await point(desk, Connection, token_endpoint=url)
    desk.clock.advance(seconds=3_600)
    with pytest.raises(UpstreamFailed):
        await lease(desk)
    row = await row_of(desk.connections)
    assert (row.status, row.status_reason) == ("error", "client_refused")
    await point(desk, Connection, token_endpoint=f"{vendor.base_url}/token")
    desk.clock.advance(seconds=10)
    assert (await lease(desk)).generation == 2
    assert (await row_of(desk.connections)).status == "active"
    assert sorted(await told(desk)) == [
        ("connection.connected", None),
        ("connection.error", "client_refused"),
        ("connection.recovered", None),
    ]


async def test_a_grant_that_ends_before_its_time_was_revoked_and_after_it_has_expired(desk: Desk) -> None:
    vendor = await connected(desk)
    vendor.revoke_user("ada")
    with pytest.raises(ConnectionRequired):
        await lease(desk, rejected=await lease(desk))
    assert (await row_of(desk.connections)).status == "revoked"
    await connect(await desk.browser(), (await desk.link()).connect_url)
    vendor.revoke_user("ada")
    desk.clock.advance(seconds=3_600)
    with pytest.raises(ConnectionRequired):
        await lease(desk)
    assert (await row_of(desk.connections)).status == "expired"
    assert sorted(await told(desk)) == [
        ("connection.connected", None),
        ("connection.connected", None),
        ("connection.expired", "grant_refused"),
        ("connection.revoked", "grant_refused"),
    ]


async def test_without_a_refresh_token_it_is_used_to_its_end(desk: Desk) -> None:
    vendor = await connected(desk)
    row = await row_of(desk.connections)
    opened = await desk.connections.opened(row.id)
    assert opened is not None
    new = NewCredentials(OAUTH, {**opened[1], "refresh_token": None}, (), row.expires_at, row.oauth)
    key = Connected(ACCOUNT, "notebook", "ada", "")
    await desk.connections.store(lambda _session, _id: None, key=key, new=new)
    desk.clock.advance(seconds=3_599)
    assert (await lease(desk)).headers == {"authorization": f"Bearer {opened[1]['access_token']}"}
    desk.clock.advance(seconds=10)
    with pytest.raises(ConnectionRequired):
        await lease(desk)
    row = await row_of(desk.connections)
    assert (row.status, row.status_reason, vendor.refreshes) == ("expired", "no_refresh_token", 0)


async def test_a_key_that_is_refused_is_revoked(desk: Desk) -> None:
    link = await desk.link("pasted")
    await press(await desk.browser(), link.connect_url, key="sk-1")
    leased = await desk.credentials.lease(ACCOUNT, "pasted", "ada")
    with pytest.raises(ConnectionRequired):
        await desk.credentials.lease(ACCOUNT, "pasted", "ada", rejected=leased)
    row = await row_of(desk.connections)
    assert (row.status, row.status_reason) == ("revoked", "key_refused")


async def test_what_a_vendor_that_is_down_could_not_be_told_it_is_told_later(desk: Desk) -> None:
    vendor = await connected(desk)
    await point(desk, Connection, revocation_endpoint=DEAD)
    await desk.connections.disconnect(await row_of(desk.connections))
    assert await desk.connections.page(ACCOUNT, limit=1, before=None) == []
    assert (await told(desk))[-1] == ("connection.revoked", "deleted")
    await point(desk, Revocation, revocation_endpoint=f"{vendor.base_url}/revoke")
    revocations = desk.connections.revocations
    await revocations.attempt_due()
    assert vendor.refreshing != {}, "not yet"
    desk.clock.advance(seconds=61)
    await revocations.attempt_due()
    assert vendor.refreshing == {}
    assert await _left(desk) == (0, 0)


async def test_a_vendor_that_stays_down_is_given_up_and_the_tokens_forgotten(desk: Desk) -> None:
    await connected(desk)
    await point(desk, Connection, revocation_endpoint=DEAD)
    await desk.connections.disconnect(await row_of(desk.connections))
    for _ in range(MAX_ATTEMPTS - 1):
        assert await _left(desk) == (1, 1)
        desk.clock.advance(seconds=DAY_S)
        await desk.connections.revocations.attempt_due()
    assert await _left(desk) == (0, 0)


async def _left(desk: Desk) -> tuple[int, int]:
    """Revocations to make, and sealed credentials of connections."""
    async with desk.db.session() as session:
        revocations = (await session.exec(select(Revocation))).all()
        secrets = (await session.exec(select(Secret).where(Secret.purpose == "credentials"))).all()
    return len(revocations), len(secrets)


async def test_tokens_that_nobody_uses_are_kept_alive_by_one_process(desk: Desk) -> None:
    vendor = await connected(desk)
    processes = [upkeep(desk, credentials) for credentials in (desk.credentials, desk.other)]

    async def keep_alive() -> None:
        await asyncio.gather(*(process.keep_alive() for process in processes))

    desk.clock.advance(seconds=KEEP_ALIVE_MS * 0.79 / 1000)
    await keep_alive()
    assert vendor.refreshes == 0
    desk.clock.advance(seconds=KEEP_ALIVE_MS * 0.42 / 1000)
    await keep_alive()
    await keep_alive()
    assert (vendor.refreshes, vendor.reuses) == (1, 0)
    row = await row_of(desk.connections)
    assert (row.generation, row.status) == (2, "active")


async def test_a_grant_that_died_unused_expires(desk: Desk) -> None:
    vendor = await connected(desk)
    vendor.revoke_user("ada")
    desk.clock.advance(seconds=10 * DAY_S)
    await upkeep(desk, desk.credentials).keep_alive()
    row = await row_of(desk.connections)
    assert (row.status, row.keep_alive_at) == ("expired", None)


async def test_the_last_use_is_written_later(desk: Desk) -> None:
    await connected(desk)
    await lease(desk)
    desk.clock.advance(seconds=2)
    await lease(desk)
    assert (await row_of(desk.connections)).last_used_at is None
    await desk.credentials.last_used.write()
    assert (await row_of(desk.connections)).last_used_at == desk.clock.now_ms()


async def test_labels_tell_accounts_of_one_end_user_apart(desk: Desk) -> None:
    vendor = await connected(desk)
    await connect(await desk.browser(), (await desk.link(label="work")).connect_url, user="ada@work")
    home, work = await lease(desk), await lease(desk, label="work")

    def user(leased: Credential) -> str | None:
        return vendor.access[leased.headers["authorization"].removeprefix("Bearer ")].subject

    assert (user(home), user(work)) == ("ada", "ada@work")
    api = await desk.api(Caller(ACCOUNT, "k", "standard"))

    async def listed(**query: str) -> list[str]:
        found = (await api.get("/v1/connections", params=query)).raise_for_status().json()["data"]
        return sorted(row["label"] for row in found)

    assert await listed() == ["", "work"]
    assert await listed(label="work", connector="notebook", status="active") == ["work"]
    assert await listed(label="") == [""]
    assert await listed(status="expired") == []
    assert await listed(connector="elsewhere") == []
    assert (await api.get("/v1/connections", params={"status": "good"})).status_code in {400, 422}
    vendor.revoke_user("ada@work")
    with pytest.raises(ConnectionRequired):
        await lease(desk, label="work", rejected=work)
    assert (await lease(desk)).headers == home.headers


async def test_another_account_is_not_asked_for_the_scopes_of_the_first(desk: Desk) -> None:
    await connected(desk)
    connection_id = (await row_of(desk.connections)).id

    def grant_more(session: Session) -> None:
        session.get_one(Connection, connection_id).scopes = ["notes", "admin"]

    await desk.db.write(grant_more)

    async def asked_for(label: str) -> list[str]:
        token = (await desk.link(label=label)).connect_url.rpartition("/")[2]
        row, target = await desk.sessions.look_up(token)
        url = await desk.sessions.authorize(row, target, "a-browser")
        return parse_qs(urlsplit(url).query)["scope"][0].split()

    assert "admin" in await asked_for("")
    assert "admin" not in await asked_for("work")


async def test_tokens_that_come_for_a_deleted_connection_are_given_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = await connected(desk)
    answered, deleted = asyncio.Event(), asyncio.Event()
    keep = desk.credentials.renewal._keep

    async def late(*arguments: Any) -> None:
        answered.set()
        await deleted.wait()
        await keep(*arguments)

    monkeypatch.setattr(desk.credentials.renewal, "_keep", late)
    desk.clock.advance(seconds=3_600)
    use = asyncio.create_task(lease(desk))
    await answered.wait()
    await point(desk, Connection, revocation_endpoint=DEAD)
    row = await row_of(desk.connections)
    await desk.connections.disconnect(row)
    assert vendor.refreshing != {}, "the vendor could not be told of the new one by who deleted"
    deleted.set()
    with pytest.raises(ConnectionRequired):
        await use
    assert vendor.refreshing == {}
