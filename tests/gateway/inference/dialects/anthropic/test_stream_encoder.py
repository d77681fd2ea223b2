"""What our clients see of any provider's stream, to the byte, and what Anthropic's SDK makes of it."""

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Finished,
    Started,
    TextDelta,
)
from gateway.inference.dialects.neutral import Text
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.clients import STARTED, message, shown
from tests.gateway.inference.dialects.anthropic.made import CODEC, body, call, data_of, streamed


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
