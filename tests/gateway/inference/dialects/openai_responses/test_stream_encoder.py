"""Streams for this dialect's clients, whoever answered, as OpenAI's own client gathers them."""

from typing import Any

import pytest
from pydantic import BaseModel

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    AudioDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    Failed,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    Citation,
    HiddenThinking,
    Image,
    Inline,
    Refusal,
    Response,
    ServerBlock,
    StopReason,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    decoded,
    encoded,
    frames,
    kinds,
    message,
    request,
    text,
    user,
    whole,
)
from tests.gateway.inference.dialects.openai_responses.sdk import accumulated, check, events_of

LOGPROB = {"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}
URL = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
SAID = message(text("Ær ✓", annotations=[URL], logprobs=[LOGPROB]), {"type": "refusal", "refusal": "No."})
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"å":1}',
    "status": "completed",
}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "sh", "input": "ls"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
    "encrypted_content": "gAAA",
}
RAW_REASONING = {
    "type": "reasoning",
    "id": "rs_2",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "raw"}],
}
HIDDEN = {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "gBBB"}

LOGPROB = {"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}
SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}


def test_the_exact_events_of_a_text() -> None:
    usage = TokenUsage(input_tokens=3, output_tokens=2)
    events: list[Event] = [
        Started(id="msg_a", model="claude", created_s=5),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text="Æ"),
        TextDelta(index=0, text="r", logprobs=[LOGPROB]),
        CitationDelta(index=0, citation=Citation(dialect="anthropic", data={}, url="u")),
        BlockStopped(index=0),
        ChoiceFinished(stop="end_turn"),
        Finished(usage=usage),
    ]
    written = frames(encoded(events))
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    (item,) = check(written)
    assert item["content"][0]["text"] == "Ær"
    assert item["content"][0]["logprobs"] == [LOGPROB]
    assert item["content"][0]["annotations"][0]["end_index"] == 2
    final = written[-1]["response"]
    assert (final["id"], final["status"], final["usage"]["total_tokens"]) == ("resp_msg_a", "completed", 5)
    gathered = accumulated(encoded(events))
    assert gathered.output_text == "Ær"
    assert gathered.usage is not None


