"""Connecting an account in a real browser: the good way through, and every way that must lead nowhere."""

import httpx
import pytest

from connectors.connect import LIFETIME_MS
from gateway.demo.oauth_mcp import NotebookVendor
from tests.connectors.browser.conftest import MakeVisit
from tests.connectors.conftest import ACCOUNT, Desk

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts", "no scripts"])
async def test_a_person_connects_and_a_tool_acts_as_them(
    visit: MakeVisit, shared_desk: Desk, vendor: NotebookVendor, javascript: bool
) -> None:
    ada = await visit(java_script_enabled=javascript)
    await ada.page.goto((await shared_desk.link()).connect_url)
    assert await ada.heading() == "Connect notebook"
    await ada.press()
    await ada.decide()
    assert await ada.heading() == "notebook is connected"
    credential = await shared_desk.credentials.lease(ACCOUNT, "notebook", "ada")
    token = credential.headers["authorization"].removeprefix("Bearer ")
    assert vendor.access[token].subject == "ada"
    async with httpx.AsyncClient() as client:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_notes"}}
        headers = {**credential.headers, "accept": "application/json, text/event-stream"}
        assert (await client.post(f"{vendor.base_url}/mcp", json=call, headers=headers)).status_code != 401
        assert (await client.post(f"{vendor.base_url}/mcp", json=call)).status_code == 401


async def test_a_pasted_key_is_asked_for_until_it_can_be_one(visit: MakeVisit, shared_desk: Desk) -> None:
    ada = await visit()
    await ada.page.goto((await shared_desk.link("pasted")).connect_url)
    await ada.press()
    assert await ada.page.title() == "Error: Connect Pasted & Co – Acme <Apps>"
    summary = ada.page.get_by_role("alert")
    assert await summary.evaluate("(summary) => summary === document.activeElement")
    await summary.get_by_role("link", name="Secret key is needed").click()
    key = ada.page.get_by_label("Secret key")
    assert await key.evaluate("(key) => key === document.activeElement && key.ariaInvalid") == "true"
    await ada.page.get_by_label("region").fill("eu")
    await key.fill("wrong")
    await key.press("Enter")
    assert await summary.get_by_role("link").inner_text() == "Secret key does not look right"
    assert (await key.input_value(), await ada.page.get_by_label("region").input_value()) == ("", "eu")
    assert "wrong" not in (await key.evaluate("(key) => key.outerHTML")).replace("wrong-key", "")
    await key.fill("sk-secret")
    await key.press("Enter")
    assert await ada.heading() == "Pasted & Co is connected"
    credential = await shared_desk.credentials.lease(ACCOUNT, "pasted", "ada")
    assert credential.headers == {"authorization": "Bearer sk-secret", "x-region": "eu"}


@pytest.mark.parametrize("where", ["here", "at the vendor"])
async def test_no_is_an_answer(visit: MakeVisit, shared_desk: Desk, where: str) -> None:
    before = len(shared_desk.connected)
    ada = await visit(java_script_enabled=False)
    await ada.page.goto((await shared_desk.link()).connect_url)
    await ada.press("cancel" if where == "here" else "continue")
    if where != "here":
        await ada.decide("deny")
    assert await ada.heading() == "Nothing was connected"
    assert len(shared_desk.connected) == before


async def test_links_that_cannot_be_used_say_so_in_the_visitors_language(
    visit: MakeVisit, shared_desk: Desk
) -> None:
    ada = await visit(locale="de-AT")
    used, late = await shared_desk.link("pasted"), await shared_desk.link("pasted")
    await ada.page.goto(used.connect_url)
    await ada.press("cancel")
    await ada.page.goto(used.connect_url)
    assert await ada.heading() == "Dieser Link wurde schon verwendet"
    shared_desk.clock.advance(seconds=LIFETIME_MS / 1000 + 1)
    await ada.page.goto(late.connect_url)
    assert await ada.heading() == "Dieser Link ist abgelaufen"
    await ada.page.goto(f"{shared_desk.url}/connect/forged")
    assert await ada.heading() == "Dieser Link funktioniert nicht"
    assert await ada.page.locator("html").get_attribute("lang") == "de"
    await ada.page.get_by_role("link", name="Español").click()
    assert await ada.heading() == "Este enlace no funciona"


async def test_the_back_button_connects_nothing_twice(visit: MakeVisit, shared_desk: Desk) -> None:
    ada = await visit()
    link = await shared_desk.link()
    await ada.page.goto(link.connect_url)
    await ada.press()
    await ada.page.wait_for_url("**/consent?flow=*")
    await ada.page.go_back()
    assert await ada.heading() == "Connect notebook"
    await ada.press()  # back from the vendor, one may go there again
    await ada.decide()
    before = len(shared_desk.connected)
    await ada.page.reload()
    assert await ada.heading() == "This link was already used"
    await ada.page.goto(link.connect_url)
    assert await ada.heading() == "This link was already used"
    assert len(shared_desk.connected) == before


async def test_of_two_tabs_the_last_to_leave_comes_back(visit: MakeVisit, shared_desk: Desk) -> None:
    ada = await visit()
    link, before = await shared_desk.link(), len(shared_desk.connected)
    other = await ada.context.new_page()
    for tab in (ada.page, other):
        await tab.goto(link.connect_url)
    for tab in (ada.page, other):
        await ada.press(page=tab)
        await tab.wait_for_url("**/consent?flow=*")
    await ada.decide(page=ada.page)
    assert await ada.heading(ada.page) == "This link does not work"
    assert len(shared_desk.connected) == before
    await ada.decide(page=other)
    assert await ada.heading(other) == "notebook is connected"


async def test_answers_that_are_not_this_flows_are_refused(
    visit: MakeVisit, shared_desk: Desk, vendor: NotebookVendor
) -> None:
    before = len(shared_desk.connected)
    ada, eve = await visit(), await visit()
    await ada.page.goto((await shared_desk.link()).connect_url)
    await ada.press()
    await ada.page.wait_for_url("**/consent?flow=*")
    await eve.page.goto(f"{shared_desk.url}/connect/callback?state=guessed&code=x")
    assert await eve.heading() == "This link does not work"
    await eve.page.get_by_role("link", name="Deutsch").click()
    assert await eve.heading() == "Dieser Link funktioniert nicht"
    state = list(vendor.flows.values())[-1].params.state
    await eve.page.goto(f"{shared_desk.url}/connect/callback?state={state}&code=x&lang=en")
    assert await eve.heading() == "This was started in another browser"
    own_address = vendor.base_url
    vendor.base_url = "http://127.0.0.1:1"  # it names another issuer than the one that was asked
    try:
        await ada.decide()
    finally:
        vendor.base_url = own_address
    assert await ada.heading() == "That did not work"
    assert "another authorization server" in await ada.page.locator("main").inner_text()
    assert len(shared_desk.connected) == before


async def test_a_vendor_that_is_down_can_be_tried_again(visit: MakeVisit, shared_desk: Desk) -> None:
    await shared_desk.connector("down", "http://127.0.0.1:9/mcp")
    ada = await visit(locale="zh-CN")
    await ada.page.goto((await shared_desk.link("down")).connect_url)
    await ada.press()
    summary = ada.page.get_by_role("alert")
    assert await summary.locator("h2").inner_text() == "目前无法连接 down"
    assert await ada.page.locator("button[value=continue]").is_enabled()
