"""Tools, the choice among them, and the tools of servers."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    ServerTool,
    Tool,
    ToolChoice,
)
from kit.errors import Unsupported
from tests.gateway.inference.dialects.openai_chat.asking import (
    CODEC,
    SCHEMA,
    USER,
    target,
    user,
)


@pytest.mark.parametrize("word", ["required", "any"])
def test_any_tool_is_called_in_the_providers_word(word: Any) -> None:
    request = user(
        tools=[Tool(name="f", schema=SCHEMA)], tool_choice=ToolChoice(mode="any"), parallel_tools=False
    )
    told = CODEC.encode_request(request, target(tool_choice_any=word)).body
    assert told["tool_choice"] == word
    assert told["parallel_tool_calls"] is False
    assert CODEC.decode_request({**told, "messages": [USER]}).tool_choice == ToolChoice(mode="any")


def test_allowed_tools_are_filtered_where_the_provider_lacks_the_choice() -> None:
    choice = ToolChoice(mode="any", allowed=["g"])
    request = user(tools=[Tool(name="f"), Tool(name="g")], tool_choice=choice)
    told = CODEC.encode_request(request, target(tool_choice_any="any")).body
    assert [tool["function"]["name"] for tool in told["tools"]] == ["g"]
    assert told["tool_choice"] == "any"
    chosen = CODEC.encode_request(request, target()).body["tool_choice"]["allowed_tools"]
    assert chosen == {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}


def test_a_choice_without_tools() -> None:
    assert CODEC.encode_request(user(tool_choice=ToolChoice(mode="auto")), target()).dropped == (
        "tool_choice",
    )
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(tool_choice=ToolChoice(mode="any")), target())
    assert refused.value.param == "tool_choice"


def test_a_tool_without_schema_takes_any_arguments() -> None:
    told = CODEC.encode_request(user(tools=[Tool(name="f")]), target()).body["tools"]
    assert told == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]


def test_web_search_of_another_dialect() -> None:
    location = {"type": "approximate", "city": "Bonn", "country": "DE"}
    tool = ServerTool(
        dialect="anthropic",
        kind="web_search",
        data={"type": "web_search_20250305", "name": "web_search", "user_location": location, "max_uses": 3},
    )
    result = CODEC.encode_request(user(tools=[tool]), target())
    approximate = {"city": "Bonn", "country": "DE"}
    assert result.body["web_search_options"] == {
        "user_location": {"type": "approximate", "approximate": approximate}
    }
    assert result.dropped == ("tools[0].max_uses",)
    tool.data["allowed_domains"] = ["example.org"]
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(tools=[tool]), target())
    assert refused.value.param == "tools[0].allowed_domains"
    del tool.data["allowed_domains"]
    with pytest.raises(Unsupported, match="web_search_options"):
        CODEC.encode_request(user(tools=[tool]), target(refused=frozenset({"web_search_options"})))


def test_server_tools_without_counterpart_are_dropped_unless_forced() -> None:
    tool = ServerTool(dialect="anthropic", kind="code_execution", data={"name": "code_execution"})
    assert CODEC.encode_request(user(tools=[tool]), target()).dropped == ("tools[0]",)
    nameless = ServerTool(dialect="openai-responses", kind="tool_search", data={"type": "tool_search"})
    free = user(tools=[nameless, Tool(name="f")], tool_choice=ToolChoice(mode="auto"))
    assert CODEC.encode_request(free, target()).dropped == ("tools[0]",)
    forced = user(tools=[tool], tool_choice=ToolChoice(mode="tool", tool="code_execution"))
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(forced, target())
    assert refused.value.param == "tool_choice"
