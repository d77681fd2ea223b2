"""Who we are at a discovered authorization server: whose client, which proof, no secret elsewhere."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from connectors.client_auth import ASSERTION_TYPE, ClientIdentity, authenticated
from connectors.clients import ClientNeeded, ConfiguredClient, OAuthClients
from connectors.discovery import AuthorizationServer
from connectors.grant import server_grant
from connectors.http import OAuthHttp
from connectors.oauth import OAuthFailed
from connectors.registry import ConnectorTarget
from connectors.token_target import TokenTarget
from kit.clock import ManualClock
from kit.db import Database
from kit.outbound import OutboundPolicy, parse_networks
from tests.connectors.conftest import Desk

ISSUER = "https://auth.example"
SERVER = AuthorizationServer(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/authorize",
    token_endpoint=f"{ISSUER}/token",
    registration_endpoint=None,
    revocation_endpoint=None,
    auth_methods=("none", "client_secret_basic"),
    sends_iss=True,
    takes_client_documents=True,
    signing_algs=(),
    device_endpoint=None,
    offers_offline_access=False,
    listed=(ISSUER,),
    resource="https://mcp.example/mcp",
    scopes=(),
)
TARGET = ConnectorTarget("acme", "Acme", "oauth", "https://mcp.example/mcp")


@pytest.fixture
async def http() -> AsyncIterator[OAuthHttp]:
    http = OAuthHttp(OutboundPolicy(parse_networks("loopback")))
    yield http
    await http.close()


def clients(desk: Desk, http: OAuthHttp, **configured: Any) -> OAuthClients:
    """Ours at an https address, with what the operator configured."""

    return OAuthClients(
        desk.db, desk.vault, desk.clock, http, "https://heddle.example/connect/callback", configured
    )


async def test_our_document_is_our_client_where_the_server_takes_documents(
    desk: Desk, http: OAuthHttp
) -> None:
    ours = clients(desk, http)
    plain = await ours.identity("acct_1", TARGET, server_grant(SERVER))
    assert (plain.client_id, plain.auth_method) == ("https://heddle.example/.well-known/oauth-client", "none")
    document = ours.documents.document(signed=False)
    assert document["client_id"] == plain.client_id
    assert document["redirect_uris"] == ["https://heddle.example/connect/callback"]


async def test_where_it_can_our_document_client_signs_with_the_published_key(
    desk: Desk, http: OAuthHttp
) -> None:
    ours = clients(desk, http)
    signing = replace(SERVER, auth_methods=("none", "private_key_jwt"), signing_algs=("ES256", "RS256"))
    identity = await ours.identity("acct_1", TARGET, server_grant(signing))
    assert identity.client_id == ours.documents.document(signed=True)["client_id"]
    form, basic = authenticated({}, identity, audience=ISSUER)
    assert (form["client_assertion_type"], basic) == (ASSERTION_TYPE, None)
    published = KeySet.import_key_set(await ours.keys.public_set())  # type: ignore[arg-type]
    claims = jwt.decode(form["client_assertion"], published, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == (identity.client_id,) * 2 + (ISSUER,)
    assert "PRIVATE KEY" not in repr(identity)
    other_algs = replace(signing, signing_algs=("ES256",))
    assert (await ours.identity("acct_1", TARGET, server_grant(other_algs))).auth_method == "none"


async def test_a_document_at_plain_http_is_no_client(desk: Desk, http: OAuthHttp) -> None:
    ours = OAuthClients(desk.db, desk.vault, desk.clock, http, "http://127.0.0.1:1/connect/callback")
    with pytest.raises(OAuthFailed) as refusal:
        await ours.identity("acct_1", TARGET, server_grant(SERVER))
    assert refusal.value.oauth_error == "registration_not_supported"


async def test_an_operators_client_named_by_slug_must_say_whose_it_is(desk: Desk, http: OAuthHttp) -> None:
    ours = clients(desk, http, acme=ConfiguredClient("c", "canary"))
    with pytest.raises(ClientNeeded, match=r'expected issuer = "https://auth\.example"') as refusal:
        await ours.identity("acct_1", TARGET, server_grant(SERVER))
    assert "canary" not in str(refusal.value)
    bound = clients(desk, http, acme=ConfiguredClient("c", "canary", issuer=ISSUER))
    known = await bound.identity("acct_1", TARGET, server_grant(SERVER))
    assert (known.client_id, known.auth_method) == ("c", "client_secret_basic")
    assert "canary" not in repr(known)


async def test_an_operators_secret_is_not_for_the_next_authorization_server(
    desk: Desk, http: OAuthHttp
) -> None:
    """The server moved: it gets our document, and tokens of the old one find their client there only."""
    ours = clients(desk, http, acme=ConfiguredClient("c", "canary", issuer=ISSUER))
    moved = replace(SERVER, issuer="https://evil.example", token_endpoint="https://evil.example/token")
    identity = await ours.identity("acct_1", TARGET, server_grant(moved))
    assert (identity.client_secret, identity.client_id) == (None, ours.documents.client_id(signed=False))
    kept = TokenTarget(
        issuer="https://evil.example",
        token_endpoint="https://evil.example/token",
        client="configured:acme",
        client_id="c",
    )
    with pytest.raises(OAuthFailed) as refusal:
        await ours.registered("acct_1", "acme", kept)
    assert refusal.value.oauth_error == "invalid_client"


async def test_one_signing_key_is_made_by_all_processes_together(
    db: Database, desk: Desk, http: OAuthHttp, clock: ManualClock
) -> None:
    one, two = clients(desk, http), OAuthClients(db, desk.vault, clock, http, "https://b.example/x")
    assert (await one.keys.private()).kid == (await two.keys.private()).kid
    assert (await one.keys.public_set()) == (await two.keys.public_set())


async def test_an_account_cannot_sign_as_another_accounts_client(desk: Desk, http: OAuthHttp) -> None:
    """Whoever names another account's client has another key than the one its issuer was told of."""
    ours = clients(desk, http)
    for account_id in ("acct_1", "acct_2"):
        own = ClientIdentity("shared-name", "private_key_jwt")
        await ours.store.put_account_client(account_id, "acme", authority=ISSUER, identity=own)
    one, two = [
        (await ours.identity(account_id, TARGET, server_grant(SERVER))).signing_key
        for account_id in ("acct_1", "acct_2")
    ]
    assert one is not None and two is not None
    assert len({one.private_pem, two.private_pem, (await ours.keys.private()).private_pem}) == 3
    assert (await ours.keys.public_set_of("acct_1"))["keys"][0]["kid"] == one.kid
    assert await ours.keys.public_set_of("acct_3") == {"keys": []}
