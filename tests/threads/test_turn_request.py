"""A turn's body: what it means, and what is wrong with it."""

from typing import Any

import pytest

from kit.errors import HeddleError
from threads.turn_request import TurnRequest, parse_turn

TOOL = {"name": "pick", "description": "Pick one", "input_schema": {"properties": {"n": {"type": "integer"}}}}


def parsed(**fields: Any) -> TurnRequest:
    return parse_turn({"model": "sim-small", "content": "hi", **fields})


def test_what_a_turn_does_unless_told_otherwise() -> None:
    turn = parsed()
    assert (turn.on_busy, turn.parks_for_funds, turn.tool_approval) == ("reject", False, None)
    assert (turn.client_tools, turn.client_tool_wait_ms) == ((), 0)
    assert (turn.max_duration_ms, turn.action_timeout_ms) == (3_600_000, 86_400_000)
    assert parsed(background=True).parks_for_funds
    assert not parsed(background=True, on_insufficient_funds="fail").parks_for_funds
    assert parsed(tool_approval={"a": "never"}).tool_approval is None
    assert turn.params == {"model": "sim-small"}


def test_only_who_listens_is_waited_for() -> None:
    assert parsed(client_tools=[TOOL]).client_tool_wait_ms == 0
    assert parsed(client_tools=[TOOL], background=True, stream=True).client_tool_wait_ms == 0
    assert parsed(client_tools=[TOOL], stream=True).client_tool_wait_ms == 30_000
    assert parsed(client_tools=[TOOL], stream=True, client_tool_timeout_ms=0).client_tool_wait_ms == 0
    (tool,) = parsed(client_tools=[TOOL]).client_tools
    assert tool["input_schema"] == {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"client_tools": {}}, "client_tools", "a list"),
        ({"client_tools": ["pick"]}, "client_tools", "client_tools.0"),
        ({"client_tools": [{"name": "a b"}]}, "client_tools", "client_tools.0.name"),
        ({"client_tools": [TOOL, TOOL]}, "client_tools", "client_tools.1.name"),
        ({"client_tools": [{**TOOL, "description": 7}]}, "client_tools", "client_tools.0.description"),
        ({"client_tools": [{**TOOL, "input_schema": {"type": "x"}}]}, "client_tools", "0.input_schema"),
        ({"client_tool_timeout_ms": 600_001}, "client_tool_timeout_ms", "0 to 600000"),
        ({"client_tool_timeout_ms": True}, "client_tool_timeout_ms", "integer"),
        ({"max_duration_ms": 999}, "max_duration_ms", "1000"),
        ({"action_timeout_ms": 999}, "action_timeout_ms", "1000"),
        ({"on_busy": "wait"}, "on_busy", "interrupt or queue or reject"),
        ({"on_busy": ["queue"]}, "on_busy", "interrupt"),
        ({"on_insufficient_funds": "beg"}, "on_insufficient_funds", "fail or park"),
        ({"tool_approval": "sometimes"}, "tool_approval", "never, always"),
        ({"tool_approval": {"x": "perhaps"}}, "tool_approval", "never or always"),
        ({"tool_approval": {"x": ["always"]}}, "tool_approval", "never or always"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str, told: str) -> None:
    with pytest.raises(HeddleError) as refusal:
        parsed(**fields)
    assert (refusal.value.status, refusal.value.param) == (400, param)
    assert told in refusal.value.message


def test_without_tools_a_turn_has_what_the_installation_says() -> None:
    body = {"model": "sim-small", "content": "hi"}

    def mode(**fields: Any) -> str:
        return parse_turn({**body, **fields}, default_tools_mode="dynamic").tools_mode

    assert mode() == mode(client_tools=[]) == "dynamic"
    assert mode(tools=["a"]) == "explicit"
    assert mode(tools=[]) == mode(tools_mode="none") == mode(tools_mode="explicit") == "none"
    assert mode(tools_mode="tenant") == "tenant" and mode(tools=["a"], tools_mode="dynamic") == "dynamic"
    assert parse_turn(body).tools_mode == "none"
