"""MCP servers that a developer's own client gets tokens for (RFC 6749, section 4.4)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from starlette.responses import JSONResponse, Response

from broker.server_store import NewServer
from broker.tenant_secret import TenantSecret
from connectors.own_client import OwnClient, TokenRefused
from gateway.loopback import served
from kit.clock import ManualClock
from kit.errors import InvalidRequest, UpstreamFailed
from tests.broker.rig import ACME, Rig
from tests.broker.token_peers import Guarded, TokenServer, guarded, token_server

SECRET = "s3cret/&+ü"
ROBOT = OwnClient("robot", SECRET)
TWO = {"a": 1, "b": 1}


@pytest.fixture
async def issuer() -> AsyncIterator[TokenServer]:
    async with token_server() as server:
        yield server


@pytest.fixture
async def mcp(issuer: TokenServer) -> AsyncIterator[Guarded]:
    async with guarded(issuer) as server:
        yield server


async def said(rig: Rig) -> str:
    """What a call that fails tells the model."""
    result = await rig.call("chest/add", TWO)
    assert result.is_error
    return str(result.output)


async def test_the_client_is_given_a_token_for_this_server_which_calls_carry(
    stored: Rig, issuer: TokenServer, mcp: Guarded
) -> None:
    made = await stored.server("chest", mcp.url, client=ROBOT)
    assert "add" in [tool.name for tool in made.tools]
    assert not (await stored.call("chest/add", TWO)).is_error
    asked = {"grant_type": "client_credentials", "client_id": "robot", "resource": mcp.url, "scope": "notes"}
    assert issuer.asked == [asked]
    assert issuer.proofs == [SECRET]
    assert set(mcp.box.tokens) == {f"Bearer {issuer.given[0]}"}
    kept = await stored.broker.servers.tenant.current(made.server)
    assert kept == OwnClient("robot", SECRET, authority=issuer.issuer)


async def test_two_hundred_calls_at_once_ask_for_one_token(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    clock.advance(seconds=3_600)
    issuer.delay_s = 0.2
    results = await asyncio.gather(*(rig.call("chest/add", TWO) for _ in range(200)))
    assert not any(result.is_error for result in results)
    assert len(issuer.asked) == 2  # the first was for the registration


async def test_a_token_is_renewed_early_while_the_old_one_serves(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    clock.advance(seconds=3_600 - 60)
    issuer.delay_s = 5
    async with asyncio.timeout(4):
        assert not (await rig.call("chest/add", TWO)).is_error
    assert set(mcp.box.tokens) == {f"Bearer {issuer.given[0]}"}


async def test_a_renewal_that_fails_costs_nothing_while_the_old_token_is_good(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    clock.advance(seconds=3_600 - 60)
    issuer.refuse = lambda _form: Response(status_code=500)
    for _ in range(20):
        assert not (await rig.call("chest/add", TWO)).is_error
    assert len(issuer.asked) == 2
    clock.advance(seconds=60)
    assert "(status_500)" in await said(rig)


async def test_a_token_without_a_lifetime_is_kept_for_an_hour(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    issuer.lifetime_s = None
    await rig.server("chest", mcp.url, client=ROBOT)
    clock.advance(seconds=3_000)
    assert not (await rig.call("chest/add", TWO)).is_error
    assert len(issuer.asked) == 1
    clock.advance(seconds=700)
    assert not (await rig.call("chest/add", TWO)).is_error
    assert len(issuer.asked) == 2


async def test_a_token_that_was_revoked_is_replaced_once_for_all(
    rig: Rig, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    issuer.good.clear()
    results = await asyncio.gather(*(rig.call("chest/add", TWO) for _ in range(20)))
    assert not any(result.is_error for result in results)
    assert len(issuer.asked) == 2


async def test_a_server_that_takes_no_token_does_not_make_us_ask_for_ever(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    mcp.accepts = lambda _token: False
    for _ in range(20):
        assert "does not accept the tokens that the configured client is given" in await said(rig)
    assert len(issuer.asked) == 2
    clock.advance(seconds=7)
    await said(rig)
    assert len(issuer.asked) == 3


async def test_servers_are_told_that_we_have_the_extension(rig: Rig) -> None:
    server = MCPServer("curious", log_level="CRITICAL")

    @server.tool()
    def extensions(ctx: Context[Any, Any]) -> list[str]:
        """What the client declares."""
        declared = ctx.client_capabilities
        return sorted(declared.extensions or {}) if declared is not None else []

    async with served(lambda _: server.streamable_http_app()) as url:
        await rig.server("curious", f"{url}/mcp")
        told = await rig.call("curious/extensions")
    assert "io.modelcontextprotocol/oauth-client-credentials" in str(told.output)


async def test_a_broken_authorization_server_is_left_alone_for_a_while(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    clock.advance(seconds=3_600)
    issuer.refuse = lambda _form: Response(status_code=503, headers={"retry-after": "40"})
    told = {await said(rig) for _ in range(30)}
    assert len(issuer.asked) == 2
    assert len(told) == 1 and "it is asked again in 40 s" in told.pop()
    clock.advance(seconds=39)
    await said(rig)
    assert len(issuer.asked) == 2
    clock.advance(seconds=2)
    issuer.refuse = lambda _form: None
    assert not (await rig.call("chest/add", TWO)).is_error
    assert len(issuer.asked) == 3


@pytest.mark.parametrize(
    ("client", "refusal", "param", "told"),
    [
        (OwnClient("robot", "wr0ng"), None, "auth.client_secret", "send auth.client_secret anew"),
        (
            OwnClient("robot", SECRET, scopes=("admin",)),
            {"error": "invalid_scope"},
            "auth.scopes",
            "scopes admin: send auth.scopes that it may have",
        ),
        (ROBOT, {"error": "unauthorized_client"}, "auth.client_id", "may use the grant client_credentials"),
        (ROBOT, {"error": "unsupported_grant_type"}, "auth.type", "does not offer the grant"),
        (ROBOT, {"error": "invalid_target"}, "auth.client_id", "a client that may ask for http://127.0.0.1"),
        (ROBOT, {"error": SECRET}, "auth.client_id", "(unknown_error)"),
        (OwnClient("robot", "plain"), {"error": "plain"}, "auth.client_id", "(unknown_error)"),
        (
            OwnClient("robot", SECRET, token_auth="private_key_jwt"),
            None,
            "auth.token_auth",
            "takes clients by client_secret_basic, client_secret_post, not by private_key_jwt",
        ),
    ],
)
async def test_a_client_that_is_refused_is_not_registered_and_the_error_says_what_to_do(
    rig: Rig,
    issuer: TokenServer,
    mcp: Guarded,
    client: OwnClient,
    refusal: dict[str, str] | None,
    param: str,
    told: str,
) -> None:
    if refusal is not None:
        issuer.refuse = lambda _form: JSONResponse(refusal, 400)
    with pytest.raises(InvalidRequest) as refused:
        await rig.server("chest", mcp.url, client=client)
    assert (refused.value.code, refused.value.param) == ("client_credentials_refused", param)
    assert told in refused.value.message
    assert str(client.client_secret) not in f"{refused.value.message}{refused.value.details}"
    assert await rig.broker.servers.store.all(ACME) == []


async def test_a_server_that_lists_its_grants_without_this_one_is_sent_nothing(
    rig: Rig, issuer: TokenServer, mcp: Guarded
) -> None:
    issuer.metadata = {"grant_types_supported": ["authorization_code"]}
    with pytest.raises(InvalidRequest, match="does not offer the grant client_credentials"):
        await rig.server("chest", mcp.url, client=ROBOT)
    assert issuer.asked == []


async def test_an_unreachable_authorization_server_is_not_the_developers_mistake(
    rig: Rig, issuer: TokenServer, mcp: Guarded
) -> None:
    issuer.refuse = lambda _form: Response(status_code=500)
    with pytest.raises(TokenRefused):
        await rig.server("chest", mcp.url, client=ROBOT)
    mcp.issuers = ["http://127.0.0.1:9"]
    with pytest.raises(UpstreamFailed, match="cannot be reached"):
        await rig.server("chest", mcp.url, client=ROBOT)


async def test_an_authorization_server_that_hangs_is_waited_for_only_so_long(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    clock.advance(seconds=3_600)
    monkeypatch.setattr("connectors.own_client.TIMEOUT_S", 0.3)
    issuer.delay_s = 3
    told = await asyncio.gather(said(rig), said(rig))
    assert all("does not answer in time" in text for text in told)
    assert len(issuer.asked) == 2


async def test_another_authorization_server_is_never_sent_the_old_ones_secret(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    made = await rig.server("chest", mcp.url, client=ROBOT)
    async with token_server() as other:
        mcp.issuers, mcp.accepts = [other.issuer], other.good.__contains__
        told = await said(rig)  # after its 401
        assert f"bound to {issuer.issuer}: nothing was sent" in told
        clock.advance(seconds=86_400)
        assert f"given out by {other.issuer}" in await said(rig)
        rotated = OwnClient("robot", "new", authority=issuer.issuer)
        with pytest.raises(InvalidRequest, match="nothing was sent"):
            await rig.broker.servers.edit(made.server, {}, rotated)
        assert other.asked == [] and len(issuer.asked) == 1
        await rig.broker.servers.edit(made.server, {}, ROBOT)  # unbound: the developer means who is there now
        assert not (await rig.call("chest/add", TWO)).is_error
        assert other.proofs == [SECRET] and len(issuer.asked) == 1


async def test_a_client_stays_with_its_own_issuer_where_others_are_listed_before_it(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded
) -> None:
    await rig.server("chest", mcp.url, client=ROBOT)
    async with token_server() as other:
        mcp.issuers = [other.issuer, issuer.issuer]
        clock.advance(seconds=3_600)
        assert not (await rig.call("chest/add", TWO)).is_error
        assert other.asked == [] and len(issuer.asked) == 2


async def test_an_issuer_that_claims_to_be_another_gets_nothing(
    rig: Rig, issuer: TokenServer, mcp: Guarded
) -> None:
    issuer.metadata = {"issuer": "https://as.example"}
    with pytest.raises(UpstreamFailed, match=r"says it is https://as\.example"):
        await rig.server("chest", mcp.url, client=ROBOT)
    assert issuer.asked == []


async def test_a_new_secret_is_used_at_once_and_the_old_one_forgotten(
    stored: Rig, issuer: TokenServer, mcp: Guarded
) -> None:
    made = await stored.server("chest", mcp.url, client=ROBOT)
    issuer.clients["robot"] = "next"
    rotated = OwnClient("robot", "next", authority=issuer.issuer)
    with pytest.raises(InvalidRequest):
        await stored.broker.servers.edit(made.server, {}, OwnClient("robot", "typo"))
    assert not (await stored.call("chest/add", TWO)).is_error  # with what there was
    edited = await stored.broker.servers.edit(made.server, {}, rotated)
    assert edited.headers_secret_id != made.server.headers_secret_id
    assert not (await stored.call("chest/add", TWO)).is_error
    assert issuer.proofs == [SECRET, "typo", "next"]
    assert mcp.box.tokens[-1] == f"Bearer {issuer.given[-1]}"
    sealed = await stored.vault.of_account(ACME, "mcp_client")
    assert [b"next" in text and SECRET.encode() not in text for text in sealed.values()] == [True]


@pytest.mark.parametrize("credentials", [{}, {"authorization": "Bearer mine"}])
async def test_headers_take_the_place_of_a_client(
    stored: Rig, issuer: TokenServer, mcp: Guarded, credentials: TenantSecret
) -> None:
    made = await stored.server("chest", mcp.url, client=ROBOT)
    mcp.accepts = {"mine", ""}.__contains__
    edited = await stored.broker.servers.edit(made.server, {}, credentials)
    assert await stored.broker.servers.store.own_clients(ACME) == {}
    assert await stored.broker.servers.store.credentials(edited) == credentials
    assert not (await stored.call("chest/add", TWO)).is_error
    assert len(issuer.asked) == 1


async def test_a_deleted_server_leaves_no_secret(stored: Rig, issuer: TokenServer, mcp: Guarded) -> None:
    made = await stored.server("chest", mcp.url, client=ROBOT)
    assert await stored.broker.servers.store.own_clients(ACME) == {
        made.server.id: OwnClient("robot", SECRET, authority=issuer.issuer)
    }
    await stored.broker.servers.delete(made.server)
    assert await stored.vault.of_account(ACME, "mcp_client") == {}


async def test_neither_secret_nor_token_is_logged_or_told(
    rig: Rig, clock: ManualClock, issuer: TokenServer, mcp: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    new = NewServer("chest", mcp.url, "tenant", credentials=ROBOT)
    told = [repr(new), repr(ROBOT)]
    await rig.broker.servers.create(ACME, new)
    clock.advance(seconds=3_600)
    issuer.refuse = lambda form: JSONResponse(
        {"error": "invalid_client", "error_description": f"{form} {SECRET}", "error_uri": SECRET}, 401
    )
    told.append(await said(rig))
    assert "no token for the developer's client at MCP server" in caplog.text
    for secret in (SECRET, *issuer.given):
        assert secret not in caplog.text
        assert not any(secret in text for text in told)
