"""The MCP server, put together."""

from typing import Any

from fastapi import APIRouter
from starlette.routing import Route

from broker.broker import Broker
from connectors.connections import Connections
from connectors.http import OAuthHttp
from gateway.accounts.keys import ApiKeys
from gateway.mcp_server import connecting, sessions
from gateway.mcp_server.access import Access
from gateway.mcp_server.calling import Calling
from gateway.mcp_server.connecting import Connecting, sealed_states
from gateway.mcp_server.endpoint import METHODS, McpEndpoint
from gateway.mcp_server.oauth import METADATA_PATH, OAuthAccess, OAuthSettings
from gateway.mcp_server.origins import Origins
from gateway.mcp_server.running import RunningCalls
from gateway.mcp_server.sealing import Sealing
from gateway.mcp_server.server import build_server
from gateway.mcp_server.sessions import Sessions
from gateway.mcp_server.watching import ToolWatch
from gateway.settings import Settings
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound
from vault.store import Vault

PATH = "/mcp"


def mcp_endpoint(
    db: Database,
    vault: Vault,
    clock: Clock,
    keys: ApiKeys,
    connections: Connections,
    broker: Broker,
    http: OAuthHttp,
    settings: Settings,
) -> McpEndpoint:
    configured = _oauth(settings)
    oauth = OAuthAccess(configured, http, keys) if configured is not None else None
    running = RunningCalls(db)
    watch = ToolWatch(db, clock, broker, keys.caller)
    asking = Connecting(connections, clock, wait_s=settings.mcp_connect_wait_s)
    states = sealed_states(Sealing(vault, connecting.PURPOSE))
    return McpEndpoint(
        build_server(broker, Calling(broker, asking, running), watch, states),
        Access(keys, oauth, public_url=settings.resolved_public_url, path=PATH),
        Origins(settings.allowed_origins, public_url=settings.resolved_public_url, host=settings.host),
        Sessions(Sealing(vault, sessions.PURPOSE), clock),
        running,
        watch,
        max_request_bytes=settings.max_request_bytes,
    )


def mcp_routes(endpoint: McpEndpoint, settings: Settings) -> APIRouter:
    router = APIRouter(routes=[Route(PATH, endpoint=endpoint, methods=METHODS)], tags=["mcp"])
    oauth = _oauth(settings)

    @router.get(METADATA_PATH + PATH)
    @router.get(METADATA_PATH, include_in_schema=False)
    async def protected_resource() -> dict[str, Any]:
        if oauth is None:
            raise NotFound("this server takes API keys only: no authorization server is configured")
        return oauth.metadata

    return router


def _oauth(settings: Settings) -> OAuthSettings | None:
    if settings.mcp_oauth_issuer is None:
        return None
    return OAuthSettings(
        issuer=settings.mcp_oauth_issuer,
        resource=f"{settings.resolved_public_url}{PATH}",
        end_user_claim=settings.mcp_oauth_end_user_claim,
        key_claim=settings.mcp_oauth_key_claim,
        key_id=settings.mcp_oauth_key_id,
        scopes=tuple(settings.mcp_oauth_scopes.split()),
    )
