"""Asking an MCP server with the right credential: renewed after a 401, widened after a 403 for scopes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from broker.calls import ToolScope
from broker.end_user import end_user_of
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_failures import InsufficientScope, McpCallFailed, Unauthorized
from broker.mcp_listing import Listing
from broker.models import McpServer
from broker.server_store import EITHER, PER_USER, TENANT, ServerStore
from broker.tenant_credentials import TenantCredentials
from connectors.client_tokens import ClientToken
from connectors.credentials import ConnectionRequired, Credential, Credentials
from kit.clock import Clock
from kit.errors import HeddleError, UpstreamFailed

T = TypeVar("T")
MAX_SCOPES_CHARS = 300
SAMPLING = "+sampling"


@dataclass(frozen=True)
class Bearer:
    """How one call reaches a server: the pool's target, and the credential it carries if it is a user's, or
    the token if it was given to the developer's own client."""

    target: McpTarget
    credential: Credential | None = None
    token: ClientToken | None = None


class ServerAccess:
    def __init__(self, store: ServerStore, credentials: Credentials, caller: McpCaller, clock: Clock) -> None:
        self.tenant = TenantCredentials(store, credentials, clock)
        self._credentials = credentials
        self._caller = caller

    def require_end_user(self, server: McpServer, scope: ToolScope) -> str | None:
        """The end user that a call acts as. Raises InvalidRequest if one is needed and there is none."""
        if server.auth_mode == PER_USER:
            return end_user_of(scope, f"the tools of {server.name} act")
        return scope.end_user_id

    async def credential(self, server: McpServer, scope: ToolScope) -> Credential | None:
        return (await self._bearer(server, scope)).credential

    async def list_live(self, server: McpServer, scope: ToolScope) -> Listing:
        """The list that a scope sees; where end users need not connect, the developer's is everybody's."""
        if server.auth_mode == EITHER:
            scope = replace(scope, end_user_id=None)
        try:
            return await self.ask(server, scope, self._caller.list_tools)
        except McpCallFailed as failure:
            raise unreachable(server.name, failure) from None

    async def list_without_credentials(self, server: McpServer) -> Listing:
        try:
            return await self._caller.list_tools(self._target(server, "", {}))
        except McpCallFailed as failure:
            raise unreachable(server.name, failure) from None

    async def ask(self, server: McpServer, scope: ToolScope, ask: Callable[[McpTarget], Awaitable[T]]) -> T:
        """Ask with this scope's credential, and once more with a renewed one after a 401.

        Raises ConnectionRequired if this end user has to connect (again, or with more rights),
        InvalidRequest without an end user, UpstreamFailed if the configured credentials are not accepted.
        """
        bearer = await self._bearer(server, scope)
        try:
            try:
                return await ask(bearer.target)
            except Unauthorized:
                bearer = await self._renewed(server, scope, bearer)
                return await ask(bearer.target)
        except Unauthorized:
            raise _refused(server, scope, bearer) from None
        except InsufficientScope as refusal:
            raise await self._step_up(server, scope, bearer, refusal.scopes) from None

    async def _step_up(
        self, server: McpServer, scope: ToolScope, bearer: Bearer, missing: tuple[str, ...]
    ) -> HeddleError:
        """What a 403 for want of scopes means: a wider connection, unless it was just asked for."""
        if bearer.credential is not None and scope.end_user_id is not None and missing:
            wider = await self._credentials.wider(bearer.credential, missing)
            if wider is not None:
                return wider
        wanted = f" ({' '.join(missing)})"[:MAX_SCOPES_CHARS] if missing else ""
        return UpstreamFailed(
            f"the MCP server {server.name} does not let this credential do that: it lacks a right{wanted}"
            + (", see auth.scopes" if bearer.token is not None else ""),
            code="mcp_forbidden",
        )

    async def _bearer(self, server: McpServer, scope: ToolScope) -> Bearer:
        end_user_id = self.require_end_user(server, scope)
        if server.auth_mode == TENANT or end_user_id is None:
            return await self._as_tenant(server)
        connector = connector_of(server)
        try:
            credential = await self._credentials.lease(
                server.account_id, connector, end_user_id, label=scope.label_at(connector)
            )
        except ConnectionRequired as need:
            if server.auth_mode != EITHER or need.reason != "not_connected":
                raise  # who has connected is never acted for with other rights
            return await self._as_tenant(server)
        return self._as_user(server, credential)

    async def _renewed(self, server: McpServer, scope: ToolScope, refused: Bearer) -> Bearer:
        """Another credential after a 401. Raises ConnectionRequired; Unauthorized where the tenant has no
        other one, or UpstreamFailed."""
        if refused.token is not None:
            renewed = await self._as_tenant(server, rejected=refused.token)
            if renewed.token is refused.token:
                raise Unauthorized
            return renewed
        if refused.credential is None or scope.end_user_id is None:
            raise Unauthorized
        connector = connector_of(server)
        credential = await self._credentials.lease(
            server.account_id,
            connector,
            scope.end_user_id,
            label=scope.label_at(connector),
            rejected=refused.credential,
        )
        return self._as_user(server, credential)

    async def _as_tenant(self, server: McpServer, *, rejected: ClientToken | None = None) -> Bearer:
        own = await self.tenant.of(server, rejected=rejected)
        return Bearer(self._target(server, "tenant", own.headers), token=own.token)

    def _as_user(self, server: McpServer, credential: Credential) -> Bearer:
        return Bearer(self._target(server, credential.connection_id, credential.headers), credential)

    @staticmethod
    def _target(server: McpServer, credential: str, headers: Mapping[str, str]) -> McpTarget:
        """A connection says once what its server may ask for: it is another one where that has changed."""
        key = f"{credential}{SAMPLING}" if server.allow_sampling else credential
        return McpTarget(
            (server.id, key),
            server.server_url,
            headers,
            account_id=server.account_id,
            sampling=server.allow_sampling,
        )


def credential_of(key: str) -> str:
    """Which credential a connection's key stands for."""
    return key.removesuffix(SAMPLING)


def connector_of(server: McpServer) -> str:
    """The name under which end users connect to a server."""
    return server.catalog_slug or server.name


def _refused(server: McpServer, scope: ToolScope, refused: Bearer) -> Exception:
    """What a final 401 means."""
    if refused.credential is not None and scope.end_user_id is not None:
        return ConnectionRequired(connector_of(server), scope.end_user_id, "expired")
    what = "the configured credentials"
    if refused.token is not None:
        what = "the tokens that the configured client is given: expected a client that may use it"
    return UpstreamFailed(f"the MCP server {server.name} does not accept {what}", code="mcp_unauthorized")


def unreachable(what: str, failure: McpCallFailed) -> UpstreamFailed:
    return UpstreamFailed(
        f"the MCP server {what} could not be asked for its tools: {failure.message}",
        code="mcp_unreachable",
        details={"mcp_status": failure.status},
    )
