"""Requests that are read and written again are what they were."""

from typing import Any

import pytest

from tests.gateway.inference.dialects.anthropic.made import CODEC, SONNET_4_5, body, target

CHEAP = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}

SAME: dict[str, dict[str, Any]] = {
    "system as a string": body(system="Be brief."),
    "system as blocks": body(system=[{"type": "text", "text": "Be brief.", "cache_control": HOUR}]),
    "one text as a list": body([{"type": "text", "text": "hi"}]),
    "several texts": body([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
    "two user messages in a row": body(
        messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    ),
    "a prefill": body(
        messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "The answer is"}]
    ),
    "an instruction on the way": body(
        messages=[
            {"role": "user", "content": "a"},
            {"role": "system", "content": "Be brief.", "clear_at": "next_user_message"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
            {"role": "system", "output_config": {"effort": "low"}},
        ]
    ),
    "every parameter": body(
        model=SONNET_4_5,
        temperature=0.5,
        top_k=5,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u1", "team": "t"},
        service_tier="standard_only",
        speed="fast",
        container={"id": "c1", "skills": []},
        cache_control=HOUR,
        mcp_servers=[{"type": "url", "url": "https://m.test", "name": "m"}],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        inference_geo="eu",
    ),
    "tools": body(
        tools=[
            {"name": "look", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}},
            {
                "type": "custom",
                "name": "find",
                "description": "Finds.",
                "input_schema": {"type": "object"},
                "strict": True,
                "cache_control": CHEAP,
                "defer_loading": True,
                "input_examples": [{}],
            },
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "cache_control": CHEAP},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
            {"type": "mcp_toolset", "mcp_server_name": "m"},
        ],
        tool_choice={"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    ),
    "parallel calls allowed": body(
        tools=[{"name": "look", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": False},
    ),
    "no calls": body(
        tools=[{"name": "look", "input_schema": {"type": "object"}}], tool_choice={"type": "none"}
    ),
    "adaptive thinking": body(thinking={"type": "adaptive", "display": "summarized"}),
    "adaptive thinking with more": body(
        thinking={"type": "adaptive", "display": "updates", "block_binding": {}},
        output_config={"effort": "xhigh", "task_budget": {"type": "tokens", "total": 9}},
    ),
    "thinking between tools": body(thinking={"type": "between_tools"}),
    "manual thinking": body(
        model=SONNET_4_5, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 2000}
    ),
    "no thinking": body(thinking={"type": "disabled"}),
    "effort alone": body(output_config={"effort": "medium"}),
    "structured output": body(
        output_config={"format": {"type": "json_schema", "schema": {"type": "object", "minProperties": 1}}}
    ),
    "a tool's turn": body(
        messages=[
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    {
                        "type": "tool_use",
                        "id": "t1",
                        "name": "look",
                        "input": {},
                        "caller": {"type": "direct"},
                    },
                    {"type": "tool_use", "id": "t2", "name": "look", "input": {"big": 12345678901234567890}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t2", "content": "two", "cache_control": CHEAP},
                    {"type": "tool_result", "tool_use_id": "t1"},
                    {"type": "text", "text": "go on"},
                ],
            },
        ]
    ),
    "results of every kind": body(
        messages=[
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [
                            {"type": "text", "text": "see"},
                            {"type": "image", "source": {"type": "url", "url": "https://e.test/a.png"}},
                            {"type": "document", "source": PDF},
                            {"type": "tool_reference", "tool_name": "find"},
                        ],
                    }
                ],
            },
        ]
    ),
    "documents made of blocks": body(
        [
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "text", "text": "one"}]},
                "citations": {"enabled": True},
            },
            {
                "type": "search_result",
                "source": "https://e.test",
                "title": "Found",
                "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
                "citations": {"enabled": True},
                "cache_control": CHEAP,
            },
        ]
    ),
    "blocks of this dialect only": body(
        [
            {"type": "container_upload", "file_id": "f"},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": []},
            {"type": "compaction", "content": "before"},
            {"type": "something_of_tomorrow", "data": [1]},
        ]
    ),
    "fields of tomorrow": body(
        [
            {"type": "text", "text": "hi", "later": 1},
            {"type": "image", "source": {**PDF, "media_type": "image/png", "later": 1}},
        ],
        later={"a": None, "b": [1]},
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_a_request_loses_nothing(name: str) -> None:
    request = CODEC.decode_request(SAME[name])
    encoded = CODEC.encode_request(request, target(SAME[name]["model"]))
    assert encoded.body == SAME[name]
    assert request == CODEC.decode_request(SAME[name])
    assert encoded.dropped == ()
