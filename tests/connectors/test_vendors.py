"""Vendors with plain OAuth 2 at given endpoints, against a provider of another make (PyPI's
``oidc-provider-mock``, built on Authlib's server side)."""

import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest
from sqlmodel import select
from werkzeug.serving import make_server

from connectors.clients import ClientNeeded, ConfiguredClient
from connectors.credentials import ConnectionRequired
from connectors.models import Connection
from connectors.token_target import token_target
from kit.caller import Caller
from kit.errors import NotFound
from tests.connectors.browsing import press
from tests.connectors.conftest import ACCOUNT, Desk

ADMIN = Caller(ACCOUNT, "key", "admin")
CLIENT_SECRET = "canary-client-secret-5f2e"
PLAIN = """
slug = "{slug}"
display_name = "Plain Books"
category = "finance"
kind = "api"
auth = "oauth2"
{more}
api_url = "{url}/api/{{region}}"
docs_url = "https://example.com"
source = "the test"
[oauth2]
authorize_url = "{url}/oauth2/authorize"
token_url = "{url}/oauth2/token"
scopes = ["openid", "email"]
token_auth = "client_secret_basic"
authorize_params = {{ login_hint = "{{region}}" }}
headers = {{ authorization = "Bearer {{access_token}}", x-region = "{{region}}" }}
callback_values = ["session_state"]
[account]
url = "{url}/userinfo"
name = "email"
[config_schema]
type = "object"
required = ["region"]
[config_schema.properties.region]
type = "string"
title = "Region"
enum = ["eu", "us"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it is served on loopback without TLS
        server = make_server("127.0.0.1", 0, oidc_provider_mock.app(), threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def vendor_files(provider: str) -> dict[str, str]:
    return {
        "books": PLAIN.format(slug="books", url=provider, more=""),
        "ledgers": PLAIN.format(slug="ledgers", url=provider, more=""),
    }


@pytest.fixture
def configured() -> dict[str, ConfiguredClient]:
    return {"books": ConfiguredClient("operators", CLIENT_SECRET)}


async def consent(browser: httpx.AsyncClient, link: str, *, decision: dict[str, str]) -> httpx.Response:
    """Press Continue in region eu, decide at the provider, and come back."""
    sent = await press(browser, link, region="eu")
    assert sent.status_code == 303, sent.text
    decided = await browser.post(sent.headers["location"], data=decision)
    return await browser.get(decided.headers["location"])


async def connect(desk: Desk, connector: str = "books", account: str = ACCOUNT) -> Connection:
    link = await desk.sessions.create(account, connector, "ada")
    done = await consent(await desk.browser(), link.connect_url, decision={"sub": "ada@books.example"})
    assert "Connected" in done.text, done.text
    found = await desk.connections.find(account, connector, "ada")
    assert found is not None
    return found


async def test_a_plain_vendor_is_connected_used_and_refreshed(desk: Desk, provider: str) -> None:
    row = await connect(desk)
    assert (row.account_name, row.scopes) == ("ada@books.example", ["openid", "email"])
    first = await desk.credentials.lease(ACCOUNT, "books", "ada")
    assert first.headers["x-region"] == "eu"
    assert first.headers["authorization"].startswith("Bearer ")
    assert first.api_url == f"{provider}/api/eu"
    desk.clock.advance(seconds=3_600)
    second = await desk.credentials.lease(ACCOUNT, "books", "ada")
    assert second.generation == 2
    assert second.headers["x-region"] == "eu"
    assert second.headers["authorization"] != first.headers["authorization"]
    async with httpx.AsyncClient() as client:
        me = await client.get(f"{provider}/userinfo", headers=dict(second.headers))
    assert me.json()["email"] == "ada@books.example"


async def test_values_are_asked_before_the_browser_leaves(desk: Desk, provider: str) -> None:
    link = await desk.link("books")
    browser = await desk.browser()
    wrong = await press(browser, link.connect_url, region="mars")
    assert wrong.status_code == 400
    assert "Region does not look right" in wrong.text
    leaves = await press(browser, link.connect_url, region="us")
    where = urlsplit(leaves.headers["location"])
    query = parse_qs(where.query)
    assert (query["client_id"], query["login_hint"]) == (["operators"], ["us"])
    assert (query["scope"], query["code_challenge_method"]) == (["openid email"], ["S256"])
    assert "resource" not in query


async def test_without_a_client_there_is_no_link_and_the_answer_says_what_to_do(desk: Desk) -> None:
    with pytest.raises(ClientNeeded) as refusal:
        await desk.link("ledgers")
    assert "PUT /v1/oauth-clients/ledgers" in refusal.value.message
    assert f"{desk.url}/connect/callback" in refusal.value.message


async def test_an_accounts_own_client_comes_first_and_is_only_its_own(desk: Desk) -> None:
    api = await desk.api(ADMIN)
    put = await api.put("/v1/oauth-clients/books", json={"client_id": "ours", "client_secret": "canary-own"})
    assert put.status_code == 200, put.text
    assert "canary-own" not in put.text
    assert put.json()["has_secret"] is True
    mine, theirs = await connect(desk), await connect(desk, account="acct_2")
    assert token_target(mine.oauth).client_id == "ours"
    assert token_target(theirs.oauth).client_id == "operators"
    assert (
        await (await desk.api(Caller("acct_2", "key", "admin"))).get(put.request.url.path)
    ).status_code == 404
    standard = await desk.api(Caller(ACCOUNT, "key", "standard"))
    assert (await standard.get(put.request.url.path)).status_code == 403


async def test_tokens_are_not_used_by_another_client_than_they_were_given_to(desk: Desk) -> None:
    api = await desk.api(ADMIN)
    await api.put("/v1/oauth-clients/books", json={"client_id": "first", "client_secret": "s"})
    await connect(desk)
    await api.put("/v1/oauth-clients/books", json={"client_id": "second", "client_secret": "s"})
    desk.clock.advance(seconds=3_600)
    with pytest.raises(ConnectionRequired) as refusal:
        await desk.credentials.lease(ACCOUNT, "books", "ada")
    assert refusal.value.reason == "expired"
    assert (await api.delete("/v1/oauth-clients/books")).json()["deleted"] is True
    assert (await api.delete("/v1/oauth-clients/books")).status_code == 404


async def test_a_client_is_not_shown_to_an_authority_that_it_was_not_registered_with(desk: Desk) -> None:
    api = await desk.api(ADMIN)
    await api.put("/v1/oauth-clients/ledgers", json={"client_id": "ours", "client_secret": "s"})
    row = await desk.sessions.consents.clients.store.account_row(ACCOUNT, "ledgers")
    assert row is not None
    row.authority = "https://elsewhere.example/token"
    await desk.db.write(lambda session: session.merge(row))
    link = await desk.link("ledgers")
    refused = await press(await desk.browser(), link.connect_url, region="eu")
    assert "PUT /v1/oauth-clients/ledgers again" in refused.text
    assert "location" not in refused.headers


async def test_a_denial_without_a_state_is_nobodys_and_leaves_the_link_usable(desk: Desk) -> None:
    """This provider's denials forget the state that RFC 6749, section 4.1.2.1 wants back."""
    link = await desk.link("books")
    done = await consent(await desk.browser(), link.connect_url, decision={"action": "deny"})
    assert (done.status_code, "does not work" in done.text) == (404, True)
    assert (await (await desk.browser()).get(link.connect_url)).status_code == 200
    with pytest.raises(ConnectionRequired):
        await desk.credentials.lease(ACCOUNT, "books", "ada")


async def test_the_clients_secret_is_nowhere_in_what_a_refused_exchange_says(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    link = await desk.link("books")
    browser = await desk.browser()
    sent = await press(browser, link.connect_url, region="eu")
    state = parse_qs(urlsplit(sent.headers["location"]).query)["state"][0]
    done = await browser.get(f"{desk.url}/connect/callback?state={state}&code=forged")
    assert done.status_code == 502
    assert "invalid_grant" in done.text
    assert CLIENT_SECRET not in done.text + caplog.text
    async with desk.db.session() as session:
        assert (await session.exec(select(Connection))).first() is None


async def test_oauth_clients_are_for_connectors_with_oauth(desk: Desk) -> None:
    api = await desk.api(ADMIN)
    unknown = await api.put("/v1/oauth-clients/nobody", json={"client_id": "x"})
    assert unknown.status_code == NotFound.status
    pasted = await api.put("/v1/oauth-clients/openai", json={"client_id": "x"})
    assert pasted.status_code == 400
    assert "does not connect by OAuth" in pasted.text
