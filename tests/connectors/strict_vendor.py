"""npm's ``oidc-provider``, an authorization server of another make, before an MCP server that is none."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.loopback import served
from tests.connectors.browsing import follow
from tests.connectors.conftest import Desk
from tests.node_peers import NODE, node_modules

SCRIPT = Path(__file__).parent.parent / "node" / "oidc_provider.mjs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    resource: str, clients: list[dict[str, Any]], settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The issuer of a provider that protects ``resource`` and knows ``clients`` beforehand.

    ``settings``: more of the environment that ``oidc_provider.mjs`` reads.
    """
    port = free_port()
    process = subprocess.Popen(
        [str(NODE), str(SCRIPT)],
        env={
            **os.environ,
            "PORT": str(port),
            "RESOURCE": resource,
            "CLIENTS": json.dumps(clients),
            "NODE_MODULES_ENTRY": str(node_modules() / "entry.js"),
            **(settings or {}),
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
    desk: Desk,
    processes: ExitStack,
    clients: list[dict[str, Any]] | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[str, dict[str, str]]:
    """The MCP server, as the connector ``strict``, and its issuer, which the test may change."""
    resource = f"http://127.0.0.1:{free_port()}/mcp"
    issuer = {"now": processes.enter_context(running(resource, clients or [], settings))}
    await protected(desk, resource, issuer)
    return resource, issuer


async def approve(browser: httpx.AsyncClient, url: str, user_code: str) -> None:
    """Type a device code at the provider and agree; it signs in by itself."""
    page = await browser.get(url)
    for more in ({}, {"confirm": "yes"}):
        xsrf = re.search(r'name="xsrf" value="([^"]+)"', page.text)
        assert xsrf is not None, page.text
        page = await browser.post(url, data={"xsrf": xsrf[1], "user_code": user_code, **more})
    done = await follow(browser, page)
    assert done.status_code == 200, urljoin(url, done.text)
