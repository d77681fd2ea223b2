"""Conversations of several rounds, where one dialect's client talks to another dialect's provider."""

from typing import Any

import pytest

from gateway.inference.dialects.codec import Encoded, Quirks, Target
from gateway.inference.dialects.neutral import (
    Block,
    Choice,
    Citation,
    Document,
    Extra,
    HiddenThinking,
    Image,
    Inline,
    Message,
    Request,
    Response,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec

CODEC = OpenAIChatCodec()
PIXEL = Image(source=Inline(media_type="image/png", data="iVBO"))
ASKED = Message(role="user", content=[Text(text="Go")])


def target(**quirks: Any) -> Target:
    return Target("acme", "m", "openai-chat/acme", Quirks(**quirks))


def told(*messages: Message, **quirks: Any) -> Encoded:
    return CODEC.encode_request(Request(model="m", messages=list(messages)), target(**quirks))


def assistant(*blocks: Block) -> Message:
    return Message(role="assistant", content=list(blocks))


def results(*blocks: Block) -> Message:
    return Message(role="user", content=list(blocks))


def call(tool_id: str, arguments: str = "{}", **fields: Any) -> ToolUse:
    return ToolUse(id=tool_id, name="f", arguments=arguments, **fields)


def result(tool_id: str, text: str = "ok", **fields: Any) -> ToolResult:
    return ToolResult(tool_use_id=tool_id, content=[Text(text=text)], **fields)


def replayed(*blocks: Block) -> list[Block]:
    """What a client of this dialect sends back of an answer that it got through our encoder."""
    answer = Response(id="a", model="m", choices=[Choice(content=list(blocks), stop="end_turn")])
    message = CODEC.encode_response(answer, Request(model="m", messages=[]))["choices"][0]["message"]
    message = {name: value for name, value in message.items() if value is not None}
    body = {"model": "m", "messages": [{"role": "user", "content": "Go"}, message]}
    return CODEC.decode_request(body).messages[1].content


def test_parallel_calls_are_followed_by_their_results_in_any_order() -> None:
    messages = told(
        ASKED,
        assistant(Text(text="Both."), call("a", '{"x":1}'), call("b")),
        results(result("b", "two"), Text(text="By the way"), result("a", "one")),
    ).body["messages"]
    assert [(message["role"], message.get("tool_call_id")) for message in messages] == [
        ("user", None),
        ("assistant", None),
        ("tool", "b"),
        ("tool", "a"),
        ("user", None),
    ]
    assert messages[1]["content"] == "Both."
    assert messages[1]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]
    assert messages[4]["content"] == "By the way"


def test_results_spread_over_several_user_messages_stay_together() -> None:
    messages = told(
        ASKED,
        assistant(call("a"), call("b")),
        results(ToolResult(tool_use_id="a", content=[PIXEL])),
        results(result("b")),
    ).body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]


def test_results_in_a_row_decode_into_one_message() -> None:
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": ""}} for name in "ab"]
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "b", "content": "two"},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "one"}], "name": "f"},
            {"role": "user", "content": "And?"},
        ],
    }
    request = CODEC.decode_request(body)
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "user"]
    assert [block.tool_use_id for block in request.messages[2].content] == ["b", "a"]  # type: ignore[union-attr]
    again = CODEC.encode_request(request, target()).body["messages"]
    for message in calls:
        message["function"] = {"name": "f", "arguments": "{}"}
    assert again == body["messages"]


def test_a_call_with_empty_arguments_has_an_empty_object() -> None:
    messages = told(ASKED, assistant(call("a", "")), results(result("a"))).body["messages"]
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert messages[1]["content"] is None


