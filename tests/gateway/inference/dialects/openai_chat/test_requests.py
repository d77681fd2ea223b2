"""Requests of clients, as they were and for providers."""

from typing import Any

import pytest

from gateway.inference.dialects.codec import Quirks, Target, left_out
from gateway.inference.dialects.neutral import (
    Audio,
    Cache,
    Document,
    Extra,
    Image,
    Inline,
    Linked,
    Message,
    OutputFormat,
    PlainText,
    Reasoning,
    Request,
    ServerTool,
    Text,
    Tool,
    ToolChoice,
    Uploaded,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from kit.errors import InvalidRequest, Unsupported

CODEC = OpenAIChatCodec()
USER = {"role": "user", "content": "Hi"}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
PNG = "data:image/png;base64,iVBORw0KGgo="


def target(**quirks: Any) -> Target:
    return Target("acme", "model-1", "openai-chat/acme", Quirks(**quirks))


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "model-1", "messages": [USER], **fields}


def user(*blocks: Any, **fields: Any) -> Request:
    return Request(
        model="m", messages=[Message(role="user", content=list(blocks) or [Text(text="Hi")])], **fields
    )


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **fields}}


WHOLE: list[dict[str, Any]] = [
    {
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "x": 1}],
            },
            USER,
        ]
    },
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Now."},
            USER,
        ]
    },
    {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            USER,
        ]
    },
    {"messages": [{"role": "system", "content": [{"type": "text", "text": "a"}], "name": "boss"}, USER]},
    {
        "messages": [
            USER,
            {"role": "system", "content": "Later."},
            {"role": "developer", "content": "And this."},
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "one part"}], "name": "ann"}]},
    {"messages": [{"role": "user", "content": ""}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
        ]
    },
    {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}]}
        ]
    },
    {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.org/a.png"}]}
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}],
            }
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                    }
                ],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBE"}}],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "file", "file": {"file_data": "https://example.org/a.pdf"}}],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file",
                        "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
                    }
                ],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document_url",
                        "document_url": "https://example.org/a.pdf",
                        "document_name": "a",
                    }
                ],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ],
            }
        ]
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "text",
                        "text": "a",
                        "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"},
                    }
                ],
            }
        ]
    },
    {
        "messages": [
            USER,
            {"role": "assistant", "content": "Hello", "refusal": "No", "annotations": [{"x": 1}]},
        ]
    },
    {
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            },
        ]
    },
    {"messages": [USER, {"role": "assistant", "audio": {"id": "audio_1"}}]},
    {"messages": [USER, {"role": "assistant", "content": ""}, USER]},
    {"max_tokens": 5},
    {"max_completion_tokens": 5, "max_tokens": 6},
    {"stop": "x"},
    {"stop": ["x", "y"]},
    {"temperature": 0.5, "top_p": 1, "seed": 7, "presence_penalty": -1, "frequency_penalty": 0.1, "n": 3},
    {"logprobs": True, "top_logprobs": 4},
    {"stream": True},
    {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    {"user": "u", "safety_identifier": "s", "service_tier": "flex"},
    {"safety_identifier": "s"},
    {"reasoning_effort": "xhigh"},
    {"reasoning": {"effort": "low", "exclude": True}},
    {"thinking": {"type": "disabled"}},
    {"reasoning_format": "parsed", "include_reasoning": False},
    {"top_k": 4, "min_p": 0.1, "logit_bias": {"12": 3}},
    {"response_format": {"type": "json_object"}},
    {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "description": "d", "schema": SCHEMA, "strict": True},
        }
    },
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
    {"tools": [function(description="d", strict=True)], "tool_choice": "auto", "parallel_tool_calls": False},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"},
    {"tools": [function()], "tool_choice": "required"},
    {"tools": [function()], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {
        "tools": [function(), function("g")],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
        },
    },
    {"tools": [{**function(), "cache_control": {"type": "ephemeral"}}]},
    {
        "tools": [
            {"type": "custom", "custom": {"name": "c", "description": "d", "format": {"type": "text"}}},
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
                },
            },
        ],
        "tool_choice": {"type": "custom", "custom": {"name": "c"}},
    },
    {"functions": [{"name": "f", "parameters": SCHEMA}], "function_call": {"name": "f"}},
    {"functions": [{"name": "f"}], "function_call": "auto"},
    {"web_search_options": {"search_context_size": "low"}},
    {"tools": [{"type": "openrouter:web_search", "parameters": {"engine": "exa"}}]},
    {
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "prediction": {"type": "content", "content": "x"},
        "verbosity": "low",
        "prompt_cache_key": "k",
        "metadata": {"a": "b"},
        "store": True,
        "provider": {"order": ["x"]},
    },
]


