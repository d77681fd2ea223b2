"""Tokens that nobody uses are refreshed in time: by what the catalogue knows of the vendor, else weekly."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from connectors.catalog import Catalog
from connectors.clients import ConfiguredClient
from connectors.credentials import Credentials
from connectors.keep_alive import DAY_MS, KEEP_ALIVE_MS
from connectors.session_purge import SessionPurge
from connectors.upkeep import ConnectionUpkeep
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from tests.connectors import test_odd_vendor as odd
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk

IDLE_DAYS = 60
LASTING = """
slug = "lasting"
display_name = "Lasting notes"
category = "documents"
auth = "oauth"
server_url = "{url}/mcp"
docs_url = "https://example.com"
source = "the test"
[oauth]
refresh_idle_days = 60
"""


@dataclass
class Vendors:
    notebook: NotebookVendor
    odd: odd.OddVendor


@pytest.fixture
async def vendors() -> AsyncIterator[Vendors]:
    vendors = Vendors(NotebookVendor(""), odd.OddVendor())

    async with served(vendors.notebook.build), served(vendors.odd.build):
        yield vendors


@pytest.fixture
def vendor_files(vendors: Vendors) -> dict[str, str]:
    told = odd.ODD.replace(
        "token_lifetime_s = 600", f"token_lifetime_s = 600\nrefresh_idle_days = {IDLE_DAYS}"
    )
    return {
        "lasting": LASTING.format(url=vendors.notebook.base_url),
        "odd": told.format(url=vendors.odd.url),
    }


@pytest.fixture
def configured() -> dict[str, ConfiguredClient]:
    return {"odd": ConfiguredClient("key-1", "s3cret")}


def upkeep(desk: Desk, credentials: Credentials) -> ConnectionUpkeep:
    purge = SessionPurge(desk.db, desk.vault, desk.clock)
    return ConnectionUpkeep(desk.db, desk.clock, desk.connections, credentials, purge)


async def pause_of(desk: Desk, connector: str) -> float:
    """Milliseconds until the connection is kept alive."""
    row = await desk.connections.find(ACCOUNT, connector, "ada")
    assert row is not None and row.keep_alive_at is not None
    return row.keep_alive_at - desk.clock.now_ms()


async def test_a_server_of_the_catalogue_is_asked_after_a_third_of_what_its_tokens_live_unused(
    desk: Desk, vendors: Vendors
) -> None:
    await connect(await desk.browser(), (await desk.link("lasting")).connect_url)
    third = IDLE_DAYS * DAY_MS / 3
    assert 0.8 * third <= await pause_of(desk, "lasting") <= 1.2 * third
    processes = [upkeep(desk, credentials) for credentials in (desk.credentials, desk.other)]
    desk.clock.advance(seconds=KEEP_ALIVE_MS * 1.3 / 1000)
    await asyncio.gather(*(process.keep_alive() for process in processes))
    assert vendors.notebook.refreshes == 0
    desk.clock.advance(seconds=(1.2 * third - KEEP_ALIVE_MS * 1.3) / 1000)
    await asyncio.gather(*(process.keep_alive() for process in processes))
    assert (vendors.notebook.refreshes, vendors.notebook.reuses) == (1, 0)
    assert 0.8 * third <= await pause_of(desk, "lasting") <= 1.2 * third


async def test_a_plain_vendor_is_asked_after_a_third_of_what_its_tokens_live_unused(desk: Desk) -> None:
    await odd.connected(desk)
    third = IDLE_DAYS * DAY_MS / 3
    assert 0.8 * third <= await pause_of(desk, "odd") <= 1.2 * third
    desk.clock.advance(seconds=1_000)
    await desk.credentials.lease(ACCOUNT, "odd", "ada")  # renewed: what the vendor said is kept
    assert 0.8 * third <= await pause_of(desk, "odd") <= 1.2 * third


async def test_a_vendor_that_says_nothing_is_asked_weekly(desk: Desk) -> None:
    await desk.vendor()
    await connect(await desk.browser(), (await desk.link()).connect_url)
    assert 0.8 * KEEP_ALIVE_MS <= await pause_of(desk, "notebook") <= 1.2 * KEEP_ALIVE_MS


def test_what_vendors_document_is_in_the_catalogue() -> None:
    known = {
        entry.slug: grant.refresh_idle_days
        for entry in Catalog.load()
        for grant in (entry.oauth, entry.oauth2)
        if grant is not None and grant.refresh_idle_days is not None
    }
    assert known == {"box": 60, "microsoft": 90, "google": 180, "xero": 60, "tiktok": 180, "quickbooks": 100}
