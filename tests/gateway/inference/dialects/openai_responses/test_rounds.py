"""Several rounds: what must come back to a model comes back as it was, over whichever dialect."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.neutral import (
    Block,
    Choice,
    HiddenThinking,
    Message,
    Response,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    TARGET,
    answer,
    decoded,
    encoded,
    frames,
    message,
    neutral,
    request,
    stream,
    text,
    user,
    whole,
)

REASONING: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
    {"type": "reasoning", "id": "rs_2", "summary": []},
    {
        "type": "reasoning",
        "id": "rs_3",
        "summary": [{"type": "summary_text", "text": t} for t in ("One", "", "Two\n\nThree")],
        "encrypted_content": "gBBB",
    },
    {
        "type": "reasoning",
        "id": "rs_4",
        "summary": [{"type": "summary_text", "text": "S"}],
        "content": [{"type": "reasoning_text", "text": "raw"}],
        "encrypted_content": "gCCC",
    },
]


def over_another_dialect(block: Block) -> Block:
    """What another dialect's client sends back: the text and the opaque string, and no extra."""
    if isinstance(block, Thinking | HiddenThinking):
        return replace(block, extra=None)
    if isinstance(block, ToolUse):
        return replace(block, extra=None, item_id=None)
    return Text(text=block.text) if isinstance(block, Text) else block


