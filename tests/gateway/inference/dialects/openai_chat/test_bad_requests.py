"""What is wrong in a request is named."""

from typing import Any

import pytest

from kit.errors import InvalidRequest
from tests.gateway.inference.dialects.openai_chat.asking import (
    CODEC,
    USER,
    body,
    function,
)

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
