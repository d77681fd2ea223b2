"""Requests in this dialect: nothing is lost, and what is wrong is named."""

from typing import Any

import pytest

from gateway.inference.dialects.codec import left_out
from gateway.inference.dialects.neutral import (
    Document,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    OutputFormat,
    ServerBlock,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Uploaded,
)
from kit.errors import InvalidRequest
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    TARGET,
    request,
    round_trip,
    user,
)

FUNCTION = {
    "type": "function",
    "name": "f",
    "description": None,
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}
CUSTOM = {"type": "custom", "name": "sh", "format": {"type": "grammar", "syntax": "lark", "definition": "s"}}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two\n\nThree"}],
    "encrypted_content": "gAAA",
}

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


PNG = {"type": "input_image", "image_url": 5}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": "Hi"}, "model"),
    ({"model": 5, "input": "Hi"}, "model"),
    ({"model": "m"}, "input"),
    ({"model": "m", "input": 5}, "input"),
    ({"model": "m", "input": None, "background": True}, "input"),
    (request(5), "input[0]"),
    (request({}), "input[0].type"),
    (request({"type": 5}), "input[0].type"),
    (request({"role": "tool", "content": "x"}), "input[0].role"),
    (request({"role": "user"}), "input[0].content"),
    (request({"role": "user", "content": {"text": "x"}}), "input[0].content"),
    (request(user(), user(["x"])), "input[1].content[0]"),
    (request(user([{"type": "video"}])), "input[0].content[0].type"),
    (request(user([{"type": "input_text"}])), "input[0].content[0].text"),
    (request(user([{"type": "input_text", "text": ["x"]}])), "input[0].content[0].text"),
    (request(user([PNG])), "input[0].content[0].image_url"),
    (request(user([{"type": "input_image"}])), "input[0].content[0].image_url"),
    (request(user([{"type": "input_image", "file_id": 5}])), "input[0].content[0].file_id"),
    (request(user([{"type": "input_file"}])), "input[0].content[0].file_data"),
    (request(user([{"type": "input_file", "file_url": 5}])), "input[0].content[0].file_url"),
    (request(user([{"type": "input_file", "file_data": "", "filename": 5}])), "input[0].content[0].filename"),
    (request(user([{"type": "input_audio"}])), "input[0].content[0].input_audio"),
    (
        request(user([{"type": "input_text", "text": "x", "prompt_cache_breakpoint": 1}])),
        "input[0].content[0].prompt_cache_breakpoint",
    ),
    (
        request({"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [1]}]}),
        "input[0].content[0].annotations[0]",
    ),
    (request({"role": "assistant", "content": [{"type": "refusal"}]}), "input[0].content[0].refusal"),
    (request({"type": "reasoning", "summary": "x"}), "input[0].summary"),
    (request({"type": "reasoning", "summary": [{}]}), "input[0].summary[0].text"),
    (request({"type": "reasoning", "content": [5]}), "input[0].content[0].text"),
    (request({"type": "reasoning", "id": 5}), "input[0].id"),
    (request({"type": "reasoning", "encrypted_content": {}}), "input[0].encrypted_content"),
    (request({**CALL, "call_id": None}), "input[0].call_id"),
    (request({**CALL, "name": 5}), "input[0].name"),
    (request({**CALL, "arguments": {"a": 1}}), "input[0].arguments"),
    (request({"type": "custom_tool_call", "call_id": "c", "name": "n"}), "input[0].input"),
    (request({"type": "function_call_output", "output": "x"}), "input[0].call_id"),
    (request({"type": "function_call_output", "call_id": "c"}), "input[0].output"),
    (
        request({"type": "function_call_output", "call_id": "c", "output": [PNG]}),
        "input[0].output[0].image_url",
    ),
    (request(user(), instructions=["x"]), "instructions"),
    (request(user(), tools={}), "tools"),
    (request(user(), tools=["f"]), "tools[0]"),
    (request(user(), tools=[{"name": "f"}]), "tools[0].type"),
    (request(user(), tools=[{"type": "function"}]), "tools[0].name"),
    (request(user(), tools=[{**FUNCTION, "parameters": "x"}]), "tools[0].parameters"),
    (request(user(), tools=[{**FUNCTION, "strict": "yes"}]), "tools[0].strict"),
    (request(user(), tools=[FUNCTION, {**CUSTOM, "name": None}]), "tools[1].name"),
    (request(user(), tool_choice="any"), "tool_choice"),
    (request(user(), tool_choice=5), "tool_choice"),
    (request(user(), tool_choice={}), "tool_choice.type"),
    (request(user(), tool_choice={"type": "function"}), "tool_choice.name"),
    (request(user(), tool_choice={"type": "allowed_tools", "tools": []}), "tool_choice.mode"),
    (request(user(), tool_choice={"type": "allowed_tools", "mode": "auto", "tools": 5}), "tool_choice.tools"),
    (
        request(user(), tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{}]}),
        "tool_choice.tools[0].name",
    ),
    (request(user(), max_output_tokens=0), "max_output_tokens"),
    (request(user(), max_output_tokens=1.5), "max_output_tokens"),
    (request(user(), temperature="hot"), "temperature"),
    (request(user(), temperature=2.5), "temperature"),
    (request(user(), top_p=True), "top_p"),
    (request(user(), top_logprobs=21), "top_logprobs"),
    (request(user(), stream="yes"), "stream"),
    (request(user(), parallel_tool_calls=1), "parallel_tool_calls"),
    (request(user(), reasoning="high"), "reasoning"),
    (request(user(), reasoning={"effort": 3}), "reasoning.effort"),
    (request(user(), text="json"), "text"),
    (request(user(), text={"format": "json"}), "text.format"),
    (request(user(), text={"format": {"type": "xml"}}), "text.format.type"),
    (request(user(), text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name"),
    (request(user(), text={"format": {"type": "json_schema", "name": "n"}}), "text.format.schema"),
    (request(user(), include="x"), "include"),
    (request(user(), user=5), "user"),
    (request(user(), safety_identifier=5), "safety_identifier"),
    (request(user(), service_tier=5), "service_tier"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=[field for _, field in WRONG])
def test_a_wrong_field_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        CODEC.decode_request(body)
    assert refused.value.param == field
    assert refused.value.message.startswith(f"{field}: expected ")


def test_what_the_model_did_in_between_is_one_message_and_results_are_another() -> None:
    read = CODEC.decode_request(
        request(
            {"role": "developer", "content": "Be kind."},
            user("Weather?"),
            REASONING,
            {"role": "assistant", "content": "Let me see."},
            {**CALL, "id": "fc_1"},
            {**CALL, "call_id": "c2"},
            {"type": "function_call_output", "call_id": "c2", "output": "rain"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            user("And?"),
            instructions="Be brief.",
        )
    )
    assert [text.text for text in read.system] == ["Be brief.", "Be kind."]
    assert [message.role for message in read.messages] == ["user", "assistant", "user", "user"]
    assert [type(block) for block in read.messages[1].content] == [Thinking, Text, ToolUse, ToolUse]
    thought, said, call, _ = read.messages[1].content
    assert isinstance(thought, Thinking)
    assert isinstance(said, Text)
    assert isinstance(call, ToolUse)
    assert (thought.text, thought.origin) == ("One\n\nTwo\n\nThree", NAME)
    assert (call.id, call.name, call.arguments, call.item_id) == ("c1", "f", '{"a": 1}', "fc_1")
    assert read.messages[2].content == [
        ToolResult(tool_use_id="c2", content=[Text(text="rain")]),
        ToolResult(tool_use_id="c1", content=[Text(text="sun")]),
    ]


def test_media_are_found_where_they_are() -> None:
    read = CODEC.decode_request(
        request(
            user(
                [
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
                    {"type": "input_image", "image_url": "https://a/b.png"},
                    {"type": "input_file", "file_data": "JVBE", "filename": "a.pdf"},
                    {"type": "input_file", "file_id": "file-2"},
                ]
            )
        )
    )
    image, linked, document, uploaded = read.messages[0].content
    assert image == Image(source=Inline(media_type="image/png", data="iVBO"), detail="low")
    assert linked == Image(source=Linked(url="https://a/b.png"))
    assert isinstance(document, Document)
    assert (document.source, document.title) == (Inline(media_type="application/pdf", data="JVBE"), "a.pdf")
    assert uploaded == Document(source=Uploaded(dialect=NAME, file_id="file-2"))


def test_settings_have_their_neutral_form() -> None:
    read = CODEC.decode_request(
        request(
            user(),
            tools=[FUNCTION, CUSTOM, {"type": "web_search"}, {"type": "code_interpreter", "container": "c"}],
            tool_choice={
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
            parallel_tool_calls=False,
            max_output_tokens=9,
            reasoning={"effort": "low", "summary": "auto"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}},
            include=["message.output_text.logprobs"],
            top_logprobs=2,
            user="u",
            service_tier="flex",
            stream=True,
        )
    )
    function, custom, search, code = read.tools
    assert isinstance(function, Tool)
    assert (function.name, function.strict) == ("f", True)
    assert isinstance(custom, Tool)
    assert custom.custom
    assert isinstance(search, ServerTool)
    assert isinstance(code, ServerTool)
    assert (search.kind, code.kind) == ("web_search", "code_execution")
    assert read.tool_choice == ToolChoice(mode="any", allowed=["f"])
    assert (read.parallel_tools, read.max_tokens, read.stream) == (False, 9, True)
    assert read.reasoning is not None
    assert (read.reasoning.effort, read.reasoning.show) == ("low", True)
    assert read.output == OutputFormat(name="n", schema={"a": 1}, strict=True)
    assert (read.logprobs, read.top_logprobs, read.user, read.service_tier) == (True, 2, "u", "flex")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    body = round_trip(request(user(), {**CALL, "arguments": ""}))
    assert body["input"][1]["arguments"] == "{}"


def test_state_that_only_openai_has_is_essential() -> None:
    read = CODEC.decode_request(
        request(user(), {"id": "msg_1"}, previous_response_id="r", prompt=None, store=True)
    )
    assert read.extra is not None
    assert read.extra.essential == ["previous_response_id", "input[1] (item_reference)"]
    assert any(isinstance(block, ServerBlock) for message in read.messages for block in message.content)


def test_an_empty_reasoning_item_is_hidden_thinking() -> None:
    read = CODEC.decode_request(
        request(user(), {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g"})
    )
    assert read.messages[1].content == [HiddenThinking(data="g", origin=NAME, item_id="rs_1")]


def test_other_dialects_are_told_only_of_what_they_miss() -> None:
    read = CODEC.decode_request(
        request(
            user([{"type": "input_text", "text": "x"}]),
            {"role": "assistant", "content": [{"type": "output_text", "text": "y", "annotations": []}]},
            tools=[],
            include=["reasoning.encrypted_content"],
            text={"format": {"type": "text"}},
            reasoning={"summary": "auto"},
            tool_choice={"type": "web_search_preview"},
            stream=False,
            store=True,
            user="u",
        )
    )
    said = read.messages[1].content[0]
    assert isinstance(said, Text)
    assert left_out(said.extra, "anthropic") == left_out(read.messages[0].extra, "anthropic") == ()
    assert read.tool_choice is not None
    assert left_out(read.tool_choice.extra, "anthropic") == ()
    assert read.reasoning is not None
    assert read.reasoning.extra is None
    assert left_out(read.extra, "anthropic") == ("store",)
