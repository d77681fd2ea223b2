"""Our Client ID Metadata Documents, read by an authorization server of another make (``oidc-provider``)."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlmodel import select

from connectors.models import Connection, ConnectSession, OAuthClient
from connectors.oauth import OAuthFailed
from connectors.registration import PLAIN_PATH, SIGNED_PATH
from connectors.token_target import token_target
from kit.clock import ManualClock
from kit.db import Database
from tests.certificates import self_signed
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk, open_desk
from tests.connectors.strict_vendor import approve, running, strict
from tests.tls_front import TlsFront


@dataclass
class Published:
    """A desk that the world reaches by https, and whose certificate ``certificate`` vouches for."""

    desk: Desk
    url: str
    certificate: Path

    def trusting(self, auth_methods: str = "none") -> dict[str, str]:
        """The settings of a provider that can fetch what is published."""
        return {
            "DOCUMENTS": "read",
            "AUTH_METHODS": auth_methods,
            "NODE_EXTRA_CA_CERTS": str(self.certificate),
        }

    async def browser(self) -> httpx.AsyncClient:
        trust = ssl.create_default_context(cafile=self.certificate)
        return await self.desk.stack.enter_async_context(httpx.AsyncClient(verify=trust, timeout=20))

    async def connect(self) -> httpx.Response:
        link = await self.desk.sessions.create(ACCOUNT, "strict", "ada")
        return await connect(await self.browser(), link.connect_url)

    async def stored(self) -> tuple[list[Connection], list[OAuthClient]]:
        async with self.desk.db.session() as session:
            connections = (await session.exec(select(Connection))).all()
            return list(connections), list((await session.exec(select(OAuthClient))).all())


@asynccontextmanager
async def publishing(db: Database, folder: Path, clock: ManualClock) -> AsyncIterator[Published]:
    certificate, key = self_signed(folder)
    front = TlsFront()
    async with (
        front.serving(certificate, key) as public_url,
        open_desk(db, folder, clock, {}, {}, public_url=public_url) as desk,
    ):
        front.port = int(desk.url.rpartition(":")[2])
        yield Published(desk, public_url, certificate)


@pytest.fixture
async def published(db: Database, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Published]:
    async with publishing(db, tmp_path, clock) as opened:
        yield opened


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("auth_methods", "path", "method"),
    [("none", PLAIN_PATH, "none"), ("none private_key_jwt", SIGNED_PATH, "private_key_jwt")],
    ids=["without a proof", "by our signing key"],
)
async def test_a_server_that_reads_documents_connects_refreshes_and_revokes(
    published: Published, processes: ExitStack, auth_methods: str, path: str, method: str
) -> None:
    desk = published.desk
    await strict(desk, processes, settings=published.trusting(auth_methods))
    done = await published.connect()
    assert "Connected" in done.text, done.text
    [row], registered = await published.stored()
    target = token_target(row.oauth)
    assert (target.client_id, target.client_auth) == (f"{published.url}{path}", method)
    assert registered == []  # a document replaces registration
    first = await desk.credentials.lease(ACCOUNT, "strict", "ada")
    desk.clock.advance(seconds=3_600)
    second = await desk.credentials.lease(ACCOUNT, "strict", "ada")
    assert (second.generation, second.headers == first.headers) == (2, False)
    await desk.connections.disconnect(await desk.connections.get(ACCOUNT, second.connection_id))


@pytest.mark.parametrize("why", ["the certificate is not trusted", "the address is not public"])
async def test_a_server_that_cannot_fetch_the_document_says_so_and_nothing_is_connected(
    published: Published, processes: ExitStack, why: str
) -> None:
    desk, settings = published.desk, published.trusting()
    if why == "the address is not public":
        settings["DOCUMENTS"] = "guarded"
    else:
        del settings["NODE_EXTRA_CA_CERTS"]
    await strict(desk, processes, settings=settings)
    refused = await published.connect()
    assert refused.status_code == 400
    assert "client_id metadata document fetch failed" in refused.text
    assert await published.stored() == ([], [])
    assert desk.connected == []


async def test_a_link_works_once_the_document_can_be_fetched(
    published: Published, processes: ExitStack
) -> None:
    """The vendor refused before it knew where to send the browser back to, so the link is not spent."""
    desk, settings = published.desk, published.trusting()
    resource, issuer = await strict(desk, processes, settings={**settings, "DOCUMENTS": "guarded"})
    link = await desk.sessions.create(ACCOUNT, "strict", "ada")
    browser = await published.browser()
    assert (await connect(browser, link.connect_url)).status_code == 400
    issuer["now"] = processes.enter_context(running(resource, [], settings))
    done = await connect(browser, link.connect_url)
    assert "Connected" in done.text, done.text


async def test_a_code_typed_at_the_vendor_connects_a_client_known_by_its_document(
    published: Published, processes: ExitStack
) -> None:
    desk = published.desk
    await strict(desk, processes, settings=published.trusting("none private_key_jwt"))
    code = await desk.devices.begin(ACCOUNT, "strict", "ada")
    await approve(await published.browser(), code.verification_uri, code.user_code)
    desk.clock.advance(seconds=code.interval_s)
    assert await desk.devices.poll_due() == 1
    [row], _registered = await published.stored()
    assert token_target(row.oauth).client_id == f"{published.url}{SIGNED_PATH}"


async def test_no_device_flow_begins_where_the_document_cannot_be_fetched(
    published: Published, processes: ExitStack
) -> None:
    desk, settings = published.desk, published.trusting()
    await strict(desk, processes, settings={**settings, "DOCUMENTS": "guarded"})
    with pytest.raises(OAuthFailed, match="gave no device code: invalid_client"):
        await desk.devices.begin(ACCOUNT, "strict", "ada")
    async with desk.db.session() as session:
        assert (await session.exec(select(ConnectSession))).all() == []
