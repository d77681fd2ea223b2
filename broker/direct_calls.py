"""Calls of one tool outside of a turn, where nobody can wait for long."""

from typing import Any

from broker.broker import Broker
from broker.calls import (
    AnswersLater,
    NeedsConnection,
    NeedsInput,
    Outcome,
    TaskUnderWay,
    ToolCall,
    ToolResult,
    ToolScope,
    ToolSelection,
    error_result,
)
from broker.metering import Payment
from broker.tool import BoundTool
from kit.errors import Conflict, InvalidRequest
from kit.ids import new_id

ONLY_IN_TURNS = "The tool answers later, and only a thread's turn can wait for that."


async def called(
    broker: Broker, scope: ToolScope, name: str, arguments: dict[str, Any], payment: Payment
) -> tuple[ToolResult, int | None]:
    """Call one tool; with what it cost in nano-USD, None if it has no price.

    Raises InvalidRequest, Conflict (``connection_required``, ``input_required``, ``tool_changed``), and what
    ``Broker.call`` does.
    """
    toolset = await broker.toolset(scope, ToolSelection("explicit", (name,), for_models=False))
    safe_name = toolset.find_display(name) or next(iter(toolset.tools), None)
    if toolset.required or safe_name is None or len(toolset.tools) > 1:
        if toolset.required:
            raise connection_required(toolset.required[0])
        if not toolset.tools and toolset.withheld:
            raise _withheld(next(iter(toolset.withheld.values())))
        raise InvalidRequest("name: expected one tool, such as server/tool", param="name")
    call = ToolCall(new_id("call"), safe_name, arguments, created_at=broker.clock.now_ms())
    outcome, nanos = await broker.call(scope, toolset, call, payment)
    result = await settled(broker, scope, outcome)
    if isinstance(result, NeedsConnection):
        raise connection_required(result)
    if isinstance(result, NeedsInput):
        raise Conflict(
            waits_for_answer(result),
            code="input_required",
            details={"server": result.server, "questions": [one.shown for one in result.questions]},
        )
    return result, nanos


async def settled(
    broker: Broker, scope: ToolScope, outcome: Outcome
) -> ToolResult | NeedsConnection | NeedsInput:
    """What a call comes to where nobody waits for it: what goes on without us is given up."""
    if isinstance(outcome, TaskUnderWay):
        await broker.give_up_task(scope, outcome.state)
    if isinstance(outcome, TaskUnderWay | AnswersLater):
        return error_result(ONLY_IN_TURNS, outcome.record)
    return outcome


def waits_for_answer(needs: NeedsInput) -> str:
    return (
        f"the MCP server {needs.server} asks the end user something, and only a thread's turn can wait "
        "for the answer"
    )


def connection_required(need: NeedsConnection) -> Conflict:
    return Conflict(
        f"the end user must connect {need.display_name} first",
        code="connection_required",
        details={
            "connector": need.connector,
            "connect_url": need.connect_url,
            "expires_at": need.expires_at,
        },
    )


def _withheld(tool: BoundTool) -> Conflict:
    return Conflict(f"the tool {tool.display_name} cannot be used: {tool.withheld}", code="tool_changed")
