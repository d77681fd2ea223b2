"""Developers' own clients at an authorization server of another make, npm's ``oidc-provider``: it checks the
proof, the grant, the scopes and the resource (RFC 8707), and its tokens are checked as RFC 9068 asks."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlmodel import select

from connectors.registration import KEYS_PATH
from gateway.accounts.models import Account
from tests.broker.test_own_client_routes import CALL
from tests.broker.token_peers import Guarded, guarded_by
from tests.broker.whole_heddle import refusal
from tests.connectors.strict_vendor import free_port, running
from tests.serving import Served, heddle

SECRET = "a long secret of the robot: 0123456789/&+"
LIFETIME_S = 8
"""Longer than a call takes on a busy machine."""
MACHINE = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [], "scope": "notes"}


@dataclass
class Tokens:
    """Takes what the provider signed for this resource, the client itself and the scope; notes the claims."""

    issuer: str
    resource: str
    claims: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, token: str) -> bool:
        with httpx.Client() as client:
            keys = KeySet.import_key_set(client.get(f"{self.issuer}/jwks").json())
        try:
            claims = jwt.decode(token, keys).claims
            jwt.JWTClaimsRegistry(
                iss={"essential": True, "value": self.issuer}, aud={"essential": True, "value": self.resource}
            ).validate(claims)
        except (JoseError, ValueError):
            return False
        self.claims.append(claims)
        return bool(claims["scope"] == "notes" and claims["client_id"] == claims["sub"])


@contextmanager
def protected(clients: list[dict[str, Any]], **options: str) -> Iterator[tuple[Guarded, Tokens]]:
    """An MCP server, not yet served, and who gives out tokens for it."""
    resource = f"http://127.0.0.1:{free_port()}/mcp"
    with ExitStack() as stack:
        issuer = stack.enter_context(running(resource, clients, {"TOKEN_FORMAT": "jwt", **options}))
        tokens = Tokens(issuer, resource)
        yield Guarded([issuer], tokens), tokens


def port_of(tokens: Tokens) -> int:
    return int(tokens.resource.rpartition(":")[2].partition("/")[0])


@pytest.fixture
async def served(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with heddle(sqlite_url, tmp_path, providers={}) as served:
        yield served


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_secret_gets_tokens_for_the_mcp_server_and_new_ones_when_they_expire(
    served: Served, method: str
) -> None:
    robot = {**MACHINE, "client_id": "robot", "client_secret": SECRET, "token_endpoint_auth_method": method}
    admin = await served.client()
    with protected([robot], TOKEN_TTL=f"{LIFETIME_S}") as (mcp, tokens):
        async with guarded_by(mcp, port=port_of(tokens)):
            auth = {"type": "client_credentials", "client_id": "robot", "client_secret": SECRET}
            body = {"name": "chest", "server_url": mcp.url, "auth": {**auth, "token_auth": method}}
            made = await admin.post("/v1/mcp-servers", json=body)
            assert made.status_code == 201, made.text
            assert SECRET not in made.text
            first = tokens.claims[-1]
            await asyncio.sleep(max(0.0, first["exp"] - time.time()) + 0.5)
            called = await admin.post("/v1/tools/call", json=CALL)
            assert called.json()["is_error"] is False, called.text
    assert first["jti"] != tokens.claims[-1]["jti"]
    assert {(claims["aud"], claims["sub"]) for claims in tokens.claims} == {(mcp.url, "robot")}


async def test_a_signing_key_gets_tokens_without_any_secret(served: Served) -> None:
    admin = await served.client()
    async with served.app.db.session() as session:
        account = (await session.exec(select(Account.id))).one()
    keys = f"{served.url}{KEYS_PATH}/{account}"
    signer = {**MACHINE, "client_id": "signer", "token_endpoint_auth_method": "private_key_jwt"}
    auth = {"type": "client_credentials", "client_id": "signer", "token_auth": "private_key_jwt"}
    with protected([{**signer, "jwks_uri": keys}]) as (mcp, tokens):
        async with guarded_by(mcp, port=port_of(tokens)):
            body = {"name": "chest", "server_url": mcp.url, "auth": auth}
            made = await admin.post("/v1/mcp-servers", json=body)
            assert made.status_code == 201, made.text
            assert (await admin.post("/v1/tools/call", json=CALL)).json()["is_error"] is False
            assert tokens.claims[-1]["sub"] == "signer"


async def test_a_key_that_is_not_registered_is_told_where_it_is(served: Served) -> None:
    admin = await served.client()
    other = {**MACHINE, "client_id": "signer", "token_endpoint_auth_method": "private_key_jwt"}
    auth = {"type": "client_credentials", "client_id": "signer", "token_auth": "private_key_jwt"}
    with protected([{**other, "jwks_uri": f"{served.url}{KEYS_PATH}"}]) as (mcp, tokens):
        async with guarded_by(mcp, port=port_of(tokens)):
            body = {"name": "chest", "server_url": mcp.url, "auth": auth}
            refused = await admin.post("/v1/mcp-servers", json=body)
            assert refusal(refused)[:2] == (400, "client_credentials_refused")
            assert f"expected its key set to be {served.url}{KEYS_PATH}/" in refused.text


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"client_secret": "not this one"}, "auth.client_secret", "invalid_client"),
        ({"client_id": "nobody"}, "auth.client_secret", "invalid_client"),
        ({"client_id": "browser"}, "auth.client_id", "invalid_request"),
        ({"scopes": ["offline_access"]}, "auth.scopes", "invalid_scope"),
    ],
)
async def test_what_the_provider_refuses_is_told_by_field(
    served: Served, change: dict[str, Any], param: str, code: str
) -> None:
    admin = await served.client()
    robot = {**MACHINE, "client_id": "robot", "client_secret": SECRET}
    browser = {"client_id": "browser", "client_secret": SECRET, "redirect_uris": ["http://127.0.0.1/back"]}
    with protected([robot, browser]) as (mcp, tokens):
        async with guarded_by(mcp, port=port_of(tokens)):
            auth = {"type": "client_credentials", "client_id": "robot", "client_secret": SECRET, **change}
            refused = await admin.post(
                "/v1/mcp-servers", json={"name": "chest", "server_url": mcp.url, "auth": auth}
            )
            error = refused.json()["error"]
            assert (refused.status_code, error["param"], error["oauth_error"]) == (400, param, code), error
            assert SECRET not in refused.text
            assert (await admin.get("/v1/mcp-servers")).json()["data"] == []
