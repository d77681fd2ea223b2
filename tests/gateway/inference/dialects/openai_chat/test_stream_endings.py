"""How streams end: with usage, without their last word, in errors, or not at all."""

from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.events import (
    ChoiceFinished,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.frames import MAX_PENDING_BYTES
from gateway.inference.dialects.neutral import (
    Extra,
)
from tests.gateway.inference.dialects.openai_chat.cutting import decoded
from tests.gateway.inference.dialects.openai_chat.streaming import (
    DONE,
    HEAD,
    calls,
    chunk,
    events_of,
    frame,
    piece,
    usage_chunk,
)


@pytest.mark.parametrize(
    "frames",
    [
        [usage_chunk(), DONE],
        [
            frame({**HEAD, "choices": [], "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}}),
            DONE,
        ],
        [DONE],
    ],
)
def test_usage_before_the_end(frames: list[bytes]) -> None:
    within = {"prompt_tokens": 3, "completion_tokens": 4}
    last = frame({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": within})
    events = decoded([chunk({"content": "Hi"}), last, *frames])
    assert isinstance(events[-1], Finished)
    assert events[-1].usage == TokenUsage(input_tokens=3, output_tokens=4)


def test_usage_within_a_choice() -> None:
    data = chunk({"content": "Hi"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 4}) + DONE
    last = decoded([data])[-1]
    assert isinstance(last, Finished) and last.usage == TokenUsage(input_tokens=3, output_tokens=4)


def test_a_stream_without_its_last_word_is_complete_if_the_choices_are() -> None:
    assert isinstance(decoded([chunk({"content": "Hi"}), chunk(reason="stop")])[-1], Finished)
    assert isinstance(decoded([chunk({"content": "Hi"}), chunk(reason="stop").rstrip()])[-1], Finished)


def test_a_stream_that_breaks_off_is_not_finished() -> None:
    for data in (chunk({"content": "Hi"}), b"", DONE, calls(piece("f", "{", index=0, id="a"))):
        assert not any(isinstance(event, Finished) for event in decoded([data]))


def test_a_missing_reason_is_an_error_or_a_call() -> None:
    events = decoded([chunk({"content": "Hi"}) + DONE])
    assert [event.stop for event in events if isinstance(event, ChoiceFinished)] == ["error"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            {"error": {"message": "no", "type": "server_error", "code": 502}},
            Failed(message="no", type="api_error", code="502"),
        ),
        ({"error": "no"}, Failed(message="no")),
        (
            {"object": "error", "message": "no", "code": 400},
            Failed(message="no", type="invalid_request_error", code="400"),
        ),
        ({"choices": [{"index": 0, "error": {"message": "no"}}]}, Failed(message="no")),
        (
            {
                **HEAD,
                "error": {"code": "x"},
                "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
            },
            Failed(message="The provider failed without saying why.", code="x"),
        ),
    ],
)
def test_an_error_ends_the_stream(error: dict[str, Any], expected: Failed) -> None:
    data = chunk({"content": "Hi"}) + b"event: error\n" + frame(error) + chunk(reason="stop") + DONE
    assert decoded([data])[-1] == expected


def test_comments_keepalives_and_rubbish_are_passed_over() -> None:
    noise = b': x data: {"error":"no"}\n\n: [DONE]\n\nevent: ping\n\ndata: \n\ndata: {broken\n\ndata: [1]\n\n'
    clean = [chunk({"content": "Hi"}), chunk(reason="stop"), DONE]
    assert decoded([noise.join([b"", *clean])]) == decoded(clean)


def test_an_empty_chunk_before_the_first_choice() -> None:
    azure = frame({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    events = events_of(azure, chunk({"content": "Hi"}), chunk(reason="stop"), DONE)
    assert events[0] == Started(
        id="c1",
        model="m",
        created_s=1700000000,
        extra=Extra(dialect="openai-chat", fields={"prompt_filter_results": [{"prompt_index": 0}]}),
    )


def test_an_event_that_never_ends_is_a_failure() -> None:
    piece = b"data: " + b"x" * (MAX_PENDING_BYTES // 2)
    events = decoded([piece, piece, piece, DONE])
    assert len(events) == 1 and isinstance(events[0], Failed)
