"""The connect link: the good way through it, and every way in which it must lead nowhere."""

from urllib.parse import parse_qs, urlsplit

import pytest
from sqlmodel import select

from connectors.connect import LIFETIME_MS
from connectors.credentials import ConnectionRequired
from connectors.models import Connection, ConnectSession
from kit.errors import InvalidRequest, NotFound
from tests.connectors.browsing import connect, follow, press
from tests.connectors.conftest import ACCOUNT, Desk
from vault.models import Secret


async def test_a_person_connects_and_tools_can_act_as_them(desk: Desk) -> None:
    vendor = await desk.vendor()
    link = await desk.link()
    done = await connect(await desk.browser(), link.connect_url)
    assert done.status_code == 200
    assert "Connected" in done.text
    assert [(event.connector, event.end_user_id) for event in desk.connected] == [("notebook", "ada")]
    credential = await desk.credentials.lease(ACCOUNT, "notebook", "ada")
    token = credential.headers["authorization"].removeprefix("Bearer ")
    assert vendor.access[token].subject == "ada"
    assert vendor.access[token].resource == f"{vendor.base_url}/mcp"
    assert token not in repr(credential)
    async with desk.db.session() as session:
        row = (await session.exec(select(Connection))).one()
        purposes = set((await session.exec(select(Secret.purpose))).all())
        link_row = (await session.exec(select(ConnectSession))).one()
    assert (row.status, row.scopes, row.kind) == ("active", ["notes"], "oauth")
    assert "pkce_verifier" not in purposes
    assert (link_row.status, link_row.connection_id) == ("done", row.id)


async def test_the_page_says_who_asks_and_is_locked_down(desk: Desk) -> None:
    await desk.vendor()
    page = await (await desk.browser()).get((await desk.link()).connect_url)
    assert "Acme &lt;Apps&gt;" in page.text
    assert "notebook" in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "HttpOnly" in page.headers["set-cookie"]


@pytest.mark.parametrize(
    ("decision", "status"), [("approve", "connected"), ("deny", "cancelled")], ids=["approved", "denied"]
)
async def test_the_developers_page_learns_how_it_ended(desk: Desk, decision: str, status: str) -> None:
    await desk.vendor()
    link = await desk.link(return_url="https://app.example/done?tab=1")
    browser = await desk.browser()
    end = await follow(browser, await press(browser, link.connect_url), decision=decision)
    where = urlsplit(end.headers["location"])
    query = parse_qs(where.query)
    assert (where.netloc, query["tab"], query["status"]) == ("app.example", ["1"], [status])
    assert ("connection_id" in query) == (status == "connected")


