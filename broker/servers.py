"""MCP servers of an account: registration, discovery of their tools, and who calls them with what."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from broker.calls import NeedsInput, TaskUnderWay, ToolCall, ToolResult, ToolScope
from broker.mcp_apps import for_models, shown_to_client, user_interface
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_exchange import McpToolCall
from broker.mcp_failures import Denied, McpCallFailed
from broker.mcp_listing import Listing, SkippedTool
from broker.mcp_pool import McpPool
from broker.models import McpServer, McpTool
from broker.policy import ToolPolicy, allowed, as_approval, policy_of
from broker.server_access import ServerAccess, credential_of, unreachable
from broker.server_store import PER_USER, NewServer, ServerStore, ToolChanges
from broker.server_tools import ServerTools
from broker.tenant_credentials import Checked
from broker.tenant_secret import TenantSecret
from broker.tool import BoundTool, CallContext
from broker.trace_context import trace_of
from connectors.credentials import ConnectionRequired, Credentials
from connectors.own_client import OwnClient
from kit.clock import Clock
from kit.errors import HeddleError, InvalidRequest, NotFound
from kit.ids import new_id

CHANGED = "its server has changed its definition, and the developer has not approved of that"
logger = logging.getLogger("heddle.broker")

T = TypeVar("T")

DISCOVERY_WAIT_S = 5.0


@dataclass(frozen=True)
class Registered:
    server: McpServer
    tools: list[McpTool]
    skipped: list[SkippedTool]


class McpServers:
    def __init__(
        self,
        store: ServerStore,
        credentials: Credentials,
        pool: McpPool,
        caller: McpCaller,
        clock: Clock,
    ) -> None:
        self.store = store
        self._access = ServerAccess(store, credentials, caller, clock)
        self.tenant = self._access.tenant
        self._pool = pool
        self._caller = caller
        self._tools = ServerTools(store, self._access, clock)

    async def close(self) -> None:
        await self._tools.close()

    def list_changed(self, server_id: str, credential: str) -> None:
        """A server says that its tool list changed for this credential."""
        self._tools.changed(server_id, credential_of(credential))

    async def create(self, account_id: str, new: NewServer) -> Registered:
        """Register a server and discover its tools.

        A tenant server must answer now; a per-user server that wants credentials for its list is
        discovered when the first end user has connected. Raises Conflict, InvalidRequest, UpstreamFailed.
        """
        checked = None
        if isinstance(new.credentials, OwnClient):
            checked = await self.tenant.check(account_id, new.server_url, new.catalog_slug, new.credentials)
            new = replace(new, credentials=checked.client)
        listing = await self._probe(new, checked)
        server = await self.store.insert(account_id, new)
        if checked is not None:
            self.tenant.keep(server, checked)
        if listing is None:
            return Registered(server, [], [])
        public = new.auth_mode == PER_USER  # it was listed to somebody without credentials
        await self.store.store_tools(server, listing.tools, public=public, ttl_ms=listing.ttl_ms)
        server = await self.store.get(account_id, server.id)
        return Registered(server, await self.tools(server), listing.skipped)

    async def delete(self, server: McpServer) -> None:
        await self.store.delete(server)
        self.tenant.forget(server)
        self._pool.retire_server(server.id)
        self._tools.forget(server.id)

    async def edit(
        self, server: McpServer, columns: Mapping[str, Any], credentials: TenantSecret | None
    ) -> McpServer:
        """As ``ServerStore.edit``; a client must be given a token first. Raises also as ``create``."""
        checked = None
        if isinstance(credentials, OwnClient):
            checked = await self.tenant.changed(server, credentials)
            credentials = checked.client
        edited = await self.store.edit(server, columns, credentials)
        if credentials is not None:
            self.tenant.forget(server)
        if checked is not None:
            self.tenant.keep(edited, checked)
        return edited

    async def tools(self, server: McpServer) -> list[McpTool]:
        """Those that are stored, for the developer's eyes: they may be one end user's own."""
        return (await self.store.tools(server.id))[server.id]

    async def tools_for(self, server: McpServer, scope: ToolScope) -> list[McpTool]:
        """Those that a scope may see and call; raises as ``ServerTools.of``, and InvalidRequest."""
        self._access.require_end_user(server, scope)
        return await self._tools.of(server, scope)

    async def tools_when_connected(self, server: McpServer, scope: ToolScope) -> list[McpTool]:
        """Those of ``tools_for``; ConnectionRequired also where they can be seen without a connection."""
        await self._access.credential(server, scope)
        return await self.tools_for(server, scope)

    async def tools_seen_by(self, server: McpServer, scope: ToolScope) -> list[McpTool]:
        """Those of ``tools_for``; none if they cannot be known, or not soon enough. Raises ConnectionRequired
        if this end user has to connect first."""
        try:
            async with asyncio.timeout(DISCOVERY_WAIT_S):
                return await self.tools_for(server, scope)
        except ConnectionRequired:
            raise
        except (HeddleError, TimeoutError) as problem:
            logger.info("the tools of MCP server %s are not known: %s", server.id, type(problem).__name__)
            return []

    def bind(self, server: McpServer, tools: list[McpTool]) -> list[BoundTool]:
        """Those that may be used, as their policies have it; withheld, where their definition changed."""
        return [_bind(self, server, tool) for tool in tools if allowed(server.tool_rules, tool.name)]

    async def refresh(self, server: McpServer, scope: ToolScope) -> tuple[ToolChanges, list[SkippedTool]]:
        """List the tools again, as this scope. Raises ConnectionRequired, InvalidRequest, UpstreamFailed."""
        return await self._tools.refresh(server, scope)

    async def call(
        self, server: McpServer, tool: McpTool, policy: ToolPolicy, call: ToolCall, context: CallContext
    ) -> ToolResult | NeedsInput | TaskUnderWay:
        """Call a tool as the context's scope; raises as ``as_user``."""
        what = McpToolCall(
            server.name,
            tool.name,
            call.input,
            tool.retry_safe if policy.idempotent is None else policy.idempotent,
            timeout_s=None if policy.timeout_ms is None else policy.timeout_ms / 1000,
            whole=user_interface(tool.details) is not None,
            input_schema=tool.input_schema,
            trace=trace_of(context.scope, call),
        )
        keys: list[tuple[str, str]] = []

        async def once(target: McpTarget) -> ToolResult | NeedsInput | TaskUnderWay:
            keys.append(target.key)
            return await self._caller.call_tool(target, what, context)

        result = await self.as_user(server, context.scope, once)
        if result.record.get("status") == "rpc_error":  # perhaps the tool is not there any more
            self.list_changed(*keys[-1])
        return result

    async def trusts(self, account_id: str, server_id: str, tool: str) -> bool:
        """Whether the developer lets a tool's results pass as their own words; no more once it is gone."""
        try:
            server = await self.store.get(account_id, server_id)
        except NotFound:
            return False
        return policy_of(server.tool_rules, tool).trusted

    async def as_user(
        self, server: McpServer, scope: ToolScope, work: Callable[[McpTarget], Awaitable[T]]
    ) -> T:
        """Do something with a server as this scope; raises as ``ServerAccess.ask``."""
        return await self._access.ask(server, scope, work)

    async def _probe(self, new: NewServer, checked: Checked | None) -> Listing | None:
        """The tools that a server shows before it is registered; None if an end user must connect first."""
        key = f"probe:{new_id('p')}"
        headers = new.credentials if checked is None else checked.headers
        assert not isinstance(headers, OwnClient)
        try:
            return await self._caller.list_tools(McpTarget((key, ""), new.server_url, headers))
        except Denied:
            if new.auth_mode == PER_USER:
                return None
            raise _denied(checked) from None
        except McpCallFailed as failure:
            raise unreachable(new.server_url, failure) from None
        finally:
            self._pool.retire_server(key)

    async def list_live(self, server: McpServer, scope: ToolScope) -> Listing:
        """The tools that a server shows to this scope now. Raises as ``refresh``."""
        return await self._access.list_live(server, scope)


