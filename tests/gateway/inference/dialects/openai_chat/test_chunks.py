"""Streams for clients, judged by the official SDK."""

from typing import Any

import msgspec
import pytest
from openai import APIError

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
    Citation,
    HiddenThinking,
    Image,
    Inline,
    Request,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from tests.gateway.inference.dialects.openai_chat import sdk
from tests.gateway.inference.dialects.openai_chat.cutting import encoded

CODEC = OpenAIChatCodec()
START = Started(id="r1", model="m", created_s=5)
END: list[Event] = [
    ChoiceFinished(stop="end_turn"),
    Finished(usage=TokenUsage(input_tokens=3, output_tokens=4)),
]


def block(index: int, value: Block, *deltas: Event) -> list[Event]:
    return [BlockStarted(index=index, block=value), *deltas, BlockStopped(index=index)]


def say(text: str, index: int = 0) -> list[Event]:
    return block(index, Text(text=""), TextDelta(index=index, text=text))


def chunks(events: list[Event], request: Request | None = None) -> list[Any]:
    lines = encoded(events, request).decode().split("\n\n")
    assert lines.pop() == "" and all(line.startswith("data: ") for line in lines)
    return ["[DONE]" if line == "data: [DONE]" else msgspec.json.decode(line[6:]) for line in lines]


def replayed(events: list[Event]) -> list[Block]:
    """What a client sends back that accumulated the stream as the SDK does."""
    message = sdk.accumulates(encoded(events)).choices[0].message.model_dump(exclude_none=True)
    message.pop("parsed", None)
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return CODEC.decode_request({"model": "m", "messages": [message]}).messages[0].content


def test_the_frames_of_a_text() -> None:
    head = {"id": "r1", "object": "chat.completion.chunk", "created": 5, "model": "m"}

    def entry(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    assert chunks([START, *say("Grüße"), *END]) == [
        entry({"role": "assistant", "content": ""}),
        entry({"content": "Grüße"}),
        entry({}, "stop"),
        {**head, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}},
        "[DONE]",
    ]
    assert "Grüße".encode() in encoded([START, *say("Grüße"), *END])


def test_usage_only_for_clients_that_asked() -> None:
    frames = chunks([START, *say("Hi"), *END], Request(model="m", messages=[], stream=True))
    assert frames[-1] == "[DONE]" and all("usage" not in frame for frame in frames[:-1])


