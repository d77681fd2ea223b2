"""W3C trace context: which call of ours somebody's work belongs to (headers of webhooks; ``_meta`` of MCP
calls, 2026-07-28)."""

import hashlib

from broker.calls import ToolCall, ToolScope
from kit.trace_context import TraceContext


def trace_of(scope: ToolScope, call: ToolCall) -> dict[str, str]:
    """``traceparent`` and ``tracestate``: one span per call of a tool, in the trace of the request that it is
    made for, or else one trace per turn (per call where there is no turn).

    Ids of ours are hashes: the vendor learns nothing, and who has a turn's or a call's id finds its trace. A
    trace of ours is flagged "sampled", since we keep a record of every call; without it many vendors would
    keep nothing. Source: Trace Context, section 3.2.
    """
    span = hashlib.sha256(f"span {scope.turn_id} {call.tool_use_id}".encode()).hexdigest()[:16]
    if scope.trace is not None:
        return scope.trace.of_span(span)
    own = hashlib.sha256(f"trace {scope.turn_id or call.tool_use_id}".encode()).hexdigest()[:32]
    return TraceContext(own, span, "01").headers