def test_the_exact_events_of_thoughts_and_calls() -> None:
    events: list[Event] = [
        Started(id="msg_a", model="claude"),
        BlockStarted(index=0, block=Thinking(text="", origin="anthropic")),
        TextDelta(index=0, text="Hm"),
        TextDelta(index=0, text="\n\n"),
        TextDelta(index=0, text="so."),
        SignatureDelta(index=0, signature="sig"),
        BlockStopped(index=0),
        BlockStarted(index=1, block=ToolUse(id="t1", name="f", arguments="")),
        ArgumentsDelta(index=1, text='{"a":'),
        ArgumentsDelta(index=1, text="1}"),
        BlockStopped(index=1),
        BlockStarted(index=2, block=ToolUse(id="t2", name="g", arguments="")),
        BlockStopped(index=2),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    written = frames(encoded(events))
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    thought, call, empty = check(written)
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm\n\nso."}]
    assert (call["call_id"], call["arguments"], empty["arguments"]) == ("t1", '{"a":1}', "{}")
    tool: Any = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    gathered = accumulated(encoded(events), tools=[tool])
    assert [item.type for item in gathered.output] == ["reasoning", "function_call", "function_call"]


BLOCKS: list[Block] = [
    Text(text="A"),
    Refusal(text="No."),
    Thinking(text="Hm.", origin="anthropic", signature="s"),
    Thinking(text="", origin="google", signature="s"),
    HiddenThinking(data="d", origin="anthropic"),
    ToolUse(id="t", name="f", arguments='{"a":1}', signature="g"),
    ToolUse(id="t2", name="sh", arguments='{"input":"ls"}'),
    ToolUse(id="t3", name="sh", arguments="ls", custom=True),
    Image(source=Inline(media_type="image/png", data="iVBO")),
    Audio(data="UklG", format="wav", transcript="Hello"),
    ServerBlock(dialect="anthropic", data={"type": "server_tool_use"}),
    ServerBlock(dialect=NAME, data={"id": "ws_1", **SEARCH}),
    ServerBlock(
        dialect=NAME, data={"type": "message", "role": "assistant", "content": [text("of a new kind")]}
    ),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_in_one_piece_is_the_same_as_in_the_whole_answer(block: Block) -> None:
    asked = CODEC.decode_request(request(user(), tools=[{"type": "custom", "name": "sh"}]))
    raw = encoded(whole(Text(text="So:"), block, Text(text=".")), asked)
    choice = Choice(content=[Text(text="So:"), block, Text(text=".")], stop="end_turn")
    given = CODEC.encode_response(Response(id="msg_a", model="claude", choices=[choice], created_s=5), asked)
    assert check(frames(raw)) == given["output"]
    assert frames(raw)[-1]["response"] == given
    assert accumulated(raw).id == "resp_msg_a"


def test_a_tool_that_takes_text_is_told_when_its_json_is_whole() -> None:
    asked = CODEC.decode_request(request(user(), tools=[{"type": "custom", "name": "sh"}]))
    events: list[Event] = [
        Started(id="m", model="c"),
        BlockStarted(index=0, block=ToolUse(id="t", name="sh", arguments="")),
        ArgumentsDelta(index=0, text='{"input":'),
        ArgumentsDelta(index=0, text='"ls"}'),
        BlockStopped(index=0),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    written = frames(encoded(events, asked))
    assert [item["input"] for item in check(written)] == ["ls"]
    assert kinds(written)[2:6] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]


def test_a_signature_after_the_start_of_a_call_is_in_its_id() -> None:
    events: list[Event] = [
        Started(id="m", model="g"),
        BlockStarted(index=0, block=ToolUse(id="t", name="f", arguments="")),
        SignatureDelta(index=0, signature="sig"),
        ArgumentsDelta(index=0, text="{}"),
        BlockStopped(index=0),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    (call,) = check(frames(encoded(events)))
    read = CODEC.decode_request(request(user(), call)).messages[1].content[0]
    assert isinstance(read, ToolUse)
    assert (read.id, read.signature) == ("t", "sig")


def test_blocks_that_overlap_are_put_in_order() -> None:
    events: list[Event] = [
        Started(id="m", model="c"),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text="A"),
        BlockStarted(index=1, block=ToolUse(id="t1", name="f", arguments="")),
        BlockStarted(index=2, block=ToolUse(id="t2", name="g", arguments="")),
        ArgumentsDelta(index=2, text="{"),
        ArgumentsDelta(index=1, text='{"a"'),
        TextDelta(index=0, text="B"),
        BlockStarted(index=0, block=Text(text="of another choice"), choice=1),
        ArgumentsDelta(index=2, text="}"),
        BlockStopped(index=2),
        BlockStopped(index=0),
        ArgumentsDelta(index=1, text=":1}"),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    said, first, second = check(frames(encoded(events)))
    assert said["content"][0]["text"] == "AB"
    assert (first["arguments"], second["arguments"]) == ('{"a":1}', "{}")


def test_sound_is_its_transcript() -> None:
    events: list[Event] = [
        Started(id="m", model="c"),
        BlockStarted(index=0, block=Audio(data="", format="wav")),
        AudioDelta(index=0, data="UklG", transcript="Hel"),
        AudioDelta(index=0, transcript="lo"),
        BlockStopped(index=0),
        ChoiceFinished(stop="end_turn"),
        Finished(),
    ]
    assert accumulated(encoded(events)).output_text == "Hello"


@pytest.mark.parametrize(
    ("stop", "last"),
    [
        ("end_turn", "completed"),
        ("stop_sequence", "completed"),
        ("max_tokens", "incomplete"),
        ("refusal", "incomplete"),
        ("error", "failed"),
    ],
)
def test_each_ending(stop: StopReason, last: str) -> None:
    written = frames(encoded(whole(Text(text="A"), stop=stop)))
    assert kinds(written)[-1] == written[-1]["response"]["status"] == last
    assert [item["status"] for item in check(written)] == [last if last == "incomplete" else "completed"]


def test_no_blocks_at_all() -> None:
    usage = TokenUsage(input_tokens=1)
    events: list[Event] = [
        Started(id="m", model="c", usage=usage),
        ChoiceFinished(stop="end_turn"),
        Finished(),
    ]
    written = frames(encoded(events))
    assert kinds(written) == ["created", "in_progress", "completed"]
    assert written[-1]["response"]["usage"]["input_tokens"] == 1


def test_a_failure_is_told_as_openai_tells_it() -> None:
    failure = Failed(message="Too many", type="rate_limit_error", code="rate_limit")
    raw = encoded([*whole(Text(text="A"))[:2], failure])
    assert kinds(frames(raw))[-2:] == ["error", "failed"]
    error, failed = events_of(raw)[-2:]
    assert (error.type, error.message, error.code) == ("error", "Too many", "rate_limit")
    assert failed.response.error.code == "rate_limit_exceeded"
    assert decoded(raw)[-1] == Failed(message="Too many", code="rate_limit", type="api_error")
    with pytest.raises(RuntimeError):
        accumulated(raw)


def test_a_failure_before_the_start_begins_a_response_that_fails() -> None:
    raw = encoded([Failed(message="Oh", type="overloaded_error")])
    assert kinds(frames(raw)) == ["created", "in_progress", "error", "failed"]
    created, _, error, failed = events_of(raw)
    assert (error.code, failed.response.error.code) == ("server_error", "server_error")
    assert created.response.id == failed.response.id == "resp_failed"


def test_nothing_follows_a_failure() -> None:
    failure = Failed(message="Oh")
    assert encoded([failure, *whole(Text(text="A")), failure]) == encoded([failure])


def test_the_sdk_parses_structured_output() -> None:
    class Place(BaseModel):
        city: str

    gathered = accumulated(encoded(whole(Text(text='{"city":"Oslo"}'))), text_format=Place)
    assert gathered.output_parsed == Place(city="Oslo")
