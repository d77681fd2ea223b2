"""What our clients see of other dialects' streams, and what comes back of it."""

import pytest

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
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Audio,
    Citation,
    HiddenThinking,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
    Video,
)
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.clients import ENDED, PNG, STARTED, back, message, shown
from tests.gateway.inference.dialects.anthropic.made import call, data_of, streamed


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
