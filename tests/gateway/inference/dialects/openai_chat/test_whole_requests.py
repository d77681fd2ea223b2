"""Whatever a client of this dialect may send comes back as it was."""

from typing import Any

import pytest

from tests.gateway.inference.dialects.openai_chat.asking import (
    CODEC,
    PNG,
    SCHEMA,
    USER,
    body,
    function,
    target,
)

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
