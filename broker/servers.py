"""MCP servers of an account: registration, discovery of their tools, and who calls them with what."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from broker.calls import NeedsInput, TaskUnderWay, ToolCall, ToolResult, ToolScope
from broker.mcp_apps import for_models, shown_to_client, user_interface
from broker.mcp_call import McpCaller, McpCallFailed, McpToolCall, Unauthorized
from broker.mcp_connection import McpTarget
from broker.mcp_listing import Listing, SkippedTool
from broker.mcp_pool import McpPool
from broker.models import McpServer, McpTool
from broker.policy import ToolPolicy, allowed, as_approval, policy_of
from broker.server_store import PER_USER, TENANT, NewServer, ServerStore, ToolChanges
from broker.tool import BoundTool, CallContext
from connectors.credentials import ConnectionRequired, Credential, Credentials
from kit.errors import InvalidRequest, UpstreamFailed
from kit.ids import new_id

CHANGED = "its server has changed its definition, and the developer has not approved of that"

T = TypeVar("T")


@dataclass(frozen=True)
class Bearer:
    """How one call reaches a server: the pool's target, and the credential it carries if it is a user's."""

    target: McpTarget
    credential: Credential | None = None


@dataclass(frozen=True)
class Registered:
    server: McpServer
    tools: list[McpTool]
    skipped: list[SkippedTool]


class McpServers:
    def __init__(
        self, store: ServerStore, credentials: Credentials, pool: McpPool, caller: McpCaller
    ) -> None:
        self.store = store
        self._credentials = credentials
        self._pool = pool
        self._caller = caller

    async def create(self, account_id: str, new: NewServer) -> Registered:
        """Register a server and discover its tools.

        A tenant server must answer now; a per-user server that wants credentials for its list is
        discovered when the first end user has connected. Raises Conflict, InvalidRequest, UpstreamFailed.
        """
        listing = await self._probe(new)
        server = await self.store.insert(account_id, new)
        if listing is None:
            return Registered(server, [], [])
        await self.store.store_tools(server, listing.tools)
        server = await self.store.get(account_id, server.id)
        return Registered(server, await self.tools(server), listing.skipped)

    async def delete(self, server: McpServer) -> None:
        await self.store.delete(server)
        self._pool.retire_server(server.id)

    async def tools(self, server: McpServer) -> list[McpTool]:
        return (await self.store.tools(server.id))[server.id]

    def bind(self, server: McpServer, tools: list[McpTool]) -> list[BoundTool]:
        """Those that may be used, as their policies have it; withheld, where their definition changed."""
        return [_bind(self, server, tool) for tool in tools if allowed(server.tool_rules, tool.name)]

    async def refresh(self, server: McpServer, scope: ToolScope) -> tuple[ToolChanges, list[SkippedTool]]:
        """List the tools again, as this scope. Raises ConnectionRequired, InvalidRequest, UpstreamFailed."""
        listing = await self._list_live(server, scope)
        return await self.store.store_tools(server, listing.tools), listing.skipped

    async def call(
        self,
        server: McpServer,
        tool: McpTool,
        call: ToolCall,
        context: CallContext,
        *,
        policy: ToolPolicy | None = None,
    ) -> ToolResult | NeedsInput | TaskUnderWay:
        """Call a tool as the context's scope. Raises as ``as_user``."""
        policy = policy or ToolPolicy()
        what = McpToolCall(
            server.name,
            tool.name,
            call.input,
            tool.retry_safe if policy.idempotent is None else policy.idempotent,
            timeout_s=None if policy.timeout_ms is None else policy.timeout_ms / 1000,
            whole=user_interface(tool.details) is not None,
        )
        return await self.as_user(
            server, context.scope, lambda target: self._caller.call_tool(target, what, context)
        )

    async def as_user(
        self, server: McpServer, scope: ToolScope, work: Callable[[McpTarget], Awaitable[T]]
    ) -> T:
        """Do something with a server as this scope; after a 401 once more with a renewed credential.

        Raises ConnectionRequired if this end user has to connect (again), InvalidRequest without an end
        user, UpstreamFailed if the configured credentials are not accepted.
        """
        bearer = await self._bearer(server, scope)
        try:
            try:
                return await work(bearer.target)
            except Unauthorized:
                bearer = await self._renewed(server, scope, bearer)
                return await work(bearer.target)
        except Unauthorized:
            raise _refused(server, scope) from None

    def require_end_user(self, server: McpServer, scope: ToolScope) -> str | None:
        """The end user that a call acts as. Raises InvalidRequest if one is needed and there is none."""
        if server.auth_mode == PER_USER and scope.end_user_id is None:
            raise InvalidRequest(
                f"the tools of {server.name} act as an end user, and there is none here; "
                "send an end_user_id (for a turn: create the thread with one)",
                code="end_user_required",
                param="end_user_id",
            )
        return scope.end_user_id

    async def _probe(self, new: NewServer) -> Listing | None:
        """The tools that a server shows before it is registered; None if an end user must connect first."""
        key = f"probe:{new_id('p')}"
        try:
            return await self._caller.list_tools(McpTarget((key, ""), new.server_url, new.headers))
        except Unauthorized:
            if new.auth_mode == PER_USER:
                return None
            raise InvalidRequest(
                "the MCP server does not accept these credentials (401); send auth_headers, "
                'or auth_mode "per_user"',
                code="mcp_unauthorized",
                param="auth_headers",
            ) from None
        except McpCallFailed as failure:
            raise _unreachable(new.server_url, failure) from None
        finally:
            self._pool.retire_server(key)

    async def _list_live(self, server: McpServer, scope: ToolScope) -> Listing:
        try:
            return await self.as_user(server, scope, self._caller.list_tools)
        except McpCallFailed as failure:
            raise _unreachable(server.name, failure) from None

    async def _bearer(self, server: McpServer, scope: ToolScope) -> Bearer:
        end_user_id = self.require_end_user(server, scope)
        if server.auth_mode == TENANT or end_user_id is None:
            headers = await self.store.headers(server)
            return Bearer(_target(server, "tenant", headers))
        credential = await self._credentials.lease(server.account_id, connector_of(server), end_user_id)
        return _as_user(server, credential)

    async def _renewed(self, server: McpServer, scope: ToolScope, refused: Bearer) -> Bearer:
        """Another credential after a 401. Raises ConnectionRequired, or Unauthorized for a tenant's own."""
        if refused.credential is None or scope.end_user_id is None:
            raise Unauthorized
        credential = await self._credentials.lease(
            server.account_id, connector_of(server), scope.end_user_id, rejected=refused.credential
        )
        return _as_user(server, credential)


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
        withheld=CHANGED if server.pin and tool.approved_sha256 != tool.definition_sha256 else None,
        for_client=shown_to_client(server.id, tool.name, tool.details),
        for_models=for_models(tool.details),
    )


