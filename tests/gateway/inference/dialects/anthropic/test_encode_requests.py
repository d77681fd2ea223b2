"""What a request of any dialect becomes here: what is carried, refused, or left out and named."""

import base64
from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Block,
    Cache,
    Document,
    Image,
    Inline,
    Linked,
    OutputFormat,
    PlainText,
    Refusal,
    ServerTool,
    Text,
    Tool,
    ToolChoice,
)
from tests.gateway.inference.dialects.anthropic.made import (
    SONNET_4_5,
    asking,
    assistant,
    dropped,
    sent,
    user,
)

LOOK = Tool(name="look", description="Looks.", schema={"properties": {"q": {"type": "string"}}})
FIND = Tool(name="find")
PNG = Inline(media_type="image/png", data="AA==")


def content(block: Block, **quirks: Any) -> Any:
    return sent(asking(user(block)), **quirks)["messages"][0]["content"][0]


def test_a_plain_request() -> None:
    request = asking(user("hi"), system=[Text(text="Be brief.")], stop=["END"], stream=True, user="u1")
    assert sent(request, SONNET_4_5) == {
        "model": SONNET_4_5,
        "max_tokens": 4096,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stop_sequences": ["END"],
        "stream": True,
        "metadata": {"user_id": "u1"},
    }
    assert dropped(request) == ()


@pytest.mark.parametrize(
    ("block", "body"),
    [
        (Image(source=PNG), {"type": "base64", "media_type": "image/png", "data": "AA=="}),
        (Image(source=Linked(url="https://e.test/a")), {"type": "url", "url": "https://e.test/a"}),
        (Document(source=Linked(url="https://e.test/a")), {"type": "url", "url": "https://e.test/a"}),
        (
            Document(source=Inline(media_type="application/pdf", data="JVBE")),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        ),
        (
            Document(source=PlainText(text="ä")),
            {"type": "text", "media_type": "text/plain", "data": "ä"},
        ),
        (
            Document(source=Inline(media_type="text/csv", data=base64.b64encode("a,ä".encode()).decode())),
            {"type": "text", "media_type": "text/plain", "data": "a,ä"},
        ),
    ],
)
def test_media_are_carried(block: Block, body: dict[str, Any]) -> None:
    assert content(block)["source"] == body


def test_a_refusal_of_the_past_is_text() -> None:
    body = sent(asking(user("a"), assistant(Refusal(text="I won't.")), user("b")))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "I won't."}]


def test_cache_breakpoints_are_carried() -> None:
    request = asking(
        user(Text(text="a", cache=Cache(ttl="1h"))),
        system=[Text(text="s", cache=Cache())],
        tools=[Tool(name="look", cache=Cache(ttl="5m"))],
    )
    body = sent(request)
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_tools_are_carried() -> None:
    request = asking(tools=[LOOK, FIND, Tool(name="say", custom=True, schema={"type": "string"})])
    assert sent(request)["tools"] == [
        {
            "name": "look",
            "description": "Looks.",
            "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
        {"name": "find", "input_schema": {"type": "object"}},
        {
            "name": "say",
            "input_schema": {
                "type": "object",
                "properties": {"input": {"type": "string"}},
                "required": ["input"],
            },
        },
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "body"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
        (ToolChoice(mode="tool", tool="look"), None, {"type": "tool", "name": "look"}),
    ],
)
def test_the_choice_of_tools_is_carried(choice: Any, parallel: bool | None, body: Any) -> None:
    request = asking(tools=[LOOK, FIND], tool_choice=choice, parallel_tools=parallel)
    assert sent(request).get("tool_choice") == body


def test_only_the_allowed_tools_are_offered() -> None:
    request = asking(tools=[LOOK, FIND], tool_choice=ToolChoice(mode="any", allowed=["find"]))
    body = sent(request)
    assert [tool["name"] for tool in body["tools"]] == ["find"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_choice_without_tools_is_left_out() -> None:
    request = asking(tool_choice=ToolChoice(mode="auto"))
    assert "tool_choice" not in sent(request)
    assert dropped(request) == ("tool_choice",)


def test_a_web_search_of_another_dialect_becomes_ours() -> None:
    data = {
        "type": "web_search",
        "search_context_size": "high",
        "filters": {"allowed_domains": ["e.test"]},
        "user_location": {"type": "approximate", "country": "DE", "city": None},
    }
    request = asking(tools=[ServerTool(dialect="openai-responses", kind="web_search", data=data)])
    assert sent(request)["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["e.test"],
            "user_location": {"type": "approximate", "country": "DE"},
        }
    ]
    assert dropped(request) == ("tools[0].search_context_size",)


def test_structured_output_of_another_dialect() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "description": "A name."},
            "tags": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": 3},
            "minimum": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        },
    }
    output = OutputFormat(schema=schema, name="person", description="A person.", strict=True)
    format_ = sent(asking(output=output))["output_config"]["format"]
    assert format_ == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "description": "A person.",
            "properties": {
                "name": {"type": "string", "description": "A name. (minLength: 2)"},
                "tags": {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": False},
                    "minItems": 1,
                    "description": "(maxItems: 3)",
                },
                "minimum": {"anyOf": [{"type": "integer", "description": "(minimum: 0)"}, {"type": "null"}]},
            },
        },
    }


@pytest.mark.parametrize(("tier", "body"), [("auto", "auto"), ("default", "standard_only"), ("flex", None)])
def test_service_tiers(tier: str, body: str | None) -> None:
    request = asking(service_tier=tier)
    assert sent(request).get("service_tier") == body
    assert dropped(request) == (() if body else ("service_tier",))