@pytest.mark.parametrize("fields", WHOLE, ids=lambda fields: ",".join(fields))
def test_a_request_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    given = body(**fields)
    if "messages" in fields and given["messages"][-1].get("audio"):
        given["messages"][-1]["content"] = None
    result = CODEC.encode_request(CODEC.decode_request(given), target())
    assert result.body == given
    assert result.dropped == ()


BAD = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].image_url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
        "messages[0].content[0].image_url.url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
        "messages[0].content[0].input_audio.format",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        "messages[0].content[0].file.file_data",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": 1}]}]},
        "messages[0].content[0].cache_control",
    ),
    (
        {"messages": [{"role": "system", "content": [{"type": "refusal", "refusal": "a"}]}]},
        "messages[0].content",
    ),
    ({"messages": [USER, {"role": "tool", "content": "a"}]}, "messages[1].tool_call_id"),
    ({"messages": [USER, {"role": "function", "name": "f", "content": "a"}]}, "messages[1].name"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": {}}]}, "messages[1].tool_calls"),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}]},
        "messages[1].tool_calls[0].function",
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": 1}}]}]},
        "messages[1].tool_calls[0].function.name",
    ),
    (
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]},
            ]
        },
        "messages[1].tool_calls[0].function.arguments",
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"type": "x"}]}]},
        "messages[1].tool_calls[0].type",
    ),
    ({"messages": [USER, {"role": "assistant", "audio": {}}]}, "messages[1].audio.id"),
    (
        {"messages": [USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": 3}]}]},
        "messages[1].content[0].thinking",
    ),
    ({"model": ""}, "model"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "many"}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": 1}, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"seed": 1.5}, "seed"),
    ({"top_k": "a"}, "top_k"),
    ({"logprobs": 1}, "logprobs"),
    ({"stop": [1]}, "stop[0]"),
    ({"stop": 1}, "stop"),
    ({"user": 1}, "user"),
    ({"service_tier": 1}, "service_tier"),
    ({"reasoning_effort": 1}, "reasoning_effort"),
    ({"reasoning": "high"}, "reasoning"),
    ({"thinking": True}, "thinking"),
    ({"tools": {}}, "tools"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
    ({"tools": [function(parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [function(strict="yes")]}, "tools[0].function.strict"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name"),
    ({"functions": [{}]}, "functions[0].name"),
    ({"tool_choice": "maybe"}, "tool_choice"),
    ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x"}}},
        "tool_choice.allowed_tools.mode",
    ),
    ({"function_call": "maybe"}, "function_call"),
    ({"web_search_options": 1}, "web_search_options"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
    ({"modalities": "audio"}, "modalities"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=[param for _, param in BAD])
def test_a_bad_request_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        CODEC.decode_request(body(**fields))
    assert refused.value.param == param
    assert refused.value.message.startswith(param)


def test_cache_breakpoints_of_clients_become_neutral() -> None:
    control = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    request = CODEC.decode_request(
        body(
            messages=[
                {"role": "system", "content": [{"type": "text", "text": "s", **control}]},
                {"role": "user", "content": [{"type": "text", "text": "u", **control}]},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "a", "content": "r", "cache_control": {"type": "ephemeral"}},
            ],
            tools=[{**function(), **control}, {"type": "function", "function": {"name": "g", **control}}],
        )
    )
    hour = Cache(ttl="1h")
    assert request.system[0].cache == hour
    content = request.messages[0].content[0]
    assert isinstance(content, Text) and content.cache == hour
    assert [tool.cache for tool in request.tools] == [hour, hour]
    assert request.messages[2].content[0].cache == Cache()  # type: ignore[union-attr]


def test_what_the_neutral_form_carries_is_not_missed_by_other_dialects() -> None:
    control = {"cache_control": {"type": "ephemeral"}}
    request = CODEC.decode_request(
        body(
            messages=[{"role": "user", "content": [{"type": "text", "text": "u", **control}]}],
            tools=[{**function(), **control}],
            thinking={"type": "enabled"},
            top_k=3,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    kept = [request.messages[0].content[0].extra, request.tools[0].extra, request.extra]  # type: ignore[union-attr]
    assert request.reasoning is not None
    for extra in [*kept, request.reasoning.extra]:
        assert left_out(extra, "anthropic") == ()


def test_openais_own_breakpoints_become_neutral_too() -> None:
    part = {"type": "text", "text": "u", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    request = CODEC.decode_request(body(messages=[{"role": "user", "content": [part]}]))
    assert request.messages[0].content[0].cache == Cache(ttl="1h")  # type: ignore[union-attr]


def test_breakpoints_reach_providers_that_take_them_and_are_named_elsewhere() -> None:
    request = user(Text(text="u", cache=Cache(ttl="1h")), system=[Text(text="s", cache=Cache())])
    request.tools = [Tool(name="f", schema={}, cache=Cache())]
    told = CODEC.encode_request(request, target(cache_control=True))
    assert told.dropped == ()
    assert told.body["messages"] == [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "u", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
    ]
    assert told.body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    left = CODEC.encode_request(request, target())
    assert left.dropped == (
        "system[0].cache_control",
        "messages[0].content[0].cache_control",
        "tools[0].cache_control",
    )
    assert left.body["messages"][1] == {"role": "user", "content": "u"}


def test_instructions_of_other_dialects_become_one_text() -> None:
    request = user(system=[Text(text="a"), Text(text="b")])
    for role in ("developer", "system"):
        messages = CODEC.encode_request(request, target(system_role=role)).body["messages"]
        assert messages[0] == {"role": role, "content": "a\n\nb"}


def test_a_provider_that_knows_only_system_gets_no_developer() -> None:
    given = body(
        messages=[{"role": "developer", "content": "a"}, USER, {"role": "developer", "content": "b"}]
    )
    messages = CODEC.encode_request(CODEC.decode_request(given), target(system_role="system")).body[
        "messages"
    ]
    assert [message["role"] for message in messages] == ["system", "user", "system"]


def test_limits_go_by_the_name_that_the_provider_knows() -> None:
    assert CODEC.encode_request(user(max_tokens=5), target()).body["max_completion_tokens"] == 5
    old = target(max_tokens_field="max_tokens")
    assert CODEC.encode_request(user(max_tokens=5), old).body["max_tokens"] == 5
    newer = CODEC.decode_request(body(max_completion_tokens=7))
    told = CODEC.encode_request(newer, old).body
    assert told["max_tokens"] == 7 and "max_completion_tokens" not in told


def test_usage_is_asked_for_whatever_the_client_shows() -> None:
    told = CODEC.encode_request(user(stream=True), target()).body
    assert told["stream_options"] == {"include_usage": True}


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


@pytest.mark.parametrize(
    ("reasoning", "effort", "dropped"),
    [
        (Reasoning(effort="high"), "high", ()),
        (Reasoning(effort="none"), "none", ()),
        (Reasoning(enabled=True, budget_tokens=1024), "low", ("reasoning.budget_tokens",)),
        (Reasoning(enabled=True, budget_tokens=10_000), "medium", ("reasoning.budget_tokens",)),
        (Reasoning(enabled=True, budget_tokens=60_000), "high", ("reasoning.budget_tokens",)),
        (Reasoning(enabled=False), None, ("reasoning.enabled",)),
        (Reasoning(adaptive=True, show=True), None, ("reasoning.show",)),
    ],
)
def test_reasoning_of_other_dialects(
    reasoning: Reasoning, effort: str | None, dropped: tuple[str, ...]
) -> None:
    result = CODEC.encode_request(user(reasoning=reasoning), target())
    assert result.body.get("reasoning_effort") == effort
    assert result.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "low"}, Reasoning(effort="low")),
        ({"reasoning": {"max_tokens": 9, "exclude": True}}, Reasoning(budget_tokens=9, show=False)),
        ({"reasoning": {"effort": "high", "enabled": True}}, Reasoning(effort="high", enabled=True)),
        ({"thinking": {"type": "enabled"}}, Reasoning(enabled=True)),
        ({"include_reasoning": False}, Reasoning(show=False)),
    ],
)
def test_reasoning_in_providers_own_words(fields: dict[str, Any], expected: Reasoning) -> None:
    reasoning = CODEC.decode_request(body(**fields)).reasoning
    assert reasoning is not None
    reasoning.extra = None
    assert reasoning == expected


def test_structured_output() -> None:
    loose = {"type": "object", "properties": {"a": {}}}
    strict = CODEC.encode_request(user(output=OutputFormat(schema=SCHEMA)), target()).body["response_format"]
    assert strict == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    free = CODEC.encode_request(user(output=OutputFormat(schema=loose)), target()).body["response_format"]
    assert "strict" not in free["json_schema"]
    demanding = OutputFormat(schema=loose, name="a", strict=True)
    result = CODEC.encode_request(user(output=demanding), target(schema_subset="openai-strict"))
    assert result.dropped == ("output.strict",)


def test_a_schema_is_told_where_only_json_mode_exists() -> None:
    request = user(output=OutputFormat(schema=SCHEMA), system=[Text(text="Be brief.")])
    result = CODEC.encode_request(request, target(structured_output="json_object"))
    assert result.body["response_format"] == {"type": "json_object"}
    assert result.body["messages"][0]["content"].startswith("Be brief.\n\nAnswer with a JSON object")
    assert result.dropped == ("output.schema",)
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(request, target(structured_output="none"))
    assert refused.value.param == "output"


def test_media_of_other_dialects() -> None:
    request = user(
        Image(source=Inline(media_type="image/png", data="iVBO"), detail="high"),
        Image(source=Linked(url="https://example.org/a.png")),
        Document(
            source=Inline(media_type="application/pdf", data="JVBE"),
            title="a.pdf",
            context="Old.",
            citations=True,
        ),
        Document(source=PlainText(text="words"), title="Notes"),
        Document(source=Inline(media_type="text/plain", data="aGk=")),
        Document(source=Uploaded(dialect="openai-responses", file_id="file-1")),
        Audio(data="UklG", format="wav"),
    )
    result = CODEC.encode_request(request, target())
    assert result.body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "text", "text": "Old."},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "Notes\n\nwords"},
        {"type": "text", "text": "hi"},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ]
    assert result.dropped == ("messages[0].content[2].citations",)


@pytest.mark.parametrize(
    ("block", "param"),
    [
        (Document(source=Linked(url="https://example.org/a.pdf")), "messages[0].content[0].source"),
        (Document(source=Uploaded(dialect="anthropic", file_id="f")), "messages[0].content[0].source"),
        (Image(source=Uploaded(dialect="anthropic", file_id="f")), "messages[0].content[0].source"),
        (Image(source=Linked(url="https://example.org/a.png")), "messages[0].content[0].source.url"),
    ],
)
def test_media_that_the_provider_cannot_read(block: Any, param: str) -> None:
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(block), target(image_urls=False))
    assert refused.value.param == param


