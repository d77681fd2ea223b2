"""Whatever a client of this dialect may send comes out as it went in."""

from typing import Any

import pytest

from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    TARGET,
    request,
    user,
)
from tests.gateway.inference.dialects.openai_responses.items import CALL, CUSTOM, FUNCTION, REASONING

WHOLE: list[dict[str, Any]] = [
    {"model": "gpt-x", "input": "Hi"},
    {"model": "gpt-x", "input": ""},
    {"model": "gpt-x", "input": []},
    {"model": "gpt-x", "previous_response_id": "resp_0"},
    {"model": "gpt-x", "prompt": {"id": "p", "variables": {"a": "b"}}, "input": None},
    request(user(), instructions="Be brief."),
    request(user(), instructions=None, tools=[], include=[], text={}, reasoning={}, stream=False),
    request(user(), stream=True, stream_options={"include_obfuscation": False}),
    request(user([])),
    request(user([{"type": "input_text", "text": "Hi"}])),
    request({"type": "message", **user(), "status": "completed", "id": "msg_9"}),
    request({"role": "developer", "content": "A"}, {"role": "system", "content": "B"}, user()),
    request({"role": "developer", "content": [{"type": "input_text", "text": t} for t in "AB"]}, user()),
    request(user(), {"role": "developer", "content": "Now differently."}, user("Hm")),
    request({"role": "system", "content": [{"type": "input_image", "image_url": "https://a/b"}]}, user()),
    request(user(), {"role": "assistant", "content": "Ho"}, {"role": "assistant", "content": "Hm"}, user()),
    request(user(), {"role": "assistant", "content": "Ho", "phase": "commentary"}, user()),
    request(
        user(),
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "A", "annotations": []},
                {
                    "type": "output_text",
                    "text": "B",
                    "annotations": [
                        {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 1},
                        {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1},
                    ],
                },
                {"type": "refusal", "refusal": "No."},
            ],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "C"}]},
    ),
    request(
        user(
            [
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"},
                {"type": "input_image", "image_url": "https://a/b.png", "detail": None},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
                {"type": "input_file", "file_data": "data:text/plain;charset=utf-8;base64,QQ=="},
                {"type": "input_file", "file_data": "JVBE", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://a/b.pdf", "detail": "low"},
                {"type": "input_file", "file_id": "file-2"},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                {
                    "type": "input_text",
                    "text": "x",
                    "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
                },
            ]
        )
    ),
    request(user(), REASONING, CALL, {"type": "function_call_output", "call_id": "c1", "output": "ok"}),
    request(
        user(),
        {"type": "reasoning", "summary": []},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": None, "status": "completed"},
        {"type": "reasoning", "id": "rs_3", "summary": [], "content": [], "encrypted_content": "g"},
        {
            "type": "reasoning",
            "id": "rs_4",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "raw"}],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": ""}], "encrypted_content": "g"},
    ),
    request(
        user(),
        {**CALL, "id": "fc_1", "status": "completed", "namespace": "n"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sh", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "", "id": "x"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "status": "completed",
            "output": [
                {"type": "input_text", "text": "seen"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO"},
            ],
        },
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "one"}]},
        {"type": "function_call_output", "call_id": "c1", "output": []},
    ),
    request(
        user(),
        {"id": "msg_1"},
        {"type": "item_reference", "id": "msg_2"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {
            "type": "computer_call",
            "id": "cu",
            "call_id": "c",
            "action": {"type": "click"},
            "status": "completed",
        },
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        {"type": "compaction", "encrypted_content": "g"},
        {"type": "not_yet_known", "anything": [1]},
        user("Go on"),
    ),
    request(user(), tools=[FUNCTION, CUSTOM, {"type": "function", "name": "bare"}], tool_choice="required"),
    request(
        user(),
        tools=[
            {"type": "web_search_preview", "search_context_size": "low"},
            {"type": "mcp", "server_label": "l", "server_url": "https://m"},
            {"type": "namespace", "name": "n", "description": "d", "tools": [FUNCTION]},
        ],
        tool_choice={"type": "web_search_preview"},
    ),
    request(
        user(), tools=[FUNCTION], tool_choice={"type": "function", "name": "f"}, parallel_tool_calls=False
    ),
    request(user(), tools=[CUSTOM], tool_choice={"type": "custom", "name": "sh"}),
    request(user(), tool_choice={"type": "custom", "name": "elsewhere"}),
    request(user(), tool_choice={"type": "mcp", "server_label": "l", "name": "n"}),
    request(user(), tool_choice="none"),
    request(
        user(),
        tools=[FUNCTION],
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    ),
    request(
        user(),
        tool_choice={
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "mcp", "server_label": "l"}, {"type": "web_search"}],
        },
    ),
    request(user(), reasoning={"effort": "high", "summary": "detailed"}, max_output_tokens=99),
    request(user(), reasoning={"effort": "none", "generate_summary": "auto", "context": "all_turns"}),
    request(user(), text={"format": {"type": "text"}, "verbosity": "low"}),
    request(user(), text={"format": {"type": "json_object"}}),
    request(
        user(),
        text={
            "format": {
                "type": "json_schema",
                "name": "n",
                "schema": {"type": "object"},
                "strict": False,
                "description": "d",
            },
            "verbosity": "high",
        },
    ),
    request(user(), include=["message.output_text.logprobs"], top_logprobs=3),
    request(user(), include=["file_search_call.results", "message.output_text.logprobs"]),
    request(user(), temperature=0.5, top_p=1, service_tier="scale", user="u"),
    request(user(), safety_identifier="s", user="u", service_tier="one-day"),
    request(user(), safety_identifier="s", metadata={"a": "b"}, prompt_cache_key="k", store=True),
    request(user(), background=True, conversation={"id": "conv_1"}, truncation="auto", anything={"new": 1}),
]


@pytest.mark.parametrize("body", WHOLE)
def test_a_request_comes_out_as_it_went_in(body: dict[str, Any]) -> None:
    written = CODEC.encode_request(CODEC.decode_request(body), TARGET)
    assert written.body == body
    assert written.dropped == ()
