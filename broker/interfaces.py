"""Reading the user interfaces of tools (MCP Apps) for the clients that show them."""

from dataclasses import dataclass
from typing import Any

import mcp_types
from mcp import MCPError

from broker.calls import ToolScope
from broker.mcp_apps import SCHEME
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_failures import McpCallFailed
from broker.mcp_interaction import InteractiveClient
from broker.mcp_tasks import Suspended
from broker.servers import McpServers
from kit.errors import Conflict, InvalidRequest, NotFound, UpstreamFailed

MAX_URI_CHARS = 2_000
UNKNOWN = frozenset({mcp_types.INVALID_PARAMS, -32002})
"""What servers say of a resource that they do not have: since 2026-07-28, and before."""


@dataclass(frozen=True)
class Interfaces:
    servers: McpServers
    caller: McpCaller

    async def read(self, scope: ToolScope, server_id: str, uri: str) -> dict[str, Any]:
        """The result of ``resources/read`` as the server gave it to this scope's end user.

        It is JSON for a host, which puts it into a sandbox of its own: served as a page from here, a server's
        HTML would run under our origin. Only ``ui://`` resources are read: what else a server has is reached
        through its tools, which may be restricted.

        Raises InvalidRequest, NotFound, Conflict, ConnectionRequired, UpstreamFailed.
        """
        if not uri.startswith(SCHEME) or len(uri) > MAX_URI_CHARS or not uri.isprintable():
            raise InvalidRequest(
                f"uri: expected {SCHEME}… of at most {MAX_URI_CHARS} characters, a user interface's resource",
                param="uri",
            )

        async def work(client: InteractiveClient) -> mcp_types.ReadResourceResult | Suspended | None:
            try:
                return await client.read_resource(uri)
            except Suspended as suspended:
                return suspended
            except MCPError as error:
                if error.code in UNKNOWN:
                    return None
                raise

        async def reading(target: McpTarget) -> mcp_types.ReadResourceResult | Suspended | None:
            return await self.caller.run(target, work, repeatable=True)

        server = await self.servers.store.get(scope.account_id, server_id)
        try:
            found = await self.servers.as_user(server, scope, reading)
        except McpCallFailed as failure:
            raise UpstreamFailed(
                f"the MCP server {server.name} could not be asked for {uri}: {failure.message}",
                code="mcp_unreachable",
            ) from None
        if found is None:
            raise NotFound(f"the MCP server {server.name} has no resource {uri}", param="uri")
        if isinstance(found, Suspended):
            raise Conflict(
                f"the MCP server {server.name} asks the end user something before it shows this, and only a "
                "turn's call can wait for that",
                code="input_required",
            )
        return found.model_dump(mode="json", by_alias=True, exclude_unset=True, include={"contents", "meta"})