def test_fields_that_a_provider_does_not_know() -> None:
    request = user(seed=1, presence_penalty=0.5, top_k=3, service_tier="standard_only")
    result = CODEC.encode_request(request, target(unsupported=frozenset({"seed", "service_tier"})))
    assert "seed" not in result.body and result.body["presence_penalty"] == 0.5
    assert sorted(result.dropped) == ["seed", "service_tier", "top_k"]
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(choices=2), target(refused=frozenset({"n"})))
    assert refused.value.param == "choices"
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(logprobs=True), target(refused=frozenset({"logprobs"})))
    assert refused.value.param == "logprobs"


def test_fields_of_other_dialects() -> None:
    anthropic = Extra(dialect="anthropic", fields={"container": "c"})
    result = CODEC.encode_request(user(extra=anthropic), target())
    assert "container" not in result.body and result.dropped == ("extra.container",)
    shared = {"metadata": {"a": "b"}, "text": {"verbosity": "low"}, "truncation": "auto"}
    result = CODEC.encode_request(user(extra=Extra(dialect="openai-responses", fields=shared)), target())
    assert result.body["metadata"] == {"a": "b"} and result.body["verbosity"] == "low"
    assert result.dropped == ("extra.truncation",)
    stored = Extra(
        dialect="openai-responses", fields={"previous_response_id": "r"}, essential=["previous_response_id"]
    )
    with pytest.raises(Unsupported, match="previous_response_id"):
        CODEC.encode_request(user(extra=stored), target())


def test_sound_as_an_answer_may_not_be_left_out_elsewhere() -> None:
    request = CODEC.decode_request(
        body(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})
    )
    assert request.extra is not None and request.extra.essential == ["modalities"]


def test_a_long_user_id_is_shortened_the_same_way_every_time() -> None:
    told = [CODEC.encode_request(user(user="u" * 140), target()).body["user"] for _ in range(2)]
    assert told[0] == told[1] and len(told[0]) == 64
    assert CODEC.encode_request(user(user="u"), target()).body["user"] == "u"
