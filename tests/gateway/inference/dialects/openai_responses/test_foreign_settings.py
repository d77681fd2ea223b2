"""Tools, choices, thinking and forms of output of other dialects."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.inference.dialects.neutral import (
    Extra,
    OutputFormat,
    Reasoning,
    ServerTool,
    Tool,
    ToolChoice,
)
from tests.gateway.inference.dialects.openai_responses.asking import (
    SCHEMA,
    body,
)
from tests.gateway.inference.dialects.openai_responses.exchange import CODEC, TARGET, neutral


def test_tools_are_never_strict_by_silence() -> None:
    asked = neutral(tools=[Tool(name="f", description="d", schema=SCHEMA), Tool(name="g", strict=True)])
    assert body(asked)["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
        {
            "type": "function",
            "name": "g",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
    ]


def test_tools_of_the_server_with_a_counterpart() -> None:
    search = ServerTool(
        dialect="anthropic",
        kind="web_search",
        data={
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a.org"],
            "user_location": {"type": "approximate", "city": "Oslo"},
        },
    )
    code = ServerTool(dialect="google", kind="code_execution", data={"codeExecution": {}})
    assert body(neutral(tools=[search, code]))["tools"] == [
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["a.org"]},
            "user_location": {"type": "approximate", "city": "Oslo"},
        },
        {"type": "code_interpreter", "container": {"type": "auto"}},
    ]
    forced = neutral(tools=[search], tool_choice=ToolChoice(mode="tool", tool="web_search"))
    assert body(forced)["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "web_search"}],
    }


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="any"), "required"),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="tool", tool="f"), {"type": "function", "name": "f"}),
        (ToolChoice(mode="tool", tool="sh"), {"type": "custom", "name": "sh"}),
        (
            ToolChoice(mode="any", allowed=["f", "sh"]),
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "sh"}],
            },
        ),
    ],
)
def test_choices_of_tools(choice: ToolChoice, written: Any) -> None:
    tools: Any = [Tool(name="f"), Tool(name="sh", custom=True)]
    asked = neutral(tools=tools, tool_choice=choice, parallel_tools=False)
    assert body(asked)["tool_choice"] == written
    assert body(asked)["parallel_tool_calls"] is False
    if choice.mode == "any" and choice.allowed is None:
        assert body(asked, tool_choice_any="any")["tool_choice"] == "any"


def test_a_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in body(neutral(tool_choice=ToolChoice(mode="auto")))


@pytest.mark.parametrize(
    ("reasoning", "written"),
    [
        (Reasoning(effort="xhigh"), {"effort": "xhigh"}),
        (Reasoning(effort="none", enabled=False), {"effort": "none"}),
        (Reasoning(enabled=True, budget_tokens=1024, show=True), {"effort": "low", "summary": "auto"}),
        (Reasoning(enabled=True, budget_tokens=10_000), {"effort": "medium"}),
        (Reasoning(budget_tokens=32_000), {"effort": "high"}),
        (Reasoning(adaptive=True, show=True), {"summary": "auto"}),
        (Reasoning(adaptive=True), None),
        (Reasoning(enabled=False, budget_tokens=5), None),
    ],
)
def test_how_much_to_think(reasoning: Reasoning, written: Any) -> None:
    assert body(neutral(reasoning=reasoning)).get("reasoning") == written


def test_thoughts_are_asked_for_in_the_form_that_can_be_replayed() -> None:
    assert body(neutral(reasoning=Reasoning(effort="low")))["include"] == ["reasoning.encrypted_content"]
    assert body(neutral(), replays_reasoning=True)["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body(neutral())


@pytest.mark.parametrize(
    ("output", "written"),
    [
        (OutputFormat(), {"type": "json_object"}),
        (
            OutputFormat(schema=SCHEMA),
            {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True},
        ),
        (
            OutputFormat(schema={"type": "object"}, name="n", description="d"),
            {
                "type": "json_schema",
                "name": "n",
                "schema": {"type": "object"},
                "description": "d",
                "strict": False,
            },
        ),
        (
            OutputFormat(schema={"$defs": {"x": {"type": "object"}}, "anyOf": [SCHEMA]}, strict=True),
            {
                "type": "json_schema",
                "name": "answer",
                "schema": {"$defs": {"x": {"type": "object"}}, "anyOf": [SCHEMA]},
                "strict": True,
            },
        ),
    ],
)
def test_structured_output(output: OutputFormat, written: Any) -> None:
    assert body(neutral(output=output))["text"] == {"format": written}


def test_a_schema_that_strict_does_not_take_is_not_strict() -> None:
    loose: list[dict[str, Any]] = [
        {**SCHEMA, "required": []},
        {**SCHEMA, "properties": {"a": {"type": "object"}}},
        {"$defs": {"x": {"type": "object"}}, **SCHEMA},
        {"oneOf": [SCHEMA]},
        {**SCHEMA, "properties": []},
        {**SCHEMA, "required": "a"},
    ]
    for schema in loose:
        assert body(neutral(output=OutputFormat(schema=schema)))["text"]["format"]["strict"] is False


def test_logprobs_users_and_tiers() -> None:
    asked = neutral(logprobs=True, top_logprobs=4, user="u", service_tier="standard_only", stream=True)
    written = body(asked)
    assert written["include"] == ["message.output_text.logprobs"]
    assert (written["top_logprobs"], written["safety_identifier"]) == (4, "u")
    assert (written["service_tier"], written["stream"]) == ("default", True)


def test_what_openai_chat_has_too_is_taken_over() -> None:
    chat = {"metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k", "verbosity": "low", "odd": 1}
    written = CODEC.encode_request(neutral(extra=Extra(dialect="openai-chat", fields=chat)), TARGET)
    assert written.body["metadata"] == {"a": "b"}
    assert (written.body["store"], written.body["prompt_cache_key"]) == (True, "k")
    assert written.body["text"] == {"verbosity": "low"}
    assert written.dropped == ("extra.odd",)


def test_the_grammar_of_a_tool_of_openai_chat_is_carried() -> None:
    given = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s"}}
    tool = Tool(name="sh", custom=True, extra=Extra(dialect="openai-chat", fields={"format": given}))
    written = CODEC.encode_request(neutral(tools=[tool]), TARGET)
    carried = {"type": "grammar", "syntax": "lark", "definition": "s"}
    assert written.body["tools"] == [{"type": "custom", "name": "sh", "format": carried}]
    assert written.dropped == ()


def test_changes_to_a_decoded_request_are_written() -> None:
    read = CODEC.decode_request({"model": "m", "input": "Hi", "stream": False, "user": "a"})
    written = CODEC.encode_request(replace(read, stream=True, user="b", max_tokens=7), TARGET).body
    assert (written["stream"], written["max_output_tokens"]) == (True, 7)
    assert written["user"] == "b"