async def test_cancel_connects_nothing(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    browser = await desk.browser()
    page = await press(browser, link.connect_url, action="cancel")
    assert "Nothing was connected" in page.text
    assert (await browser.get(link.connect_url)).status_code == 410
    with pytest.raises(ConnectionRequired):
        await desk.credentials.lease(ACCOUNT, "notebook", "ada")


async def test_a_link_works_once(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    browser = await desk.browser()
    await connect(browser, link.connect_url)
    page = await browser.get(link.connect_url)
    assert page.status_code == 410
    assert "already used" in page.text


async def test_a_link_expires_also_in_the_middle(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    browser = await desk.browser()
    answer = await press(browser, link.connect_url)
    desk.clock.advance(seconds=LIFETIME_MS / 1000 + 1)
    assert (await follow(browser, answer)).status_code == 410
    page = await browser.get(link.connect_url)
    assert "expired" in page.text
    assert desk.connected == []


async def test_a_forged_link_gets_a_kind_page(desk: Desk) -> None:
    page = await (await desk.browser()).get(f"{desk.url}/connect/not-a-token")
    assert page.status_code == 404
    assert "does not work" in page.text


async def test_a_form_without_its_cookie_is_refused(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    stranger = await desk.browser()
    answer = await stranger.post(link.connect_url, data={"csrf": "x", "action": "continue"})
    assert answer.status_code == 403


async def test_a_callback_in_another_browser_attaches_nothing(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    victim, attacker = await desk.browser(), await desk.browser()
    authorize = await press(attacker, link.connect_url)
    landed = await follow(victim, authorize)
    assert landed.status_code == 403
    assert "another browser" in landed.text
    assert desk.connected == []


@pytest.mark.parametrize("query", ["state=wrong&code=x", "code=x", "", "state=&code="])
async def test_a_wrong_state_leads_nowhere(desk: Desk, query: str) -> None:
    await desk.vendor()
    browser = await desk.browser()
    await press(browser, (await desk.link()).connect_url)
    assert (await browser.get(f"{desk.url}/connect/callback?{query}")).status_code == 404


async def test_an_answer_from_another_issuer_is_not_believed(desk: Desk) -> None:
    await desk.vendor()
    link = await desk.link()
    browser = await desk.browser()
    answer = await press(browser, link.connect_url)
    state = parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]
    evil = {"state": state, "code": "stolen", "iss": "https://evil.example"}
    page = await browser.get(f"{desk.url}/connect/callback", params=evil)
    assert page.status_code == 502
    assert "another authorization server" in page.text
    again = await browser.get(f"{desk.url}/connect/callback", params={"state": state, "code": "x"})
    assert again.status_code == 410
    assert desk.connected == []


async def test_connecting_again_renews_the_same_connection(desk: Desk) -> None:
    await desk.vendor()
    browser = await desk.browser()
    await connect(browser, (await desk.link()).connect_url)
    first = await desk.credentials.lease(ACCOUNT, "notebook", "ada")
    await connect(browser, (await desk.link()).connect_url)
    second = await desk.credentials.lease(ACCOUNT, "notebook", "ada")
    assert first.connection_id == second.connection_id
    assert second.generation == first.generation + 1
    assert first.headers != second.headers


async def test_a_server_that_is_down_can_be_tried_again(desk: Desk) -> None:
    await desk.connector("down", "http://127.0.0.1:9/mcp")
    link = await desk.link("down")
    browser = await desk.browser()
    page = await press(browser, link.connect_url)
    assert page.status_code == 502
    assert "cannot be reached" in page.text
    assert (await browser.get(link.connect_url)).status_code == 200


async def test_a_pasted_key_is_checked_and_then_used(desk: Desk) -> None:
    link = await desk.link("pasted")
    browser = await desk.browser()
    page = await browser.get(link.connect_url)
    assert 'type="password"' in page.text
    assert "Pasted &amp; Co" in page.text
    for fields, complaint in (
        ({}, "Secret key is needed"),
        ({"key": "nope"}, "does not look right"),
        ({"key": "sk-1\r\nx-evil: 1"}, "does not look right"),
        ({"key": "sk-" + "x" * 5000}, "does not look right"),
    ):
        refused = await press(browser, link.connect_url, **fields)
        assert refused.status_code == 400
        assert complaint in refused.text
    done = await press(browser, link.connect_url, key=" sk-secret ", region="eu", unknown="x")
    assert "Connected" in done.text
    credential = await desk.credentials.lease(ACCOUNT, "pasted", "ada")
    assert credential.headers == {"authorization": "Bearer sk-secret", "x-region": "eu"}
    with pytest.raises(ConnectionRequired) as refusal:
        await desk.credentials.lease(ACCOUNT, "pasted", "ada", rejected=credential)
    assert refusal.value.reason == "expired"


async def test_bad_requests_for_a_link(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no-such"):
        await desk.link("no-such")
    with pytest.raises(InvalidRequest, match="return_url"):
        await desk.link("pasted", return_url="javascript:alert(1)")


async def test_of_two_tabs_the_newer_one_counts(desk: Desk) -> None:
    """The older tab's state is forgotten: its answer connects nothing, and does not spoil the newer one's."""
    await desk.vendor()
    link, browser = await desk.link(), await desk.browser()
    older = await press(browser, link.connect_url)
    newer = await press(browser, link.connect_url)
    late = await follow(browser, older)
    assert (late.status_code, "does not work" in late.text) == (404, True)
    assert "Connected" in (await follow(browser, newer)).text


async def test_going_back_and_forth_ends_in_one_connection(desk: Desk) -> None:
    """Back from the vendor to our page, on again, and back once more to the finished callback."""
    await desk.vendor()
    link, browser = await desk.link(), await desk.browser()
    await press(browser, link.connect_url)
    done = await follow(browser, await press(browser, link.connect_url))
    assert "Connected" in done.text
    again = await browser.get(str(done.request.url))
    assert (again.status_code, "already used" in again.text) == (410, True)
    assert (await browser.get(link.connect_url)).status_code == 410
    assert len(desk.connected) == 1
