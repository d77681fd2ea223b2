"""Old connect sessions are deleted, with what they sealed, and nothing that somebody still needs."""

import pytest
from sqlmodel import select

from connectors import session_purge
from connectors.connect import LIFETIME_MS, VERIFIER_PURPOSE
from connectors.models import ConnectSession
from connectors.session_purge import KEEP_MS, SessionPurge
from tests.connectors.browsing import connect, press
from tests.connectors.conftest import ACCOUNT, Desk
from vault.models import Secret

ALL_OVER_S = (LIFETIME_MS + KEEP_MS) / 1000


def purge_of(desk: Desk) -> SessionPurge:
    return SessionPurge(desk.db, desk.vault, desk.clock)


async def left(desk: Desk) -> tuple[set[str], int]:
    """The sessions that there are, and how many of their verifiers."""
    async with desk.db.session() as session:
        ids = (await session.exec(select(ConnectSession.id))).all()
        sealed = (await session.exec(select(Secret).where(Secret.purpose == VERIFIER_PURPOSE))).all()
    return set(ids), len(sealed)


async def test_a_session_goes_a_week_after_it_expired_with_its_verifier(desk: Desk) -> None:
    await desk.vendor()
    browser = await desk.browser()
    untouched, begun, declined = [await desk.link() for _ in range(3)]
    await press(browser, begun.connect_url)
    await press(browser, declined.connect_url, "cancel")
    assert (await left(desk))[1] == 1
    desk.clock.advance(seconds=ALL_OVER_S - 1)
    purge = purge_of(desk)
    await purge.step()
    assert await left(desk) == ({untouched.id, begun.id, declined.id}, 1)
    texts = [(await browser.get(link.connect_url)).text for link in (untouched, begun, declined)]
    assert ["expired" in text for text in texts] == [True, True, False]
    assert "already used" in texts[2]
    desk.clock.advance(seconds=1)
    young = await desk.link()
    await purge.step()
    assert await left(desk) == ({young.id}, 0)
    assert (await browser.get(declined.connect_url)).status_code == 404


async def test_a_flow_that_was_never_finished_leaves_nothing(desk: Desk) -> None:
    vendor = await desk.vendor()
    link = await desk.link()
    answer = await press(await desk.browser(), link.connect_url)
    assert answer.is_redirect and vendor.access == {}
    desk.clock.advance(seconds=ALL_OVER_S)
    await purge_of(desk).step()
    assert await left(desk) == (set(), 0)


async def test_what_a_living_connection_was_asked_for_is_kept(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    assert "Connected" in (await connect(await desk.browser(), link.connect_url)).text
    row = await desk.connections.find(ACCOUNT, "notebook", "ada")
    assert row is not None
    asked = await desk.connections.scopes_asked_for(row)
    assert asked
    desk.clock.advance(seconds=ALL_OVER_S)
    await purge_of(desk).step()
    assert await left(desk) == ({link.id}, 0)
    assert await desk.connections.scopes_asked_for(row) == asked
    await desk.connections.disconnect(row)
    await purge_of(desk).step()
    assert await left(desk) == (set(), 0)


async def test_a_step_is_bounded_and_the_next_one_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_purge, "BATCH", 2)
    await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)  # the first one stays for ever
    for _ in range(4):
        await desk.link()
    desk.clock.advance(seconds=ALL_OVER_S)
    purge, sizes = purge_of(desk), []
    for _ in range(4):
        await purge.step()
        sizes.append(len((await left(desk))[0]))
    assert sizes == [4, 2, 1, 1]
    late = await desk.link()
    desk.clock.advance(seconds=ALL_OVER_S)
    await purge.step()
    await purge.step()
    assert late.id not in (await left(desk))[0]


async def test_two_processes_purge_at_once(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    await press(await desk.browser(), link.connect_url)
    desk.clock.advance(seconds=ALL_OVER_S)
    for process in (purge_of(desk), purge_of(desk)):
        await process.step()
    assert await left(desk) == (set(), 0)
