"""One real Chromium, one desk and one vendor for all tests of a process; a fresh profile for each visit."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import oidc_provider_mock
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from werkzeug.serving import make_server

from connectors.clients import ConfiguredClient
from gateway.demo.oauth_mcp import NotebookVendor
from kit.clock import ManualClock
from kit.db import Database
from tests.chromium import FLAGS, executable
from tests.connectors.browser.visit import Visit
from tests.connectors.conftest import PASTED, Desk, open_desk
from tests.connectors.test_vendors import CLIENT_SECRET, PLAIN
from tests.schema import create_sqlite

MakeVisit = Callable[..., Any]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture(scope="package")
def books() -> Iterator[str]:
    """A vendor with plain OAuth 2, of another make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it is served on loopback without TLS
        server = make_server("127.0.0.1", 0, oidc_provider_mock.app(), threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def shared_desk(tmp_path_factory: pytest.TempPathFactory, books: str) -> AsyncIterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("desk")
    url = f"sqlite:///{folder / 'heddle.db'}"
    create_sqlite(url)
    db = Database(url)
    files = {"pasted": PASTED, "books": PLAIN.format(slug="books", url=books, more="")}
    registered = {"books": ConfiguredClient("operators", CLIENT_SECRET)}
    async with open_desk(db, folder, ManualClock(), files, registered) as desk:
        yield desk
    await db.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def vendor(shared_desk: Desk) -> NotebookVendor:
    return await shared_desk.vendor()


@pytest_asyncio.fixture(loop_scope="package")
async def visit(
    chromium: Browser, shared_desk: Desk, vendor: NotebookVendor, books: str
) -> AsyncIterator[MakeVisit]:
    """Opens a browser profile. At the end, no visit may have asked for anything elsewhere."""
    async with AsyncExitStack() as stack:
        visits: list[Visit] = []

        async def open_visit(**options: Any) -> Visit:
            context = await chromium.new_context(**options)
            stack.push_async_callback(context.close)
            home = [shared_desk.url, vendor.base_url, books]
            visits.append(Visit(context, await context.new_page(), home, foreign=books))
            return visits[-1]

        yield open_visit
        for made in visits:
            made.stayed_home()
