"""W3C trace context: which call of ours a server's work belongs to (``_meta``, MCP 2026-07-28)."""

import hashlib

from broker.calls import ToolCall, ToolScope


def traceparent(scope: ToolScope, call: ToolCall) -> str:
    """One trace per turn (per call where there is no turn), one span per call of a tool.

    Both ids are hashes: the vendor learns nothing, and who has a turn's or a call's id finds its trace. The
    flag says "sampled", since we keep a record of every call; without it many vendors would keep nothing.
    Source: Trace Context, section 3.2.
    """
    trace = hashlib.sha256(f"trace {scope.turn_id or call.tool_use_id}".encode()).hexdigest()[:32]
    span = hashlib.sha256(f"span {scope.turn_id} {call.tool_use_id}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"