def test_calls_that_overlap_go_out_by_their_index() -> None:
    events = [
        START,
        *say("Both."),
        BlockStarted(index=1, block=ToolUse(id="a", name="f", arguments="")),
        BlockStarted(index=2, block=ToolUse(id="b", name="g", arguments="")),
        ArgumentsDelta(index=2, text="{"),
        ArgumentsDelta(index=1, text='{"x":'),
        ArgumentsDelta(index=2, text="}"),
        ArgumentsDelta(index=1, text="1}"),
        BlockStopped(index=2),
        BlockStopped(index=1),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    answer = sdk.accumulates(encoded(events)).choices[0]
    found = {call.id: call.function for call in answer.message.tool_calls or () if call.type == "function"}
    assert {name: (one.name, one.arguments) for name, one in found.items()} == {
        "a": ("f", '{"x":1}'),
        "b": ("g", "{}"),
    }
    assert answer.finish_reason == "tool_calls" and answer.message.content == "Both."


def test_whole_blocks_and_calls_without_arguments() -> None:
    events = [
        START,
        *block(0, Thinking(text="hm", origin="google")),
        *block(1, Text(text="Hi")),
        *block(2, ToolUse(id="a", name="f", arguments='{"x":1}')),
        *block(3, ToolUse(id="b", name="g", arguments="")),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    assert replayed(events) == [
        Thinking(text="hm", origin="google"),
        Text(text="Hi"),
        ToolUse(id="a", name="f", arguments='{"x":1}'),
        ToolUse(id="b", name="g", arguments="{}"),
    ]


def test_nothing_at_all_is_an_empty_answer() -> None:
    answer = sdk.accumulates(encoded([START, *END]))
    assert answer.choices[0].message.content == "" and answer.choices[0].finish_reason == "stop"


def test_signed_thoughts_survive_a_round_through_the_client() -> None:
    events = [
        START,
        *block(
            0,
            Thinking(text="", origin="anthropic"),
            TextDelta(index=0, text="h"),
            TextDelta(index=0, text="m"),
            SignatureDelta(index=0, signature="c2ln"),
        ),
        *block(1, HiddenThinking(data="opaque", origin="anthropic")),
        *block(
            2,
            HiddenThinking(data="", origin="openai-responses", item_id="rs"),
            SignatureDelta(index=2, signature="gA"),
        ),
        *say("Hi", 3),
        *END,
    ]
    assert replayed(events) == [
        Thinking(text="hm", origin="anthropic", signature="c2ln"),
        HiddenThinking(data="opaque", origin="anthropic"),
        HiddenThinking(data="gA", origin="openai-responses", item_id="rs"),
        Text(text="Hi"),
    ]


@pytest.mark.parametrize("late", [False, True])
def test_a_google_signature_is_in_the_id_of_the_call(late: bool) -> None:
    call = ToolUse(id="a", name="f", arguments="", signature=None if late else "c2ln")
    signed: list[Event] = [SignatureDelta(index=0, signature="c2ln")] if late else []
    events = [START, *block(0, call, *signed, ArgumentsDelta(index=0, text="{}")), *END]
    assert replayed(events) == [ToolUse(id="a", name="f", arguments="{}", signature="c2ln")]
    assert call.signature == (None if late else "c2ln")


def test_citations_sounds_and_pictures() -> None:
    cited = Citation(dialect="anthropic", data={}, url="https://example.org", title="T")
    unlinked = Citation(dialect="anthropic", data={})
    events = [
        START,
        *say("One. "),
        *block(
            1,
            Text(text=""),
            TextDelta(index=1, text="Two."),
            CitationDelta(index=1, citation=cited),
            CitationDelta(index=1, citation=unlinked),
            CitationDelta(index=1, citation=cited),
        ),
        *block(2, Audio(data="", format="wav"), AudioDelta(index=2, data="Ukl", transcript="H")),
        *block(3, Image(source=Inline(media_type="image/png", data="iVBO"))),
        *block(4, ServerBlock(dialect="anthropic", data={"type": "x"})),
        *END,
    ]
    message = sdk.accumulates(encoded(events)).choices[0].message
    assert message.annotations is not None
    places = [(one.url_citation.start_index, one.url_citation.end_index) for one in message.annotations]
    assert places == [(5, 9), (5, 9)]
    assert message.content == "One. Two."


def test_choices_in_turn() -> None:
    events: list[Event] = [START]
    for choice, text in ((1, "b"), (0, "a")):
        events.append(BlockStarted(index=0, block=Text(text=""), choice=choice))
        events.append(TextDelta(index=0, text=text, choice=choice))
    events += [
        TextDelta(index=0, text="B", choice=1),
        BlockStopped(index=0, choice=1),
        BlockStopped(index=0),
        ChoiceFinished(stop="max_tokens", choice=1),
        ChoiceFinished(stop="end_turn"),
        Finished(),
    ]
    answer = sdk.accumulates(encoded(events))
    assert [
        (one.message.content, one.finish_reason) for one in sorted(answer.choices, key=lambda one: one.index)
    ] == [
        ("a", "stop"),
        ("bB", "length"),
    ]
    roles = [one["choices"][0]["delta"].get("role") for one in chunks(events)[:-1]]
    assert roles.count("assistant") == 2


def test_a_later_choice_may_come_first() -> None:
    events: list[Event] = [START]
    for choice in (2, 1, 0):
        events += [
            BlockStarted(index=0, block=Text(text=str(choice)), choice=choice),
            BlockStopped(index=0, choice=choice),
            ChoiceFinished(stop="end_turn", choice=choice),
        ]
    answer = sdk.accumulates(encoded([*events, Finished()]))
    assert [(one.index, one.message.content) for one in answer.choices] == [(0, "0"), (1, "1"), (2, "2")]


def test_logprobs() -> None:
    token = {"token": "H", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    events = [START, *block(0, Text(text=""), TextDelta(index=0, text="H", logprobs=[token])), *END]
    logprobs = sdk.accumulates(encoded(events)).choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None and logprobs.content[0].token == "H"


def test_a_client_of_the_older_kind_gets_a_function_call() -> None:
    old = CODEC.decode_request(
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "f"}]}
    )
    call = ToolUse(id="a", name="f", arguments="")
    events = [
        START,
        *block(0, call, ArgumentsDelta(index=0, text="{}")),
        ChoiceFinished(stop="tool_use"),
        Finished(),
    ]
    deltas = [one["choices"][0] for one in chunks(events, old)[:-1]]
    assert [one["delta"].get("function_call") for one in deltas if one["delta"].get("function_call")] == [
        {"name": "f", "arguments": ""},
        {"arguments": "{}"},
    ]
    assert deltas[-1]["finish_reason"] == "function_call"


def test_a_failure_is_an_error_for_the_sdk_and_ends_the_stream() -> None:
    failed = Failed(message="overloaded", type="overloaded_error", code="529")
    data = encoded([START, *say("Hi"), failed, *END])
    assert b"[DONE]" not in data
    with pytest.raises(APIError, match="overloaded"):
        sdk.accumulates(data)


def test_blocks_that_were_never_stopped_are_not_lost() -> None:
    call = BlockStarted(index=0, block=ToolUse(id="a", name="f", arguments=""))
    answer = sdk.accumulates(encoded([START, call, ChoiceFinished(stop="tool_use"), Finished()]))
    written = answer.choices[0].message.tool_calls
    assert written is not None and written[0].type == "function" and written[0].function.arguments == "{}"
