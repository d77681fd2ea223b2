"""Tokens of an authorization server in place of an API key."""

import os
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.loopback import served
from tests.connectors.strict_vendor import SCRIPT, free_port
from tests.gateway.mcp_server.rig import Mall, mall, request
from tests.node_peers import NODE, node_modules

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIGNING = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Issuer:
    """An authorization server as far as we know it: its metadata and its keys."""

    url: str = ""
    key_id: str = ""
    asked: int = 0

    def app(self, url: str) -> Starlette:
        self.url = url
        public = jwt.algorithms.RSAAlgorithm.to_jwk(SIGNING.public_key(), as_dict=True)

        async def metadata(_request: Any) -> JSONResponse:
            return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

        async def keys(_request: Any) -> JSONResponse:
            self.asked += 1
            return JSONResponse({"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]})

        return Starlette(
            routes=[Route("/.well-known/oauth-authorization-server", metadata), Route("/keys", keys)]
        )

    def token(
        self, place: Mall, *, key: Any = SIGNING, alg: str = "RS256", kid: str = "one", **claims: Any
    ) -> str:
        good = {
            "iss": self.url,
            "aud": place.url,
            "sub": "ada",
            "exp": int(time.time()) + 600,
            "scope": "tools other",
            "heddle_key_id": self.key_id,
        }
        said = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(said, key, algorithm=alg, headers={"kid": kid})


@dataclass
class Place:
    mall: Mall
    issuer: Issuer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder, issuer = tmp_path_factory.mktemp("oauth"), Issuer()
    async with (
        served(issuer.app) as url,
        mall(
            f"sqlite:///{folder / 'heddle.db'}", folder, mcp_oauth_issuer=url, mcp_oauth_scopes="tools"
        ) as running,
    ):
        minted = await running.admin.post("/v1/keys", json={"name": "for tokens", "scope": "standard"})
        issuer.key_id = minted.json()["id"]
        await running.notes_known()
        yield Place(running, issuer)


async def ask(place: Place, token: str, **headers: str) -> httpx.Response:
    accept = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {token}", **headers}
    async with httpx.AsyncClient(headers=accept, verify=False) as http:
        return await http.post(place.mall.url, json=request("tools/list", 1))


async def test_the_metadata_says_who_issues_tokens_for_what(place: Place) -> None:
    async with httpx.AsyncClient(base_url=place.mall.shop.heddle.url, verify=False) as http:
        refused = await http.post("/mcp", json=request("ping", 1))
        assert refused.status_code == 401
        where = f"{place.mall.shop.heddle.url}/.well-known/oauth-protected-resource/mcp"
        assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="{where}"'
        told = (await http.get(where)).json()
    assert told == {
        "resource": place.mall.url,
        "authorization_servers": [place.issuer.url],
        "bearer_methods_supported": ["header"],
        "resource_name": "Heddle",
        "scopes_supported": ["tools"],
    }


async def test_a_token_acts_as_its_end_user_through_its_key(place: Place) -> None:
    token = place.issuer.token(place.mall)
    listed = await ask(place, token)
    assert listed.status_code == 200 and "notes__add_note" in listed.text
    assert (
        await ask(place, place.issuer.token(place.mall, aud=["other", place.mall.url]))
    ).status_code == 200
    other = await ask(place, token, **{"x-heddle-end-user-id": "eve"})
    assert (other.status_code, other.json()["error"]["code"]) == (403, "end_user_mismatch")
    assert place.issuer.asked == 1  # the keys are kept


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"aud": "https://another.test/mcp"}, "not issued for"),
        ({"aud": None}, "not valid"),
        ({"iss": "https://another.test"}, "not valid"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "not valid"),
        ({"nbf": 2**40}, "not valid"),
        ({"sub": None}, "claim sub"),
        ({"sub": "x" * 201}, "claim sub"),
        ({"heddle_key_id": None}, "claim heddle_key_id"),
        ({"heddle_key_id": "key_unknown"}, "not known"),
        ({"key": STRANGER, "alg": "ES256"}, "not valid"),
        ({"key": STRANGER, "alg": "ES256", "kid": "two"}, "does not publish"),
        ({"key": "s" * 64, "alg": "HS256"}, "not valid"),
        ({"key": None, "alg": "none"}, "not valid"),
    ],
)
async def test_a_token_that_is_not_right_is_refused(place: Place, wrong: dict[str, Any], told: str) -> None:
    answer = await ask(place, place.issuer.token(place.mall, **wrong))
    assert answer.status_code == 401, answer.text
    assert told in answer.json()["error"]["message"]
    assert "resource_metadata=" in answer.headers["www-authenticate"]


