"""A vendor that does everything in its own way, as several real ones do in part: as the catalogue says."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.clients import ConfiguredClient
from connectors.credentials import ConnectionRequired
from gateway.loopback import served
from tests.connectors.browsing import press
from tests.connectors.conftest import ACCOUNT, Desk

ODD = """
slug = "odd"
display_name = "Odd"
category = "other"
kind = "api"
auth = "oauth2"
docs_url = "https://example.com"
source = "the test"
[oauth2]
authorize_url = "{url}/consent?screen=small"
token_url = "{url}/token"
refresh_url = "{url}/refresh"
revocation_url = "{url}/revoke"
scopes = ["posts:read", "posts:write"]
scope_separator = ","
scope_parameter = "user_scope"
client_id_parameter = "client_key"
token_body = "json"
pkce = false
token_lifetime_s = 600
authorize_params = {{ access_type = "offline" }}
token_params = {{ expiring = "1" }}
refresh_params = {{ rotate = "yes" }}
callback_values = ["realmId"]
grant_errors = ["bad_refresh_token"]
headers = {{ x-odd-token = "{{access_token}}" }}
[oauth2.token_response]
access_token = "data.0.token"
refresh_token = "data.0.again"
scope = "data.0.scopes"
api_url = "host"
account_name = "user.name"
"""


@dataclass
class OddVendor:
    """What it was sent, path by path; ``gone``: refresh tokens are not taken any more."""

    url: str = ""
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    gone: bool = False

    def build(self, url: str) -> Starlette:
        self.url = url
        return Starlette(routes=[Route("/{path}", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        sent: dict[str, Any] = json.loads(body) if request.url.path != "/revoke" else {}
        self.seen.append((request.url.path, sent or {k: v[0] for k, v in parse_qs(body.decode()).items()}))
        if request.url.path == "/refresh" and self.gone:
            return JSONResponse({"error": "bad_refresh_token"})  # with status 200
        number = len(self.seen)
        token = {"token": f"t{number}", "again": f"r{number}", "scopes": ["posts:read"]}
        return JSONResponse({"data": [token], "host": "eu.odd.example", "user": {"name": "Ada"}})


@pytest.fixture
async def vendor() -> AsyncIterator[OddVendor]:
    vendor = OddVendor()
    async with served(vendor.build):
        yield vendor


@pytest.fixture
def vendor_files(vendor: OddVendor) -> dict[str, str]:
    return {"odd": ODD.format(url=vendor.url)}


@pytest.fixture
def configured() -> dict[str, ConfiguredClient]:
    return {"odd": ConfiguredClient("key-1", "s3cret")}


async def connected(desk: Desk) -> None:
    browser = await desk.browser()
    leaves = await press(browser, (await desk.link("odd")).connect_url)
    query = {name: value[0] for name, value in parse_qs(urlsplit(leaves.headers["location"]).query).items()}
    state = query.pop("state")
    assert query == {
        "screen": "small",
        "access_type": "offline",
        "response_type": "code",
        "client_key": "key-1",
        "redirect_uri": f"{desk.url}/connect/callback",
        "user_scope": "posts:read,posts:write",
    }
    back = {"state": state, "code": "c0de", "realmId": "4711", "junk": "x", "iss": "https://odd.example"}
    done = await browser.get(f"{desk.url}/connect/callback", params=back)
    assert "Connected" in done.text, done.text


async def test_its_own_ways_are_followed_to_the_letter(desk: Desk, vendor: OddVendor) -> None:
    await connected(desk)
    first = await desk.credentials.lease(ACCOUNT, "odd", "ada")
    assert first.headers == {"x-odd-token": "t1"}
    assert (first.api_url, first.values) == ("https://eu.odd.example", {"realmId": "4711"})
    desk.clock.advance(seconds=600)  # its answers do not say how long tokens live
    assert (await desk.credentials.lease(ACCOUNT, "odd", "ada")).headers == {"x-odd-token": "t2"}
    row = await desk.connections.find(ACCOUNT, "odd", "ada")
    assert row is not None and (row.account_name, row.scopes) == ("Ada", ["posts:read"])
    await desk.connections.disconnect(row)
    client = {"client_key": "key-1", "client_secret": "s3cret"}
    assert vendor.seen == [
        (
            "/token",
            {
                "expiring": "1",
                "grant_type": "authorization_code",
                "code": "c0de",
                "redirect_uri": f"{desk.url}/connect/callback",
                **client,
            },
        ),
        ("/refresh", {"rotate": "yes", "grant_type": "refresh_token", "refresh_token": "r1", **client}),
        ("/revoke", {"token": "r2", **client}),
    ]


async def test_its_own_word_for_a_grant_that_is_gone_ends_the_connection(
    desk: Desk, vendor: OddVendor
) -> None:
    await connected(desk)
    vendor.gone = True
    desk.clock.advance(seconds=600)
    with pytest.raises(ConnectionRequired) as refusal:
        await desk.credentials.lease(ACCOUNT, "odd", "ada")
    assert refusal.value.reason == "expired"
