"""The MCP server, put together."""

from fastapi import APIRouter
from starlette.routing import Route

from broker.broker import Broker
from connectors.connections import Connections
from gateway.accounts.keys import ApiKeys
from gateway.mcp_server import connecting, sessions
from gateway.mcp_server.access import Access
from gateway.mcp_server.calling import Calling
from gateway.mcp_server.connecting import Connecting, sealed_states
from gateway.mcp_server.endpoint import METHODS, McpEndpoint
from gateway.mcp_server.origins import Origins
from gateway.mcp_server.running import RunningCalls
from gateway.mcp_server.server import build_server
from gateway.mcp_server.sessions import Sessions
from gateway.mcp_server.watching import ToolWatch
from gateway.settings import Settings
from kit.clock import Clock
from kit.db import Database
from vault.store import Vault

PATH = "/mcp"


def mcp_endpoint(
    db: Database,
    vault: Vault,
    clock: Clock,
    keys: ApiKeys,
    connections: Connections,
    broker: Broker,
    settings: Settings,
) -> McpEndpoint:
    running = RunningCalls(db)
    watch = ToolWatch(db, broker, keys.caller)
    asking = Connecting(connections, clock, wait_s=settings.mcp_connect_wait_s)
    states = sealed_states(vault.derived_keys(connecting.PURPOSE))
    return McpEndpoint(
        build_server(broker, Calling(broker, asking, running), watch, states),
        Access(keys),
        Origins(settings.allowed_origins, public_url=settings.resolved_public_url, host=settings.host),
        Sessions(vault.derived_keys(sessions.PURPOSE), clock),
        running,
        watch,
        max_request_bytes=settings.max_request_bytes,
    )


def mcp_routes(endpoint: McpEndpoint) -> APIRouter:
    return APIRouter(routes=[Route(PATH, endpoint=endpoint, methods=METHODS)])