def _denied(checked: Checked | None) -> InvalidRequest:
    if checked is not None:
        return InvalidRequest(
            "the MCP server does not accept the token that the client was given (401 or 403); send auth with "
            "a client, and scopes, that may use it",
            code="mcp_unauthorized",
            param="auth.scopes",
        )
    return InvalidRequest(
        "the MCP server does not accept these credentials (401 or 403); send auth_headers, auth, or "
        'auth_mode "per_user"',
        code="mcp_unauthorized",
        param="auth_headers",
    )


def _bind(servers: McpServers, server: McpServer, tool: McpTool) -> BoundTool:
    approval = as_approval(server.approval)
    policy = policy_of(server.tool_rules, tool.name, approval=approval, timeout_ms=server.timeout_ms)
    return BoundTool(
        f"{server.name}/{tool.name}",
        tool.description,
        tool.input_schema,
        tool.retry_safe if policy.idempotent is None else policy.idempotent,
        _ServerTool(servers, server, tool, policy),
        aliases=frozenset({f"{server.id}/{tool.name}"}),
        server_names=frozenset({server.name, server.id}),
        approval=policy.approval,
        trusted=policy.trusted,
        details=tool.details,
        for_client=shown_to_client(server.id, tool.name, tool.details),
        for_models=for_models(tool.details),
        withheld=CHANGED if server.pin and tool.approved_sha256 != tool.definition_sha256 else None,
    )


@dataclass(frozen=True)
class _ServerTool:
    servers: McpServers
    server: McpServer
    tool: McpTool
    policy: ToolPolicy

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | NeedsInput | TaskUnderWay:
        return await self.servers.call(self.server, self.tool, self.policy, call, context)
