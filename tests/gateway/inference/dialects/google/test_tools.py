"""Functions, server tools and what may be called."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Cache,
    ServerTool,
    Tool,
    ToolChoice,
)
from kit.errors import Unsupported
from tests.gateway.inference.dialects.google.builders import (
    SECOND,
    ask,
    body,
    encoded,
)
from tests.gateway.inference.dialects.google.samples import FUNCTION, SCHEMA


def test_functions_and_their_schemas() -> None:
    request = ask(tools=[FUNCTION, Tool(name="g", cache=Cache())])
    found = encoded(request)
    assert found.body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
            ]
        }
    ]
    assert found.dropped == ("tools[1].cache_control",)
    narrow = encoded(request, schema_subset="google")
    assert narrow.body["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
    }
    assert "tools[0].schema.additionalProperties" in narrow.dropped


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="any"), {"mode": "ANY"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="tool", tool="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="any", allowed=["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="auto", allowed=["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: ToolChoice, config: dict[str, Any]) -> None:
    found = body(ask(tools=[FUNCTION], tool_choice=choice))
    assert found["toolConfig"] == {"functionCallingConfig": config}


def test_a_choice_that_cannot_be_forced_is_refused() -> None:
    search = ServerTool(dialect="anthropic", kind="web_search", data={"type": "web_search_20250305"})
    for choice in (ToolChoice(mode="tool", tool="web_search"), ToolChoice(mode="any")):
        with pytest.raises(Unsupported) as refused:
            body(ask(tools=[search], tool_choice=choice))
        assert refused.value.param == "tool_choice"
    assert "toolConfig" not in body(ask(tools=[search], tool_choice=ToolChoice(mode="none")))


def test_strict_functions_are_validated() -> None:
    strict = Tool(name="f", schema=SCHEMA, strict=True)
    config = {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert body(ask(tools=[strict]))["toolConfig"] == config
    assert body(ask(tools=[strict], tool_choice=ToolChoice(mode="auto")))["toolConfig"] == config
    assert encoded(ask(tools=[strict]), SECOND).dropped == ("tools[0].strict",)


def test_parallel_calls_cannot_be_switched_off() -> None:
    assert encoded(ask(tools=[FUNCTION], parallel_tools=False)).dropped == ("parallel_tools",)


@pytest.mark.parametrize(
    ("kind", "own"),
    [("web_search", "googleSearch"), ("web_fetch", "urlContext"), ("code_execution", "codeExecution")],
)
def test_server_tools_have_counterparts(kind: str, own: str) -> None:
    tool = ServerTool(dialect="anthropic", kind=kind, data={"type": "x", "name": "x", "max_uses": 3})
    found = encoded(ask(tools=[tool]))
    assert found.body["tools"] == [{own: {}}]
    assert found.dropped == ("tools[0].max_uses",)
    assert "toolConfig" not in found.body


def test_server_tools_beside_functions_show_their_calls() -> None:
    tool = ServerTool(dialect="openai-responses", kind="web_search", data={"type": "web_search"})
    assert body(ask(tools=[tool, FUNCTION]))["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert "toolConfig" not in body(ask(tools=[tool, FUNCTION]), SECOND)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (ServerTool(dialect="anthropic", kind="computer_20250124", data={}), "tools[0]"),
        (
            ServerTool(dialect="anthropic", kind="web_search", data={"allowed_domains": ["a.b"]}),
            "tools[0].allowed_domains",
        ),
        (
            ServerTool(
                dialect="openai-responses", kind="code_execution", data={"container": {"file_ids": ["f"]}}
            ),
            "tools[0].container",
        ),
    ],
)
def test_server_tools_without_counterpart_are_refused(tool: ServerTool, param: str) -> None:
    with pytest.raises(Unsupported) as refused:
        body(ask(tools=[tool]))
    assert refused.value.param == param
