"""The whole flow against an authorization server of another make, npm's ``oidc-provider``."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.loopback import served
from tests.connectors.browsing import connect
from tests.connectors.conftest import ACCOUNT, Desk
from tests.node_peers import NODE, node_modules

SCRIPT = Path(__file__).parent.parent / "node" / "oidc_provider.mjs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def provider() -> Iterator[tuple[str, str]]:
    """The issuer's URL and the resource that it protects."""
    port = free_port()
    resource = f"http://127.0.0.1:{free_port()}/mcp"
    process = subprocess.Popen(
        [str(NODE), str(SCRIPT)],
        env={
            **os.environ,
            "PORT": str(port),
            "RESOURCE": resource,
            "NODE_MODULES_ENTRY": str(node_modules() / "entry.js"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.strip() == "ready" for line in process.stdout)
    yield f"http://127.0.0.1:{port}", resource
    process.terminate()
    process.wait(10)


async def test_connect_refresh_and_revoke(desk: Desk, provider: tuple[str, str]) -> None:
    issuer, resource = provider
    challenge = ""

    async def mcp(_request: object) -> Response:
        return Response(status_code=401, headers={"www-authenticate": challenge})

    async def metadata(_request: object) -> Response:
        return JSONResponse(
            {"resource": resource, "authorization_servers": [issuer], "scopes_supported": ["notes"]}
        )

    app = Starlette(
        routes=[
            Route("/mcp", mcp, methods=["POST"]),
            Route("/.well-known/oauth-protected-resource/mcp", metadata),
        ]
    )
    port = int(resource.rpartition(":")[2].partition("/")[0])
    await desk.stack.enter_async_context(served(lambda _: app, port=port))
    await desk.connector("strict", resource)
    link = await desk.link("strict")
    done = await connect(await desk.browser(), link.connect_url)
    assert "Connected" in done.text, done.text
    first = await desk.credentials.lease(ACCOUNT, "strict", "ada")
    desk.clock.advance(seconds=3_600)
    second = await desk.credentials.lease(ACCOUNT, "strict", "ada")
    assert second.generation == 2
    assert second.headers != first.headers
    desk.clock.advance(seconds=3_600)
    assert (await desk.credentials.lease(ACCOUNT, "strict", "ada")).generation == 3
    row = await desk.connections.get(ACCOUNT, second.connection_id)
    await desk.connections.disconnect(row)
