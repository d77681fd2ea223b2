"""The whole flow against an authorization server of another make, npm's ``oidc-provider``."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.models import Connection
from connectors.registration import KEYS_PATH
from connectors.token_target import token_target
from gateway.loopback import served
from kit.caller import Caller
from tests.connectors.browsing import connect, follow
from tests.connectors.conftest import ACCOUNT, Desk
from tests.node_peers import NODE, node_modules

SCRIPT = Path(__file__).parent.parent / "node" / "oidc_provider.mjs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(resource: str, clients: list[dict[str, Any]], **options: str) -> Iterator[str]:
    """The issuer of a provider that protects ``resource`` and knows ``clients`` beforehand; ``options``: what
    else the script reads from its environment."""
    port = free_port()
    process = subprocess.Popen(
        [str(NODE), str(SCRIPT)],
        env={
            **os.environ,
            "PORT": str(port),
            "RESOURCE": resource,
            "CLIENTS": json.dumps(clients),
            **options,
            "NODE_MODULES_ENTRY": str(node_modules() / "entry.js"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert any(line.strip() == "ready" for line in process.stdout)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def protected(desk: Desk, resource: str, issuer: dict[str, str]) -> None:
    """An MCP server, connectable as ``strict``, that names ``issuer["now"]`` as its authorization server."""

    async def mcp(_request: object) -> Response:
        return Response(status_code=401, headers={"www-authenticate": 'Bearer scope="notes"'})

    async def metadata(_request: object) -> Response:
        return JSONResponse({"resource": resource, "authorization_servers": [issuer["now"]]})

    app = Starlette(
        routes=[
            Route("/mcp", mcp, methods=["POST"]),
            Route("/.well-known/oauth-protected-resource/mcp", metadata),
        ]
    )
    port = int(resource.rpartition(":")[2].partition("/")[0])
    await desk.stack.enter_async_context(served(lambda _: app, port=port))
    await desk.connector("strict", resource)


async def strict(
    desk: Desk, processes: ExitStack, clients: list[dict[str, Any]] | None = None
) -> tuple[str, dict[str, str]]:
    resource = f"http://127.0.0.1:{free_port()}/mcp"
    issuer = {"now": processes.enter_context(running(resource, clients or []))}
    await protected(desk, resource, issuer)
    return resource, issuer


async def connected(desk: Desk, end_user_id: str = "ada") -> Connection:
    link = await desk.sessions.create(ACCOUNT, "strict", end_user_id)
    done = await connect(await desk.browser(), link.connect_url)
    assert "Connected" in done.text, done.text
    row = await desk.connections.find(ACCOUNT, "strict", end_user_id)
    assert row is not None
    return row


async def test_connect_refresh_and_revoke(desk: Desk, processes: ExitStack) -> None:
    await strict(desk, processes)
    await connected(desk)
    first = await desk.credentials.lease(ACCOUNT, "strict", "ada")
    desk.clock.advance(seconds=3_600)
    second = await desk.credentials.lease(ACCOUNT, "strict", "ada")
    assert second.generation == 2
    assert second.headers != first.headers
    desk.clock.advance(seconds=3_600)
    assert (await desk.credentials.lease(ACCOUNT, "strict", "ada")).generation == 3
    row = await desk.connections.get(ACCOUNT, second.connection_id)
    await desk.connections.disconnect(row)


async def test_an_accounts_own_client_proves_itself_by_our_signing_key(
    desk: Desk, processes: ExitStack
) -> None:
    """Code and refresh token are exchanged with assertions; the provider fetches our published key."""
    signer: dict[str, Any] = {
        "client_id": "signer",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": f"{desk.url}{KEYS_PATH}/{ACCOUNT}",
        "redirect_uris": [f"{desk.url}/connect/callback"],
    }
    await strict(desk, processes, [signer])
    api = await desk.api(Caller(ACCOUNT, "key", "admin"))
    put = await api.put(
        "/v1/oauth-clients/strict", json={"client_id": "signer", "token_auth": "private_key_jwt"}
    )
    assert put.status_code == 200, put.text
    assert put.json()["jwks_uri"] == signer["jwks_uri"]
    row = await connected(desk)
    assert token_target(row.oauth).client == "account"
    desk.clock.advance(seconds=3_600)
    assert (await desk.credentials.lease(ACCOUNT, "strict", "ada")).generation == 2
    async with httpx.AsyncClient() as anybody:
        published = (await anybody.get(signer["jwks_uri"])).json()["keys"]
    assert [set(key) & {"d", "p", "q", "dp", "dq", "qi"} for key in published] == [set()]
    await desk.connections.disconnect(row)


async def test_a_server_with_another_authorization_server_gets_another_client_and_old_tokens_expire(
    desk: Desk, processes: ExitStack
) -> None:
    resource, issuer = await strict(desk, processes)
    old = await connected(desk)
    issuer["now"] = processes.enter_context(running(resource, []))
    new = await connected(desk, "ben")
    was, now = token_target(old.oauth), token_target(new.oauth)
    assert was.issuer != now.issuer
    assert was.client_id != now.client_id
    states = {row.end_user_id: row.status for row in await desk.connections.page(
        ACCOUNT, end_user_id=None, limit=10, before=None
    )}  # fmt: skip
    assert states == {"ada": "expired", "ben": "active"}


async def test_a_code_typed_at_the_vendor_connects_without_a_browser_here(
    desk: Desk, processes: ExitStack
) -> None:
    await strict(desk, processes)
    api = await desk.api(Caller(ACCOUNT, "key", "standard"))
    begun = await api.post(
        "/v1/connections/sessions", json={"connector": "strict", "end_user_id": "ada", "flow": "device"}
    )
    assert begun.status_code == 201, begun.text
    code = begun.json()
    assert await desk.devices.poll_due() == 0  # not before its interval
    desk.clock.advance(seconds=code["interval_s"])
    assert await desk.devices.poll_due() == 1
    session_url = f"/v1/connections/sessions/{code['id']}"
    assert (await api.get(session_url)).json()["status"] == "polling"
    await approve(await desk.browser(), code["verification_uri"], code["user_code"])
    desk.clock.advance(seconds=code["interval_s"])
    assert await desk.devices.poll_due() == 1
    session = (await api.get(session_url)).json()
    row = await desk.connections.find(ACCOUNT, "strict", "ada")
    assert row is not None and (session["status"], session["connection_id"]) == ("done", row.id)
    desk.clock.advance(seconds=3_600)
    assert (await desk.credentials.lease(ACCOUNT, "strict", "ada")).generation == 2
    assert [event.connector for event in desk.connected] == ["strict"]


async def test_a_code_that_nobody_types_fails_in_time(desk: Desk, processes: ExitStack) -> None:
    await strict(desk, processes)
    code = await desk.devices.begin(ACCOUNT, "strict", "ada")
    desk.clock.advance(seconds=31 * 60)
    assert await desk.devices.poll_due() == 1
    assert (await desk.sessions.rows.get(ACCOUNT, code.id)).status == "failed"
    assert await desk.devices.poll_due() == 0


async def approve(browser: httpx.AsyncClient, url: str, user_code: str) -> None:
    """Type a device code at the provider and agree; it signs in by itself."""
    page = await browser.get(url)
    for more in ({}, {"confirm": "yes"}):
        xsrf = re.search(r'name="xsrf" value="([^"]+)"', page.text)
        assert xsrf is not None, page.text
        page = await browser.post(url, data={"xsrf": xsrf[1], "user_code": user_code, **more})
    done = await follow(browser, page)
    assert done.status_code == 200, urljoin(url, done.text)