@pytest.mark.parametrize("item", REASONING, ids=lambda item: str(item["id"]))
def test_reasoning_survives_a_client_of_another_dialect(item: dict[str, Any]) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    given = CODEC.decode_response(answer(item, message(text("So.")), call), NAME)
    content = [over_another_dialect(block) for block in given.choices[0].content]
    result = ToolResult(tool_use_id="c1", content=[Text(text="ok")])
    asked = neutral(
        Message(role="user", content=[Text(text="Hi")]),
        Message(role="assistant", content=content),
        Message(role="user", content=[result]),
    )
    written = CODEC.encode_request(asked, TARGET)
    assert written.dropped == ()
    assert written.body["input"] == [
        user(),
        item,
        {"role": "assistant", "content": "So."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ]
    assert written.body["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize("item", REASONING, ids=lambda item: str(item["id"]))
def test_a_streamed_reasoning_item_survives_too(item: dict[str, Any]) -> None:
    events = decoded(encoded(decoded(_streamed(item))))
    (start, signature) = (events[1], events[-4])
    block: Block = start.block  # type: ignore[union-attr]
    if isinstance(block, Thinking):
        said = "".join(getattr(event, "text", "") for event in events)
        block = replace(block, text=said, signature=signature.signature)  # type: ignore[union-attr]
    asked = neutral(Message(role="assistant", content=[over_another_dialect(block)]))
    assert CODEC.encode_request(asked, TARGET).body["input"] == [item]


def _streamed(item: dict[str, Any]) -> bytes:
    return stream(
        {"type": "response.created", "response": answer(status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "summary": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": answer(item)},
    )


def test_reasoning_whose_text_somebody_changed_keeps_its_content() -> None:
    given = CODEC.decode_response(answer(REASONING[2]), NAME).choices[0].content[0]
    assert isinstance(given, Thinking)
    asked = neutral(Message(role="assistant", content=[replace(given, text="Shorter")]))
    (item,) = CODEC.encode_request(asked, TARGET).body["input"]
    assert (item["id"], item["encrypted_content"]) == ("rs_3", "gBBB")
    assert item["summary"] == [{"type": "summary_text", "text": "Shorter"}]


def test_thinking_with_a_broken_signature_is_dropped_and_named() -> None:
    asked = neutral(Message(role="assistant", content=[Thinking(text="x", origin=NAME, signature="?")]))
    written = CODEC.encode_request(asked, TARGET)
    assert (written.body["input"], written.dropped) == ([], ("messages[0].content[0]",))


THOUGHTS: list[Block] = [
    Thinking(text="Hm.", origin="anthropic", signature="sig=="),
    Thinking(text="", origin="google", signature="sig"),
    Thinking(text="Plain.", origin="openai-chat/deepseek"),
    HiddenThinking(data="blob", origin="anthropic"),
    HiddenThinking(data="blob", origin="anthropic", item_id="toolu_1"),
]


def _replayed(output: list[dict[str, Any]]) -> list[Block]:
    """What is read when a client sends an answer's items back."""
    read = CODEC.decode_request(request(user(), *output, user("Go on")))
    return read.messages[1].content


@pytest.mark.parametrize("block", THOUGHTS)
def test_thoughts_of_other_makers_come_back_as_they_were(block: Block) -> None:
    given = Response(id="r", model="m", choices=[Choice(content=[block, Text(text="A")])])
    written = CODEC.encode_response(given, CODEC.decode_request(request(user())))
    assert _replayed(written["output"])[0] == block
    streamed = frames(encoded(whole(block, Text(text="A"))))[-1]["response"]
    assert _replayed(streamed["output"])[0] == block


@pytest.mark.parametrize("block", THOUGHTS)
def test_thoughts_of_other_makers_do_not_reach_openai(block: Block) -> None:
    written = CODEC.encode_request(
        neutral(Message(role="assistant", content=[block, Text(text="A")])), TARGET
    )
    assert written.body["input"] == [{"role": "assistant", "content": "A"}]
    assert written.dropped == ("messages[0].content[0]",)


def test_a_providers_own_mark_on_its_thoughts_is_honoured() -> None:
    marked = CODEC.decode_response(answer(REASONING[0]), "openai-responses/azure").choices[0].content
    asked = neutral(Message(role="assistant", content=marked))
    assert CODEC.encode_request(asked, Target("a", "m", "openai-responses/azure")).body["input"] == [
        REASONING[0]
    ]
    assert CODEC.encode_request(asked, TARGET).dropped == ("messages[0].content[0]",)


def test_a_google_signature_travels_in_the_call_id() -> None:
    calls = [
        ToolUse(id="call_1", name="f", arguments='{"a":1}', signature="c2ln+/="),
        ToolUse(id="call_2", name="f", arguments="{}"),
    ]
    given = Response(id="r", model="m", choices=[Choice(content=list(calls), stop="tool_use")])
    written = CODEC.encode_response(given, CODEC.decode_request(request(user())))
    first, second = written["output"]
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
        for item in (second, first)
    ]
    read = CODEC.decode_request(request(user(), first, second, *results))
    back = [block for block in read.messages[1].content if isinstance(block, ToolUse)]
    assert [(block.id, block.signature) for block in back] == [("call_1", "c2ln+/="), ("call_2", None)]
    assert [getattr(block, "tool_use_id", None) for block in read.messages[2].content] == ["call_2", "call_1"]
    streamed = frames(encoded(whole(*calls, stop="tool_use")))[-1]["response"]["output"]
    assert [item["call_id"] for item in streamed] == [first["call_id"], second["call_id"]]


def test_an_answer_replayed_to_openai_is_what_it_said() -> None:
    output = [
        REASONING[3],
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}},
        message(text("A"), text("B"), phase="commentary"),
        message(text("C"), id="msg_2"),
        {
            "type": "function_call",
            "id": "fc",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    ]
    given = CODEC.decode_response(answer(*output), NAME)
    written = CODEC.encode_response(given, CODEC.decode_request(request(user())))
    assert written["output"] == output
    body = request(user(), *written["output"], stream=True)
    assert CODEC.encode_request(CODEC.decode_request(body), TARGET).body == body


def test_what_another_dialects_tools_left_in_history_is_dropped_and_named() -> None:
    foreign = ServerBlock(dialect="anthropic", data={"type": "web_search_tool_result"})
    asked = neutral(
        Message(role="assistant", content=[foreign, Text(text="A")]),
        Message(role="user", content=[foreign]),
    )
    written = CODEC.encode_request(asked, TARGET)
    assert written.body["input"] == [{"role": "assistant", "content": "A"}]
    assert written.dropped == ("messages[0].content[0]", "messages[1].content[0]")
