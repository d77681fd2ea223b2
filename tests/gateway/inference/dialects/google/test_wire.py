"""Calling Gemini and reading what a call has used."""

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.google.wire import GoogleWire
from tests.gateway.inference.dialects.google.builders import answer, chunk, frames

WIRE = GoogleWire()


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-3-pro", False, "/v1beta/models/gemini-3-pro:generateContent"),
        ("gemini-3-pro", True, "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"),
        ("models/gemini-3-pro", False, "/v1beta/models/gemini-3-pro:generateContent"),
        ("tunedModels/mine", False, "/v1beta/tunedModels/mine:generateContent"),
        ("a?key=b#c", False, "/v1beta/models/a%3Fkey%3Db%23c:generateContent"),
    ],
)
def test_the_path_names_model_and_method(model: str, stream: bool, path: str) -> None:
    assert WIRE.path_of(model, stream=stream) == path


def test_a_model_cannot_lead_elsewhere() -> None:
    for model in ("../../v1/other", "../other", "models/../other", "a/b"):
        steps = WIRE.path_of(model, stream=False).split("/")
        assert len(steps) == 4
        assert ".." not in steps


def test_the_key_is_in_its_header() -> None:
    assert WIRE.request_headers("k", {}) == {"content-type": "application/json", "x-goog-api-key": "k"}
    assert WIRE.request_headers(None, {}) == {"content-type": "application/json"}


def test_usage_of_an_answer() -> None:
    assert WIRE.response_usage(answer({"text": "a"})) == TokenUsage(input_tokens=7, output_tokens=3)
    assert WIRE.response_usage({"candidates": []}) is None


def test_usage_of_a_stream() -> None:
    first = {**chunk({"text": "a"}), "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1}}
    last = {
        **chunk({"text": "b"}, finishReason="STOP"),
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 4},
    }
    tap = WIRE.tap()
    data = frames(first, last)
    assert b"".join(tap.feed(data[at : at + 7]) for at in range(0, len(data), 7)) + tap.end() == data
    assert tap.complete
    assert not tap.failed
    assert tap.usage(100) == TokenUsage(input_tokens=7, output_tokens=6, reasoning_tokens=4)


def test_usage_of_a_stream_that_broke_is_counted() -> None:
    tap = WIRE.tap()
    tap.feed(frames(chunk({"text": "x" * 400})))
    tap.end()
    assert not tap.complete
    usage = tap.usage(50)
    assert (usage.input_tokens, usage.estimated) == (50, True)
    assert usage.output_tokens >= 100
    tap.feed(frames({**chunk({"text": "y"}), "usageMetadata": {"promptTokenCount": 7}}))
    assert tap.usage(50).input_tokens == 7
    assert tap.usage(50).output_tokens >= 100


def test_a_stream_may_fail_or_be_refused() -> None:
    failing, refused = WIRE.tap(), WIRE.tap()
    failing.feed(frames(chunk({"text": "a"}, finishReason="STOP"), {"error": {"code": 500}}))
    assert failing.failed
    assert not failing.complete
    refused.feed(frames({"promptFeedback": {"blockReason": "SAFETY"}}))
    assert refused.complete
