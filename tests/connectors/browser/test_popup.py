"""The button on a developer's page: a popup that tells that page how it ended, and nobody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway.loopback import served
from tests.connectors.browser.conftest import MakeVisit
from tests.connectors.browser.visit import Visit
from tests.connectors.conftest import Desk

pytestmark = pytest.mark.asyncio(loop_scope="package")

HEARS = """
window.heard = []; window.messages = [];
document.addEventListener("heddle:connect", (event) => heard.push(event.detail));
window.addEventListener("message", (event) => messages.push([event.origin, event.data]));
"""
PEEKS = """() => { try { return window.opener.document.title } catch (error) { return error.name } }"""
LIES = """() => window.opener.postMessage({type: "heddle.connect", status: "connected"}, "*")"""


@asynccontextmanager
async def developers_site(desk: Desk, *, opener_origin: str | None = None) -> AsyncIterator[str]:
    """A page with the button; its backend makes sessions for its own origin, unless told otherwise."""

    def build(url: str) -> Starlette:
        async def page(request: Request) -> Response:
            return HTMLResponse(
                "<!doctype html><html lang=en><title>Shop</title>"
                '<button data-heddle-connect="/session" data-lang="de">Connect notebook</button>'
                f'<script>{HEARS}</script><script src="{desk.url}/connect/button.js"></script>'
            )

        async def session(request: Request) -> Response:
            link = await desk.link(opener_origin=opener_origin or url, return_url=f"{url}/back")
            return JSONResponse({"connect_url": link.connect_url})

        async def icon(request: Request) -> Response:
            return Response(status_code=204)

        return Starlette(
            routes=[
                Route("/", page),
                Route("/back", page),
                Route("/favicon.ico", icon),
                Route("/session", session, methods=["POST"]),
            ]
        )

    async with served(build) as url:
        yield url


async def opened(ada: Visit, site: str) -> Page:
    ada.allowed.append(site)
    await ada.page.goto(site)
    async with ada.page.expect_popup() as popup:
        await ada.page.get_by_role("button").click()
    return await popup.value


async def test_the_page_with_the_button_learns_how_it_ended(visit: MakeVisit, shared_desk: Desk) -> None:
    async with developers_site(shared_desk) as site:
        ada = await visit()
        popup = await opened(ada, site)
        await popup.wait_for_url(f"{shared_desk.url}/connect/*")
        assert await ada.heading(popup) == "notebook verbinden"
        await ada.press(page=popup)
        await popup.wait_for_url("**/consent?flow=*")
        assert await popup.evaluate(PEEKS) == "SecurityError"
        await popup.evaluate(LIES)
        async with popup.expect_event("close"):
            await popup.locator("button[value=approve]").click()
        await ada.page.wait_for_function("heard.length")
        connection_id = shared_desk.connected[-1].connection_id
        outcome = {"status": "connected", "connection_id": connection_id}
        assert await ada.page.evaluate("heard") == [outcome]
        messages = await ada.page.evaluate("messages")
        assert messages[-1] == [shared_desk.url, {"type": "heddle.connect", **outcome}]
        assert await ada.page.get_by_role("button").is_enabled()


async def test_cancelling_and_closing_are_told_too(visit: MakeVisit, shared_desk: Desk) -> None:
    async with developers_site(shared_desk) as site:
        ada = await visit()
        popup = await opened(ada, site)
        await popup.wait_for_url(f"{shared_desk.url}/connect/*")
        async with popup.expect_event("close"):
            await ada.press("cancel", page=popup)
        await ada.page.wait_for_function("heard.length")
        assert await ada.page.evaluate("heard") == [{"status": "cancelled", "connection_id": None}]
        popup = await opened(ada, site)
        await popup.wait_for_url(f"{shared_desk.url}/connect/*")
        await popup.close()
        await ada.page.wait_for_function("heard.length")
        assert await ada.page.evaluate("heard[0].status") == "closed"


async def test_a_page_of_another_origin_is_told_nothing(visit: MakeVisit, shared_desk: Desk) -> None:
    async with developers_site(shared_desk, opener_origin="https://shop.example") as site:
        ada = await visit()
        popup = await opened(ada, site)
        await popup.wait_for_url(f"{shared_desk.url}/connect/*")
        async with popup.expect_event("close"):
            await ada.press("cancel", page=popup)
        await ada.page.wait_for_function("heard.length")
        assert await ada.page.evaluate("[heard[0].status, messages]") == ["closed", []]


async def test_a_link_without_an_opener_origin_lets_go_of_who_opened_it(
    visit: MakeVisit, shared_desk: Desk
) -> None:
    async with developers_site(shared_desk) as site:
        ada = await visit()
        ada.allowed.append(site)
        await ada.page.goto(site)
        link = await shared_desk.link()
        async with ada.page.expect_popup() as opening:
            await ada.page.evaluate("(url) => { window.open(url) }", link.connect_url)
        popup = await opening.value
        await popup.wait_for_url(link.connect_url)
        assert await popup.evaluate("window.opener") is None


async def test_without_a_popup_the_last_page_leads_back(visit: MakeVisit, shared_desk: Desk) -> None:
    async with developers_site(shared_desk) as site:
        for javascript in (True, False):
            ada = await visit(java_script_enabled=javascript)
            ada.allowed.append(site)
            link = await shared_desk.link(opener_origin=site, return_url=f"{site}/back")
            await ada.page.goto(link.connect_url)
            await ada.press("cancel")
            if not javascript:
                await ada.page.get_by_role("link", name="Continue").click()
            await ada.page.wait_for_url(f"{site}/back?status=cancelled")