def test_an_image_in_a_result_follows_in_a_user_message() -> None:
    document = Document(source=Inline(media_type="application/pdf", data="JVBE"), title="a.pdf")
    shown = ToolResult(tool_use_id="a", content=[Text(text="Look:"), PIXEL, document])
    messages = told(ASKED, assistant(call("a"), call("b")), results(shown, result("b"))).body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[2]["content"] == "Look:\n(The result's files are in the next user message.)"
    assert messages[4]["content"] == [
        {"type": "text", "text": "From the result of tool call a:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
    ]


def test_a_failed_result_says_so() -> None:
    messages = told(ASKED, assistant(call("a")), results(result("a", "no such file", is_error=True)))
    assert messages.body["messages"][2]["content"] == "The tool failed:\nno such file"


def test_an_empty_result_is_an_empty_text() -> None:
    empty = ToolResult(tool_use_id="a", content=[])
    assert told(ASKED, assistant(call("a")), results(empty)).body["messages"][2]["content"] == ""


def test_a_provider_that_wants_the_model_between_tools_and_user() -> None:
    history = (ASKED, assistant(call("a")), results(result("a"), Text(text="And?")))
    roles = [message["role"] for message in told(*history, user_after_tools=False).body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_tool_ids_fit_the_provider_in_call_and_result() -> None:
    long = "toolu_01" + "x" * 60
    history = (ASKED, assistant(call(long), call("Ab3Ab3Ab3")), results(result(long), result("Ab3Ab3Ab3")))
    for quirks, length in (({"tool_id_length": 9}, 9), ({}, 24)):
        messages = told(*history, **quirks).body["messages"]
        changed, kept = (one["id"] for one in messages[1]["tool_calls"])
        assert [message["tool_call_id"] for message in messages[2:]] == [changed, kept]
        assert changed.isalnum() and len(changed) == length
        assert kept == "Ab3Ab3Ab3"


def test_thoughts_of_another_maker_are_dropped_and_named() -> None:
    foreign = Thinking(text="hm", origin="anthropic", signature="s")
    hidden = HiddenThinking(data="d", origin="openai-responses")
    encoded = told(ASKED, assistant(foreign, hidden, Text(text="Yes")), ASKED, replays_reasoning=True)
    assert encoded.body["messages"][1] == {"role": "assistant", "content": "Yes"}
    assert encoded.dropped == ("messages[1].content[0]", "messages[1].content[1]")


def test_a_message_of_foreign_thoughts_alone_is_left_out() -> None:
    encoded = told(ASKED, assistant(Thinking(text="hm", origin="anthropic")), ASKED)
    assert [message["role"] for message in encoded.body["messages"]] == ["user", "user"]


def test_own_thoughts_go_back_only_to_providers_that_want_them() -> None:
    history = (
        ASKED,
        assistant(Thinking(text="hm", origin="openai-chat/acme"), call("a")),
        results(result("a")),
    )
    assert told(*history, replays_reasoning=True).body["messages"][1]["reasoning_content"] == "hm"
    other = told(*history, replays_reasoning=True, reasoning_field="reasoning").body["messages"][1]
    assert other["reasoning"] == "hm" and "reasoning_content" not in other
    unwanted = told(*history)
    assert "reasoning_content" not in unwanted.body["messages"][1]
    assert unwanted.dropped == ("messages[1].content[0]",)
    parts = told(*history, replays_reasoning=True, reasoning_field="content").body["messages"][1]["content"]
    assert parts == [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]


def test_a_call_of_another_model_gets_a_blank_thought_where_one_is_demanded() -> None:
    foreign = Thinking(text="hm", origin="anthropic", signature="s")
    message = told(ASKED, assistant(foreign, call("a")), results(result("a")), replays_reasoning=True)
    assert message.body["messages"][1]["reasoning_content"] == " "


def test_clients_bring_back_plain_thoughts() -> None:
    for field in ("reasoning_content", "reasoning"):
        history = [
            {"role": "user", "content": "Go"},
            {
                "role": "assistant",
                "content": None,
                field: "hm",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "ok"},
        ]
        request = CODEC.decode_request({"model": "m", "messages": history})
        assert request.messages[1].content[0] == Thinking(text="hm", origin="openai-chat")
        told_again = CODEC.encode_request(request, target(replays_reasoning=True)).body["messages"]
        assert told_again == history


def test_signed_thoughts_of_other_makers_survive_a_round_through_the_client() -> None:
    blocks: list[Block] = [
        Thinking(text="first", origin="anthropic", signature="c2ln"),
        HiddenThinking(data="opaque", origin="anthropic"),
        HiddenThinking(data="gAAA", origin="openai-responses", item_id="rs_1"),
        Thinking(text="unsigned", origin="google"),
        Text(text="Answer"),
    ]
    assert replayed(*blocks) == blocks


def test_unsigned_thoughts_of_other_makers_keep_their_makers() -> None:
    thoughts: list[Block] = [
        Thinking(text="hm", origin="google"),
        Thinking(text="and", origin="openai-responses"),
    ]
    assert replayed(*thoughts, Text(text="A")) == [*thoughts, Text(text="A")]


def test_a_google_signature_travels_in_the_tool_id() -> None:
    blocks: list[Block] = [call("call_1", '{"a":1}', signature="c2lnbmF0dXJl+/="), call("call_2")]
    assert replayed(*blocks) == blocks
    message = CODEC.encode_response(
        Response(id="a", model="m", choices=[Choice(content=blocks, stop="tool_use")]),
        Request(model="m", messages=[]),
    )["choices"][0]["message"]
    carrying = message["tool_calls"][0]["id"]
    assert carrying != "call_1"
    body = {"model": "m", "messages": [message, {"role": "tool", "tool_call_id": carrying, "content": "ok"}]}
    request = CODEC.decode_request(body)
    assert request.messages[1].content[0].tool_use_id == "call_1"  # type: ignore[union-attr]
    encoded = CODEC.encode_request(request, target())
    assert encoded.body["messages"][1]["tool_call_id"] == "call_1"
    assert encoded.dropped == ("messages[0].content[0].signature",)


def test_details_of_a_provider_come_back_to_it() -> None:
    details = [
        {
            "type": "reasoning.text",
            "text": "hm",
            "signature": "s",
            "format": "anthropic-claude-v1",
            "index": 0,
        },
        {
            "type": "reasoning.encrypted",
            "data": "gAAA",
            "id": "rs_1",
            "format": "openai-responses-v1",
            "index": 1,
        },
        {"type": "reasoning.summary", "summary": "so", "index": 2},
    ]
    message = {"role": "assistant", "content": "A", "reasoning": "hmso", "reasoning_details": details}
    body = {"id": "a", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    answer = CODEC.decode_response(body, "openai-chat/acme")
    written = CODEC.encode_response(answer, Request(model="m", messages=[]))["choices"][0]["message"]
    assert {name: value for name, value in written.items() if value is not None} == message
    request = CODEC.decode_request({"model": "m", "messages": [message]})
    encoded = CODEC.encode_request(request, target(replays_reasoning=True, reasoning_field="reasoning"))
    assert encoded.body["messages"] == [message]


def test_calls_of_the_older_kind() -> None:
    history = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "one"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "two"},
    ]
    request = CODEC.decode_request({"model": "m", "messages": history})
    ids = [message.content[0] for message in request.messages]
    assert isinstance(ids[1], ToolUse) and isinstance(ids[2], ToolResult)
    assert ids[1].id == ids[2].tool_use_id != ids[3].id  # type: ignore[union-attr]
    assert CODEC.encode_request(request, target()).body["messages"] == history


def test_free_text_calls_and_their_results() -> None:
    history = [
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    request = CODEC.decode_request({"model": "m", "messages": history})
    [used] = request.messages[1].content
    assert isinstance(used, ToolUse) and used.custom and used.arguments == "select 1"
    assert request.messages[2].content[0].custom is True  # type: ignore[union-attr]
    assert CODEC.encode_request(request, target()).body["messages"] == history


def test_what_only_another_dialect_has_is_dropped_and_named() -> None:
    block = ServerBlock(dialect="anthropic", data={"type": "server_tool_use"})
    cited = Text(text="A", citations=[Citation(dialect="anthropic", data={}, url="https://example.org")])
    odd = Text(text="B", extra=Extra(dialect="anthropic", fields={"x": 1, "_form": 2}))
    encoded = told(ASKED, assistant(block, cited, odd))
    assert encoded.body["messages"][1] == {"role": "assistant", "content": "AB"}
    assert encoded.dropped == (
        "messages[1].content[0]",
        "messages[1].content[1].citations",
        "messages[1].content[2].x",
    )


@pytest.mark.parametrize("content", [[], [Text(text="")]])
def test_empty_content_makes_no_invalid_message(content: list[Block]) -> None:
    messages = told(ASKED, Message(role="assistant", content=content), ASKED).body["messages"]
    assert all(message["content"] in ("Go", "") for message in messages)