async def test_a_token_without_the_scope_is_told_which(place: Place) -> None:
    answer = await ask(place, place.issuer.token(place.mall, scope="other"))
    assert answer.status_code == 403
    assert 'error="insufficient_scope", scope="tools"' in answer.headers["www-authenticate"]


async def test_a_key_works_beside_and_elsewhere_no_token_does(place: Place) -> None:
    assert (await ask(place, await place.mall.key())).status_code == 200
    token = place.issuer.token(place.mall)
    headers = {"authorization": f"Bearer {token[:500]}"}
    async with httpx.AsyncClient(base_url=place.mall.shop.heddle.url, headers=headers, verify=False) as http:
        assert (await http.get("/v1/tools")).status_code == 401


async def test_a_bound_key_serves_its_own_end_user_only(place: Place) -> None:
    body = {"name": "bound", "scope": "standard", "end_user_id": "eve"}
    key_id = (await place.mall.admin.post("/v1/keys", json=body)).json()["id"]
    answer = await ask(place, place.issuer.token(place.mall, heddle_key_id=key_id))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "end_user_mismatch")


async def test_an_issuer_that_cannot_be_asked_is_no_fault_of_the_token(
    tmp_path: Path, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = f"http://127.0.0.1:{free_port()}"
    async with mall(f"sqlite:///{tmp_path / 'heddle.db'}", tmp_path, mcp_oauth_issuer=issuer) as running:
        answer = await ask(Place(running, place.issuer), place.issuer.token(running, iss=issuer))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "issuer_unavailable")
        assert (await ask(Place(running, place.issuer), await running.key())).status_code == 200
    assert issuer in caplog.text


@dataclass
class Store(TokenStorage):
    """What a client remembers."""

    tokens: OAuthToken | None = None
    info: OAuthClientInformationFull | None = None
    redirects: list[str] = field(default_factory=list)

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info

    async def in_the_browser(self, authorization_url: str) -> None:
        """Follow the sign-in, which is done by itself, until it leads back to the client."""
        async with httpx.AsyncClient(verify=False) as browser:
            url = authorization_url
            while not url.startswith("http://127.0.0.1:1/"):
                answer = await browser.get(url)
                assert answer.has_redirect_location, answer.text
                url = str(answer.url.join(answer.headers["location"]))
        self.redirects.append(url)

    async def came_back(self) -> AuthorizationCodeResult:
        query = parse_qs(urlsplit(self.redirects[-1]).query)
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0], iss=query["iss"][0])


async def test_a_client_signs_its_user_in_at_a_server_of_another_make(tmp_path: Path) -> None:
    """The SDK's client finds the authorization server by itself (npm's oidc-provider), registers, and gets
    a token for Heddle."""
    issuer, port = f"http://127.0.0.1:{free_port()}", free_port()
    settings = {"mcp_oauth_issuer": issuer, "mcp_oauth_scopes": "notes", "port": port}
    async with mall(f"sqlite:///{tmp_path / 'heddle.db'}", tmp_path, **settings) as running:
        minted = await running.admin.post("/v1/keys", json={"name": "for tokens", "scope": "standard"})
        environment = {
            "PORT": issuer.rpartition(":")[2],
            "RESOURCE": running.url,
            "NODE_MODULES_ENTRY": str(node_modules() / "entry.js"),
            "TOKEN_FORMAT": "jwt",
            "CLAIMS": f'{{"heddle_key_id":"{minted.json()["id"]}"}}',
        }
        provider = subprocess.Popen(
            [str(NODE), str(SCRIPT)], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert provider.stdout is not None
            assert any(line.strip() == "ready" for line in provider.stdout)
            store = Store()
            metadata = OAuthClientMetadata(
                client_name="a client", redirect_uris=["http://127.0.0.1:1/callback"], scope="notes"
            )
            auth = OAuthClientProvider(running.url, metadata, store, store.in_the_browser, store.came_back)
            async with (
                httpx2.AsyncClient(auth=auth, timeout=60, verify=False) as http,
                Client(streamable_http_client(running.url, http_client=http)) as connected,
            ):
                added = await connected.call_tool("toolbox__add", {"a": 1, "b": 2})
            assert added.structured_content == {"result": 3}
            assert store.tokens is not None and store.tokens.access_token.count(".") == 2
        finally:
            provider.terminate()
            provider.wait(10)