@dataclass(frozen=True)
class _ServerTool:
    servers: McpServers
    server: McpServer
    tool: McpTool
    policy: ToolPolicy

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | NeedsInput | TaskUnderWay:
        return await self.servers.call(self.server, self.tool, call, context, policy=self.policy)


def connector_of(server: McpServer) -> str:
    """The name under which end users connect to a server."""
    return server.catalog_slug or server.name


def _as_user(server: McpServer, credential: Credential) -> Bearer:
    return Bearer(_target(server, credential.connection_id, credential.headers), credential)


def _target(server: McpServer, credential: str, headers: Mapping[str, str]) -> McpTarget:
    """A connection says once what its server may ask for: another one where that has changed."""
    key = f"{credential}+sampling" if server.allow_sampling else credential
    return McpTarget((server.id, key), server.server_url, headers, sampling=server.allow_sampling)


def _refused(server: McpServer, scope: ToolScope) -> Exception:
    """What a final 401 means."""
    if server.auth_mode == PER_USER and scope.end_user_id is not None:
        return ConnectionRequired(connector_of(server), scope.end_user_id, "expired")
    return UpstreamFailed(
        f"the MCP server {server.name} does not accept the configured credentials", code="mcp_unauthorized"
    )


def _unreachable(what: str, failure: McpCallFailed) -> UpstreamFailed:
    return UpstreamFailed(
        f"the MCP server {what} could not be asked for its tools: {failure.message}",
        code="mcp_unreachable",
        details={"mcp_status": failure.status},
    )
