"""The tools of a turn: those that the broker has for it, and its caller's own."""

from typing import Any

from broker.calls import ToolScope
from broker.dynamic.mode import DynamicMode
from broker.tool import BoundTool
from broker.toolset import Toolset
from kit.errors import Conflict, InvalidRequest
from kit.trace_context import trace_in
from threads.models import Turn


def tool_scope(turn: Turn, metadata: dict[str, Any] | None = None) -> ToolScope:
    """On whose behalf a turn's tools are called, by whatever process."""
    kept = turn.tool_scope or {}
    return ToolScope(
        account_id=turn.account_id,
        end_user_id=turn.end_user_id,
        thread_id=turn.thread_id,
        turn_id=turn.id,
        metadata=metadata or {},
        connections=kept.get("connections", {}),
        trace=trace_in(kept.get("trace")),
    )


def with_client_tools(turn: Turn, toolset: Toolset) -> Toolset:
    """The toolset with the caller's own tools. Before the turn has done anything, what it asked for is
    checked: raises InvalidRequest if the caller's tools have names that others have, or if the approval of
    tools is asked for that are not there; Conflict (``tool_changed``) if it names a tool that is withheld.
    """
    begun = turn.iteration > 0
    if not begun:
        _check_withheld(turn, toolset)
        _check_approvals(turn, toolset)
    taken = {*toolset.tools, *(tool.display_name for tool in toolset.tools.values())}
    own = []
    for number, tool in enumerate(turn.client_tools):
        if tool["name"] in taken and not begun:
            raise InvalidRequest(
                f"client_tools.{number}.name: {tool['name']} is the name of a tool that the server runs",
                param="client_tools",
            )
        own.append(BoundTool.of_client(tool["name"], tool["description"], tool["input_schema"]))
    return toolset.with_client_tools(own) if own else toolset


def _check_withheld(turn: Turn, toolset: Toolset) -> None:
    named = set(turn.tools)
    for tool in toolset.withheld.values():
        if named & {tool.display_name, *tool.aliases}:
            raise Conflict(
                f"tools: {tool.display_name} cannot be used: {tool.withheld}",
                code="tool_changed",
                param="tools",
            )


def _check_approvals(turn: Turn, toolset: Toolset) -> None:
    if not isinstance(turn.tool_approval, dict) or toolset.required or turn.tools_mode == "dynamic":
        return
    known: set[str] = set()
    for name in (*toolset.tools, *toolset.answered):
        known = known.union(*toolset.names_of(name))
    for name in turn.tool_approval:
        if name not in known:
            raise _unknown(name)


async def check_dynamic_approvals(turn: Turn, scope: ToolScope, dynamic: DynamicMode) -> None:
    """The same where tools are found on the way: raises InvalidRequest before the turn has done anything."""
    if turn.tools_mode != "dynamic" or not isinstance(turn.tool_approval, dict) or turn.iteration > 0:
        return
    unknown = await dynamic.unknown(scope, list(turn.tool_approval))
    if unknown is not None:
        raise _unknown(unknown)


def _unknown(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"tool_approval: there is no tool {name[:80]} in this turn",
        code="unknown_tool",
        param="tool_approval",
    )
