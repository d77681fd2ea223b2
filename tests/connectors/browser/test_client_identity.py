"""Who we are at the vendor, in a real browser: a client registered by hand, and a document of our own."""

import ssl
from pathlib import Path

import httpx
import pytest
from mcp.shared.auth import OAuthClientInformationFull
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.demo.oauth_mcp import SCOPE, NotebookVendor
from gateway.loopback import served
from kit.clock import ManualClock
from kit.db import Database
from tests.certificates import self_signed
from tests.connectors.browser.conftest import MakeVisit
from tests.connectors.conftest import ACCOUNT, Desk, open_desk
from tests.tls_front import TlsFront

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_vendor_where_we_are_registered_by_hand(visit: MakeVisit, shared_desk: Desk) -> None:
    ada = await visit()
    await ada.page.goto((await shared_desk.link("books")).connect_url)
    assert "See your e-mail address" in await ada.page.locator("main").inner_text()
    await ada.press()
    assert await ada.page.get_by_role("alert").get_by_role("link").inner_text() == "Region is needed"
    await ada.page.get_by_label("Region").select_option("eu")
    await ada.press()
    await ada.page.wait_for_url("**/oauth2/authorize*")
    await ada.page.locator("input[name=sub]").fill("ada@books.example")
    await ada.page.locator("input[name=sub]").press("Enter")
    await ada.page.wait_for_url("**/connect/callback*")
    assert await ada.heading() == "Plain Books is connected"
    leased = await shared_desk.credentials.lease(ACCOUNT, "books", "ada")
    assert leased.headers["x-region"] == "eu"


class TakesDocuments(NotebookVendor):
    """A vendor that registers nobody: who a client is, its own document says."""

    trust: ssl.SSLContext

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        async with httpx.AsyncClient(verify=self.trust) as http:
            document = (await http.get(client_id)).json()
        assert document["client_id"] == client_id
        self.clients[client_id] = OAuthClientInformationFull.model_validate({**document, "scope": SCOPE})
        return self.clients[client_id]

    def build(self, base_url: str) -> Starlette:
        async def metadata(_request: object) -> Response:
            return JSONResponse(
                {
                    "issuer": base_url,
                    "authorization_endpoint": f"{base_url}/authorize",
                    "token_endpoint": f"{base_url}/token",
                    "response_types_supported": ["code"],
                    "code_challenge_methods_supported": ["S256"],
                    "token_endpoint_auth_methods_supported": ["none"],
                    "client_id_metadata_document_supported": True,
                    "authorization_response_iss_parameter_supported": True,
                }
            )

        app = super().build(base_url)
        app.router.routes.insert(0, Route("/.well-known/oauth-authorization-server", metadata))
        return app


async def test_a_vendor_that_reads_our_own_document(
    visit: MakeVisit, tmp_path: Path, sqlite_url: str
) -> None:
    certificate, key = self_signed(tmp_path)
    front, vendor, db = TlsFront(), TakesDocuments(""), Database(sqlite_url)
    vendor.trust = ssl.create_default_context(cafile=certificate)
    async with (
        front.serving(certificate, key) as public_url,
        open_desk(db, tmp_path, ManualClock(), {}, {}, public_url=public_url) as desk,
        served(vendor.build) as vendor_url,
    ):
        front.port = int(desk.url.rpartition(":")[2])
        await desk.connector("notebook", f"{vendor_url}/mcp")
        ada = await visit(ignore_https_errors=True)
        ada.allowed += [public_url, vendor_url]
        await ada.page.goto((await desk.link()).connect_url)
        await ada.press()
        await ada.decide()
        assert await ada.heading() == "notebook is connected"
        assert list(vendor.clients) == [f"{public_url}/.well-known/oauth-client"]
        leased = await desk.credentials.lease(ACCOUNT, "notebook", "ada")
        assert vendor.access[leased.headers["authorization"].removeprefix("Bearer ")].subject == "ada"
        await ada.context.close()
    await db.close()
