"""What our clients see of any provider's stream, to the byte, and what Anthropic's SDK makes of it."""

from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.neutral import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Citation,
    CitationDelta,
    Event,
    Failed,
    Finished,
    HiddenThinking,
    Image,
    Inline,
    Refusal,
    ServerBlock,
    SignatureDelta,
    Started,
    Text,
    TextDelta,
    Thinking,
    ToolUse,
    Video,
)
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.made import CODEC, body, call, data_of, streamed

STARTED = Started(id="r1", model="m")
ENDED: list[Event] = [
    ChoiceFinished(stop="end_turn"),
    Finished(usage=TokenUsage(input_tokens=5, output_tokens=7, cache_read_tokens=3)),
]
PNG = Image(source=Inline(media_type="image/png", data="AA=="))


def shown(*events: Event) -> list[dict[str, Any]]:
    """The frames between the message's start and its end, each checked against the SDK's types."""
    frames = data_of(streamed([STARTED, *events, *ENDED]))
    for data in frames:
        sdk.validate_event(data)
    assert [data["type"] for data in (frames[0], *frames[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    open_ = None
    for number, data in enumerate(frames[1:-2]):
        if data["type"] == "content_block_start":
            assert open_ is None, number
            open_ = data["index"]
        assert data["index"] == open_
        if data["type"] == "content_block_stop":
            open_ = None
    assert open_ is None
    return frames[1:-2]


def message(*events: Event) -> list[dict[str, Any]]:
    """The blocks that the SDK's accumulator ends up with, as the client would send them back."""
    accumulated = sdk.accumulated_stable(streamed([STARTED, *events, *ENDED]))
    return [block.to_dict() for block in accumulated.content]


def back(content: list[dict[str, Any]]) -> Any:
    return (
        CODEC.decode_request(body(messages=[{"role": "assistant", "content": content}])).messages[0].content
    )


def test_the_bytes_of_a_stream() -> None:
    events: list[Event] = [
        Started(id="r1", model="m", usage=TokenUsage(input_tokens=5, cache_read_tokens=3)),
        BlockStarted(index=0, block=Text(text="")),
        TextDelta(index=0, text='Grüße "🌌"\n'),
        BlockStopped(index=0),
        BlockStarted(index=1, block=call("t1", "")),
        ArgumentsDelta(index=1, text="{}"),
        BlockStopped(index=1),
        ChoiceFinished(stop="tool_use"),
        Finished(usage=TokenUsage(input_tokens=5, output_tokens=7, cache_read_tokens=3)),
    ]
    expected = (
        'event: message_start\ndata: {"type":"message_start","message":{"id":"r1","type":"message",'
        '"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
        '"usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":0,'
        '"output_tokens":0}}}\n\n'
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Grüße \\"🌌\\"\\n"}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        'event: content_block_start\ndata: {"type":"content_block_start","index":1,'
        '"content_block":{"type":"tool_use","id":"t1","name":"look","input":{}}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,'
        '"delta":{"type":"input_json_delta","partial_json":"{}"}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use",'
        '"stop_sequence":null},"usage":{"input_tokens":5,"cache_read_input_tokens":3,'
        '"cache_creation_input_tokens":0,"output_tokens":7}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    assert streamed(events).decode() == expected


def test_every_event_is_sent_at_once() -> None:
    encoder = CODEC.stream_encoder(CODEC.decode_request(body()))
    for event in (STARTED, BlockStarted(index=0, block=Text(text="")), TextDelta(index=0, text="a")):
        assert encoder.feed(event).endswith(b"\n\n")


def test_usage_that_is_known_only_at_the_end() -> None:
    usage = TokenUsage(
        input_tokens=5, output_tokens=7, cache_read_tokens=3, cache_write_tokens=2, reasoning_tokens=4
    )
    stream = streamed([STARTED, ChoiceFinished(stop="max_tokens"), Finished(usage=usage)])
    start, last, _ = data_of(stream)
    assert start["message"]["usage"] == {
        "input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "output_tokens": 0,
    }
    assert last["usage"] == {
        "input_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 2,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    answer = sdk.accumulated_stable(stream)
    assert answer.stop_reason == "max_tokens"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (5, 3)


def test_calls_that_overlap_are_put_in_order() -> None:
    blocks = message(
        BlockStarted(index=0, block=Text(text="")),
        BlockStarted(index=1, block=call("t1", "")),
        TextDelta(index=0, text="I look."),
        BlockStarted(index=2, block=call("t2", "")),
        ArgumentsDelta(index=2, text='{"b"'),
        ArgumentsDelta(index=1, text='{"a":'),
        ArgumentsDelta(index=2, text=":2}"),
        ArgumentsDelta(index=1, text="1}"),
        BlockStopped(index=2),
        BlockStopped(index=0),
        BlockStopped(index=1),
    )
    assert blocks == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "look", "input": {"b": 2}},
    ]


def test_blocks_that_overlap_are_never_open_together() -> None:
    shown(
        BlockStarted(index=0, block=call("t1", "")),
        BlockStarted(index=1, block=call("t2", "")),
        ArgumentsDelta(index=1, text="{}"),
        BlockStopped(index=1),
        ArgumentsDelta(index=0, text="{}"),
        BlockStopped(index=0),
        BlockStarted(index=2, block=Text(text="after")),
    )


def test_very_many_calls_at_once() -> None:
    events: list[Event] = [BlockStarted(index=n, block=call(f"t{n}", "{}")) for n in range(3000)]
    events += [BlockStopped(index=n) for n in reversed(range(3000))]
    assert len(message(*events)) == 3000


def test_a_block_that_arrives_whole() -> None:
    assert message(
        BlockStarted(index=0, block=Text(text="hi")),
        BlockStopped(index=0),
        BlockStarted(index=1, block=call("t1", '{"a":1}')),
        BlockStopped(index=1),
    ) == [
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
    ]


def test_a_call_without_arguments() -> None:
    assert message(BlockStarted(index=0, block=call("t1", "")), BlockStopped(index=0)) == [
        {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    ]


def test_a_free_form_call_in_pieces() -> None:
    (block,) = message(
        BlockStarted(index=0, block=call("t1", "", custom=True)),
        ArgumentsDelta(index=0, text='say "'),
        ArgumentsDelta(index=0, text='hi"\n\\ä'),
        BlockStopped(index=0),
    )
    assert block["input"] == {"input": 'say "hi"\n\\ä'}
    (empty,) = message(BlockStarted(index=0, block=call("t1", "", custom=True)), BlockStopped(index=0))
    assert empty["input"] == {"input": ""}


def test_no_blocks_at_all() -> None:
    assert shown() == []
    assert message() == []


def test_a_stream_that_never_started() -> None:
    frames = data_of(streamed([BlockStarted(index=0, block=Text(text="a")), Finished()]))
    assert [frame["type"] for frame in frames][:2] == ["message_start", "content_block_start"]
    assert frames[-2]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("signature", [None, "seal"])
def test_another_makers_thought(signature: str | None) -> None:
    events: list[Event] = [
        BlockStarted(index=0, block=Thinking(text="", origin="openai-chat/deepseek")),
        TextDelta(index=0, text="hm"),
        *([SignatureDelta(index=0, signature=signature)] if signature else []),
        BlockStopped(index=0),
    ]
    shown(*events)
    assert back(message(*events)) == [Thinking(text="hm", origin="openai-chat/deepseek", signature=signature)]


def test_thoughts_that_nobody_can_read() -> None:
    events: list[Event] = [
        BlockStarted(index=0, block=HiddenThinking(data="enc", origin="openai-responses", item_id="rs_1")),
        BlockStopped(index=0),
        BlockStarted(index=1, block=HiddenThinking(data="", origin="openai-responses", item_id="rs_2")),
        SignatureDelta(index=1, signature="late"),
        BlockStopped(index=1),
        BlockStarted(index=2, block=HiddenThinking(data="", origin="openai-responses")),
        BlockStopped(index=2),
    ]
    shown(*events)
    assert back(message(*events)) == [
        HiddenThinking(data="enc", origin="openai-responses", item_id="rs_1"),
        HiddenThinking(data="late", origin="openai-responses", item_id="rs_2"),
    ]


def test_a_signature_of_a_call() -> None:
    events: list[Event] = [
        BlockStarted(index=0, block=call("t1", "{}", signature="first")),
        BlockStopped(index=0),
        BlockStarted(index=1, block=call("t2", "{}")),
        SignatureDelta(index=1, signature="late"),
        BlockStopped(index=1),
    ]
    kinds = [frame["content_block"]["type"] for frame in shown(*events) if "content_block" in frame]
    assert kinds == ["redacted_thinking", "tool_use", "tool_use", "redacted_thinking"]
    assert back(message(*events)) == [
        call("t1", "{}", signature="first"),
        call("t2", "{}", signature="late"),
    ]


def test_a_refusal() -> None:
    stream = streamed(
        [
            STARTED,
            BlockStarted(index=0, block=Refusal(text="I ")),
            TextDelta(index=0, text="won't."),
            BlockStopped(index=0),
            *ENDED,
        ]
    )
    answer = sdk.accumulated_stable(stream)
    assert answer.stop_reason == "refusal"
    assert answer.stop_details is not None
    assert answer.stop_details.explanation == "I won't."
    assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": "I won't."}]


def test_citations() -> None:
    web = Citation(dialect="openai-responses", data={"n": 1}, url="https://e.test", title="E", start=0, end=2)
    file = Citation(dialect="openai-responses", data={"file_id": "f"})
    events: list[Event] = [
        BlockStarted(index=0, block=Text(text="hi")),
        CitationDelta(index=0, citation=web),
        CitationDelta(index=0, citation=file),
        BlockStopped(index=0),
    ]
    shown(*events)
    (block,) = message(*events)
    assert [citation["url"] for citation in block["citations"]] == ["https://e.test"]
    assert back([block]) == [Text(text="hi", citations=[web])]


def test_sound_is_shown_by_its_words() -> None:
    assert message(
        BlockStarted(index=0, block=Audio(data="", format="wav")),
        AudioDelta(index=0, data="AA=="),
        AudioDelta(index=0, transcript="hel"),
        AudioDelta(index=0, transcript="lo"),
        BlockStopped(index=0),
    ) == [{"type": "text", "text": "hello"}]


def test_what_this_dialect_cannot_show_is_left_out() -> None:
    events: list[Event] = [
        BlockStarted(index=0, block=ServerBlock(dialect="openai-responses", data={"type": "x"})),
        ArgumentsDelta(index=0, text="{}"),
        BlockStopped(index=0),
        BlockStarted(index=1, block=Video(source=PNG.source)),
        BlockStopped(index=1),
        BlockStarted(index=2, block=Text(text="hi")),
        BlockStopped(index=2),
    ]
    assert [frame["index"] for frame in shown(*events)] == [0, 0, 0]
    assert message(*events) == [{"type": "text", "text": "hi"}]


def test_a_picture_that_a_model_drew() -> None:
    frames = data_of(streamed([STARTED, BlockStarted(index=0, block=PNG), BlockStopped(index=0), *ENDED]))
    assert back([frames[1]["content_block"]]) == [PNG]


def test_other_choices_are_passed_over() -> None:
    assert shown(BlockStarted(index=0, block=Text(text="b"), choice=1), BlockStopped(index=0, choice=1)) == []
    stream = streamed([STARTED, ChoiceFinished(stop="max_tokens", choice=1), *ENDED])
    assert data_of(stream)[1]["delta"]["stop_reason"] == "end_turn"


def test_an_error() -> None:
    stream = streamed([STARTED, Failed(message="Überlast", type="overloaded_error", code="c"), *ENDED])
    assert stream.endswith(
        'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
        '"message":"Überlast","code":"c"}}\n\n'.encode()
    )


def test_calls_end_a_turn_as_tool_use() -> None:
    events: list[Event] = [STARTED, BlockStarted(index=0, block=ToolUse(id="t", name="n", arguments="{}"))]
    assert sdk.accumulated_stable(streamed([*events, *ENDED])).stop_reason == "tool_use"
    cut: list[Event] = [*events, ChoiceFinished(stop="max_tokens"), Finished()]
    assert sdk.accumulated_stable(streamed(cut)).stop_reason == "max_tokens"


def test_a_stop_sequence() -> None:
    stream = streamed([STARTED, ChoiceFinished(stop="stop_sequence", stop_sequence="END"), Finished()])
    assert sdk.accumulated_stable(stream).stop_sequence == "END"
