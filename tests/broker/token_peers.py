"""An authorization server for clients of one's own, and an MCP server that takes its tokens."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from gateway.loopback import served
from tests.broker.mcp_peers import Toolbox, build_toolbox


@dataclass
class TokenServer:
    """Gives tokens to ``clients`` (id to secret); ``asked``: the forms that came, ``proofs`` the secrets."""

    issuer: str = ""
    clients: dict[str, str] = field(default_factory=lambda: {"robot": "s3cret/&+ü"})
    metadata: dict[str, Any] = field(default_factory=dict)
    lifetime_s: int | None = 3600
    delay_s: float = 0.0
    refuse: Callable[[Mapping[str, str]], Response | None] = lambda _form: None
    asked: list[dict[str, str]] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    given: list[str] = field(default_factory=list)

    async def about(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "token_endpoint": f"{self.issuer}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                **self.metadata,
            }
        )

    async def token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            client_id, _, secret = map(unquote_plus, base64.b64decode(pair).decode().partition(":"))
        self.asked.append(form)
        self.proofs.append(secret)
        await asyncio.sleep(self.delay_s)
        refusal = self.refuse(form)
        if refusal is not None:
            return refusal
        if self.clients.get(client_id) != secret:
            return JSONResponse({"error": "invalid_client", "error_description": secret}, 401)
        token = f"tok_{secrets.token_urlsafe(16)}"
        self.good.add(token)
        self.given.append(token)
        lifetime = {} if self.lifetime_s is None else {"expires_in": self.lifetime_s}
        return JSONResponse({"access_token": token, "token_type": "Bearer", **lifetime})


@dataclass
class Guarded:
    """An MCP server that names ``issuers``, and lets in who has a token that ``accepts`` takes."""

    issuers: list[str]
    accepts: Callable[[str], bool]
    scope: str = "notes"
    box: Toolbox = field(default_factory=Toolbox)
    url: str = ""
    refused: int = 0

    def app(self) -> ASGIApp:
        toolbox = build_toolbox(self.box)

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and not self.accepts(
                Request(scope).headers.get("authorization", "").removeprefix("Bearer ")
            ):
                self.refused += 1
                challenge = {"www-authenticate": f'Bearer scope="{self.scope}"'}
                await Response(status_code=401, headers=challenge)(scope, receive, send)
                return
            await toolbox(scope, receive, send)

        async def metadata(_request: Request) -> Response:
            return JSONResponse({"resource": self.url, "authorization_servers": self.issuers})

        described = Route("/.well-known/oauth-protected-resource/mcp", metadata)
        inner: Any = toolbox
        return Starlette(routes=[described, Mount("", guarded)], lifespan=inner._app.router.lifespan_context)


@asynccontextmanager
async def token_server(server: TokenServer | None = None) -> AsyncIterator[TokenServer]:
    server = server or TokenServer()
    routes = [
        Route("/.well-known/oauth-authorization-server", server.about),
        Route("/token", server.token, methods=["POST"]),
    ]
    async with served(lambda _: Starlette(routes=routes)) as url:
        server.issuer = url
        yield server


@asynccontextmanager
async def guarded(*servers: TokenServer, port: int = 0) -> AsyncIterator[Guarded]:
    """Behind these authorization servers; it takes the tokens of each."""
    mcp = Guarded(
        [server.issuer for server in servers], lambda token: any(token in server.good for server in servers)
    )
    async with guarded_by(mcp, port=port):
        yield mcp


@asynccontextmanager
async def guarded_by(mcp: Guarded, *, port: int = 0) -> AsyncIterator[Guarded]:
    async with served(lambda _: mcp.app(), port=port) as url:
        mcp.url = f"{url}/mcp"
        yield mcp
