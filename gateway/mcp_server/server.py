"""The protocol, as the official SDK speaks it: which methods there are, and what answers them."""

from contextlib import aclosing
from typing import Any

import mcp_types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError

from broker.broker import Broker
from gateway.mcp_server.calling import ALL_TOOLS, Calling
from gateway.mcp_server.listing import listed
from gateway.mcp_server.principal import principal_of, revision_of
from gateway.mcp_server.watching import ToolWatch, TooManyStreams

VERSION = "0.1.0"
INSTRUCTIONS = (
    "The tools of this account, called as its end user. A call that needs an account which the user has not "
    "connected yet says where to connect it."
)
LIST_TTL_MS = 60_000
"""How long a client may take its list of tools for right unless it is told otherwise."""

_Context = ServerRequestContext[Any, Any]


class _Server(Server[dict[str, Any]]):
    """The SDK's, which tells clients of the handshake revisions that it says when tools change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        options = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(options, experimental_capabilities, extensions)


def build_server(
    broker: Broker, calling: Calling, watch: ToolWatch, states: RequestStateBoundary
) -> Server[Any]:
    """The methods of all revisions; every handler is told by its context who is asking."""

    async def list_tools(
        ctx: _Context, _params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        toolset = await broker.toolset(principal_of(ctx).tool_scope, ALL_TOOLS)
        return mcp_types.ListToolsResult(tools=listed(toolset, revision_of(ctx)))

    async def call_tool(
        ctx: _Context, params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        return await calling.call(ctx, params)

    async def listen(
        ctx: _Context, params: mcp_types.SubscriptionsListenRequestParams
    ) -> mcp_types.SubscriptionsListenResult:
        return await _listen(watch, ctx, params)

    server = _Server(
        "heddle",
        version=VERSION,
        title="Heddle",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=LIST_TTL_MS, scope="private")},
        get_tool_input_schema=lambda _name: None,  # nothing that is listed has arguments mirrored in headers
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=listen,
    )
    server.middleware.append(states)
    return server


async def _listen(
    watch: ToolWatch, ctx: _Context, params: mcp_types.SubscriptionsListenRequestParams
) -> mcp_types.SubscriptionsListenResult:
    """The stream of 2026-07-28: first what is told of, then every change, each with the request's id."""
    meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
    told_of = bool(params.notifications.tools_list_changed)
    acknowledged = mcp_types.SubscriptionsAcknowledgedNotification(
        params=mcp_types.SubscriptionsAcknowledgedNotificationParams(
            notifications=mcp_types.SubscriptionFilter(tools_list_changed=True if told_of else None),
            _meta=meta,
        )
    )
    begun = False
    try:
        watch.check_room()
    except TooManyStreams as full:
        raise MCPError(mcp_types.INTERNAL_ERROR, full.message) from None
    async with aclosing(watch.changes(principal_of(ctx))) as changes:
        async for changed in changes:
            if not begun:
                await ctx.session.send_notification(acknowledged, related_request_id=ctx.request_id)
                begun = True
            if changed and told_of:
                notification = mcp_types.ToolListChangedNotification(
                    params=mcp_types.NotificationParams(_meta=meta)
                )
                await ctx.session.send_notification(notification, related_request_id=ctx.request_id)
    return mcp_types.SubscriptionsListenResult(_meta=meta)
