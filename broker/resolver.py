"""Which tools there are for whom: from what a turn asks for to the toolset it works with."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from broker.calls import NeedsConnection, ToolScope, ToolSelection
from broker.connect_tool import CONNECT, connect_tool
from broker.end_user import end_user_of
from broker.models import McpServer, Tool
from broker.operator_servers import OperatorServers
from broker.registry import ToolRegistry
from broker.server_access import connector_of
from broker.server_store import PER_USER
from broker.servers import DISCOVERY_WAIT_S, McpServers
from broker.tool import BoundTool
from broker.toolset import Toolset
from connectors.connect import ConnectSessions
from connectors.credentials import ConnectionRequired
from kit.errors import HeddleError, InvalidRequest


class RegisteredKind(Protocol):
    """A kind of tools that accounts register, such as webhooks."""

    def bind(self, row: Tool) -> BoundTool: ...


class ToolResolver:
    def __init__(
        self,
        registry: ToolRegistry,
        kinds: Mapping[str, RegisteredKind],
        servers: McpServers,
        operator: OperatorServers,
        connect_sessions: ConnectSessions,
    ) -> None:
        """``kinds``: what each ``Tool.kind`` is bound by."""
        self._registry = registry
        self._kinds = kinds
        self._servers = servers
        self._operator = operator
        self._connect_sessions = connect_sessions

    async def toolset(self, scope: ToolScope, selection: ToolSelection) -> Toolset:
        """The tools of a turn.

        Raises InvalidRequest naming a tool that is not there, or (``end_user_required``) a tool that acts
        as an end user where there is none; UpstreamFailed if a named server cannot be asked for its tools.
        With ``tenant``, servers that cannot be used are left out.
        """
        if selection.mode == "none":
            return Toolset()
        registered = await self._registry.all(scope.account_id)
        servers = await self._servers.store.all(scope.account_id)
        if selection.mode == "tenant":
            return await self._all(scope, registered, servers)
        bound: list[BoundTool] = []
        required: dict[str, NeedsConnection] = {}
        for wanted in selection.tools:
            try:
                bound += await self._meant(
                    scope, wanted, registered, servers, for_models=selection.for_models
                )
            except ConnectionRequired as need:
                server_name = next(row.name for row in servers if connector_of(row) == need.connector)
                required[need.connector] = await self.connect_link(
                    scope, need.connector, server_name, scopes=need.scopes
                )
        return Toolset.build(bound, tuple(required.values()))

    async def named(
        self, scope: ToolScope, names: Sequence[str]
    ) -> dict[str, list[BoundTool] | HeddleError | TimeoutError]:
        """What each name means: tools, or why it means none (ConnectionRequired among others)."""
        registered = await self._registry.all(scope.account_id)
        servers = await self._servers.store.all(scope.account_id)

        async def one(name: str) -> list[BoundTool] | HeddleError | TimeoutError:
            try:
                async with asyncio.timeout(DISCOVERY_WAIT_S):
                    return await self._meant(scope, name, registered, servers)
            except (HeddleError, TimeoutError) as problem:
                return problem

        distinct = list(dict.fromkeys(names))
        return dict(zip(distinct, await asyncio.gather(*map(one, distinct)), strict=True))

    async def registered(self, account_id: str) -> list[tuple[BoundTool, str]]:
        """The tools that an account has registered itself, each with its kind."""
        return [(self._bind(row), row.kind) for row in await self._registry.all(account_id)]

    async def connect_link(
        self, scope: ToolScope, connector: str, display_name: str, *, scopes: Sequence[str] = ()
    ) -> NeedsConnection:
        """A link by which the scope's end user connects an account. Raises InvalidRequest, NotFound."""
        assert scope.end_user_id is not None
        label = scope.label_at(connector)
        link = await self._connect_sessions.create(
            scope.account_id, connector, scope.end_user_id, label=label, scopes=list(scopes) or None
        )
        return NeedsConnection(connector, display_name, link.connect_url, link.expires_at, label)

    async def operator_tools(self) -> dict[str, list[BoundTool]]:
        """The tools of each of the operator's servers; none of one that cannot be asked at the moment."""

        async def tools(name: str) -> list[BoundTool]:
            try:
                async with asyncio.timeout(DISCOVERY_WAIT_S):
                    return await self._operator.tools(name)
            except (HeddleError, TimeoutError):
                return []  # logged where it happened

        names = sorted(self._operator.names)
        return dict(zip(names, await asyncio.gather(*map(tools, names)), strict=True))

    async def _meant(
        self,
        scope: ToolScope,
        wanted: str,
        registered: list[Tool],
        servers: list[McpServer],
        *,
        for_models: bool = True,
    ) -> list[BoundTool]:
        """Raises InvalidRequest if there is no such tool, or none ``for_models``; ConnectionRequired,
        UpstreamFailed."""
        row = next((row for row in registered if wanted in {row.id, row.name}), None)
        if row is not None:
            if row.auth_mode == PER_USER:
                end_user_of(scope, f"the tool {row.name} acts")
            return [self._bind(row)]
        server_name, _, tool_name = wanted.partition("/")
        server = next((row for row in servers if server_name in {row.id, row.name}), None)
        if server is None and server_name not in self._operator.names:
            raise _unknown(wanted)
        tools = await self._named(scope, server_name, server)
        chosen = [
            tool
            for tool in tools
            if (not tool_name or tool.display_name.partition("/")[2] == tool_name)
            and (tool.for_models or not for_models)
        ]
        if not chosen and tool_name == CONNECT and server is not None:
            connect = self._connect_tool(server)
            chosen = [connect] if connect is not None else []
        if not chosen and tool_name:
            raise _unknown(wanted)
        return chosen

    def _bind(self, row: Tool) -> BoundTool:
        return self._kinds[row.kind].bind(row)

    async def _all(self, scope: ToolScope, registered: list[Tool], servers: list[McpServer]) -> Toolset:
        """Everything that models may call; of a server that is to be connected first, what connects it."""
        nobody = scope.end_user_id is None
        bound = [self._bind(row) for row in registered if not (nobody and row.auth_mode == PER_USER)]
        usable = [server for server in servers if not (nobody and server.auth_mode == PER_USER)]
        connecting, connected = list[BoundTool](), list[BoundTool]()
        seen = await asyncio.gather(*(self._seen_by(scope, server) for server in usable))
        for server, tools in zip(usable, seen, strict=True):
            bound += tools or ()
            connect = None if nobody else self._connect_tool(server)
            if connect is not None:
                (connecting if tools is None else connected).append(connect)
        own = {server.name for server in servers}
        for name in sorted(self._operator.names - own):
            try:
                bound += await self._operator.tools(name)
            except HeddleError:
                continue  # logged where it happened
        return Toolset.build(
            [tool for tool in bound if tool.for_models], connecting=connecting, connected=connected
        )

    async def _seen_by(self, scope: ToolScope, server: McpServer) -> list[BoundTool] | None:
        """None if they cannot be known before this end user has connected."""
        try:
            return self._servers.bind(server, await self._servers.tools_seen_by(server, scope))
        except ConnectionRequired:
            return None

    def _connect_tool(self, server: McpServer) -> BoundTool | None:
        catalog = self._connect_sessions.registry.catalog
        entry = catalog.get(server.catalog_slug) if server.catalog_slug is not None else None
        return connect_tool(self._servers, server, entry)

    async def _named(self, scope: ToolScope, name: str, server: McpServer | None) -> list[BoundTool]:
        if server is not None:
            return await self._of_server(scope, server)
        return await self._operator.tools(name)

    async def _of_server(self, scope: ToolScope, server: McpServer) -> list[BoundTool]:
        """Raises ConnectionRequired if they cannot be known before this end user has connected."""
        return self._servers.bind(server, await self._servers.tools_for(server, scope))


def _unknown(name: str) -> InvalidRequest:
    return InvalidRequest(f"tools: there is no tool {name}", code="unknown_tool", param="tools")
