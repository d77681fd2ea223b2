"""A tool call of an MCP client: by the same rules as ``POST /v1/tools/call``."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mcp_types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from broker.broker import Broker
from broker.calls import NeedsConnection, NeedsInput, Outcome, ToolCall, ToolSelection, error_result
from broker.direct_calls import settled, waits_for_answer
from broker.metering import Payment
from gateway.mcp_server.connecting import Connecting
from gateway.mcp_server.listing import output_schema
from gateway.mcp_server.principal import Principal, principal_of, revision_of
from gateway.mcp_server.results import Results, refusal
from gateway.mcp_server.running import RunningCalls, call_name
from kit.errors import HeddleError
from kit.ids import new_id
from kit.trace_context import trace_in, trace_in_headers

ALL_TOOLS = ToolSelection("tenant")


class Calling:
    def __init__(self, broker: Broker, connecting: Connecting, running: RunningCalls) -> None:
        self._broker = broker
        self._connecting = connecting
        self._running = running
        self._results = Results()

    async def call(
        self, ctx: ServerRequestContext[Any, Any], params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        """What went wrong is a result, for the model; raises MCPError for a tool that is not there, and
        where the protocol wants an error."""
        principal = principal_of(ctx)
        version = revision_of(ctx)
        waiting = await self._connecting.answered(principal, params)
        if waiting is not None:
            return waiting
        session = principal.session
        name = None if session is None else call_name(_session_id(ctx), ctx.request_id)
        try:
            outcome, cost, promised = await self._running.run(
                name, lambda called_off: self._dispatched(ctx, principal, params, called_off)
            )
        except HeddleError as error:
            return refusal(error)
        result = await settled(self._broker, principal.tool_scope, outcome)
        if isinstance(result, NeedsConnection):
            opens_urls = session.opens_urls if session else _opens_urls(ctx)
            return self._connecting.ask(result, version, opens_urls=opens_urls)
        if isinstance(result, NeedsInput):
            result = error_result(waits_for_answer(result), result.record)
        return self._results.to_mcp(result, cost, promised=promised, version=version)

    async def _dispatched(
        self,
        ctx: ServerRequestContext[Any, Any],
        principal: Principal,
        params: mcp_types.CallToolRequestParams,
        called_off: Callable[[], bool],
    ) -> tuple[Outcome, int | None, dict[str, Any] | None]:
        """The outcome, what it cost, and the output schema that the client was shown."""
        trace = trace_in(params.meta) or trace_in_headers(ctx.request.headers.raw if ctx.request else ())
        scope = replace(principal.tool_scope, trace=trace)
        toolset = await self._broker.toolset(scope, ALL_TOOLS)
        tool = toolset.find(params.name)
        if tool is None and params.name not in toolset.withheld:
            raise MCPError(mcp_types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        call = ToolCall(
            new_id("call"), params.name, params.arguments or {}, created_at=self._broker.clock.now_ms()
        )
        payment = Payment(principal.request_id, principal.caller.key_id, is_request=True)
        outcome, cost = await self._broker.call(
            scope, toolset, call, payment, on_progress=ctx.session.report_progress, called_off=called_off
        )
        return outcome, cost, None if tool is None else output_schema(tool, revision_of(ctx))


def _session_id(ctx: ServerRequestContext[Any, Any]) -> str:
    assert ctx.request is not None
    session_id: str = ctx.request.headers["mcp-session-id"]
    return session_id


def _opens_urls(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether a client without a session, which says so with each request, can ask its user to open a URL."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and elicitation.url is not None
