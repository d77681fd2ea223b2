"""Every exchange that was recorded with Google itself."""

import json
import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.events import (
    Event,
    Failed,
    Finished,
    Started,
)
from gateway.inference.dialects.google.codec import GoogleCodec
from gateway.inference.dialects.google.finish import failure
from gateway.inference.dialects.neutral import Request
from tests.gateway.inference.dialects.google.normal import normal, normal_request

RECORDED = Path(__file__).parents[6] / "shared" / "recorded" / "google"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")
CODEC = GoogleCodec()
REQUEST = Request(model="m", messages=[])


@dataclass
class Exchange:
    name: str
    model: str
    request: dict[str, Any]
    status: int
    streamed: bool
    body: str

    @property
    def reported(self) -> dict[str, Any]:
        """The provider's usage, the last of a stream."""
        if not self.streamed:
            return dict(json.loads(self.body)["usageMetadata"])
        lines = [line for line in self.body.splitlines() if line.startswith("data:")]
        return dict(json.loads(lines[-1][5:])["usageMetadata"])


def _exchange(path: Path) -> Exchange:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    answer = recorded["response"]
    return Exchange(
        name=path.name,
        model=recorded["request"]["url"].split("/models/")[1].split(":")[0],
        request=recorded["request"]["body"],
        status=answer["status"],
        streamed="event-stream" in answer["content_type"],
        body=answer["body"],
    )


ALL = [_exchange(path) for path in sorted(RECORDED.glob("*.json"))] if RECORDED.is_dir() else []
ANSWERS = [found for found in ALL if found.status == 200 and not found.streamed]
STREAMS = [found for found in ALL if found.status == 200 and found.streamed]


def of(exchanges: list[Exchange]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("exchange", exchanges, ids=lambda found: str(found.name))


def decoded(pieces: list[bytes]) -> list[Event]:
    decoder = CODEC.stream_decoder("google")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def test_there_are_exchanges() -> None:
    assert len(ANSWERS) >= 80
    assert len(STREAMS) >= 7


@of(ALL)
def test_a_request_survives(exchange: Exchange) -> None:
    target = Target(provider="google", model=exchange.model, origin="google")
    encoded = CODEC.encode_request(CODEC.decode_request(exchange.request), target)
    assert normal_request(encoded.body) == normal_request(exchange.request)
    assert encoded.dropped == ()


@of(ANSWERS)
def test_an_answer_survives(exchange: Exchange) -> None:
    body = json.loads(exchange.body)
    response = CODEC.decode_response(body, "google")
    assert all(choice.stop is not None for choice in response.choices)
    assert normal(CODEC.encode_response(response, REQUEST)) == normal(body)


def _agrees(usage: TokenUsage | None, reported: dict[str, Any]) -> None:
    assert usage is not None
    assert not usage.estimated
    tools = reported.get("toolUsePromptTokenCount", 0)
    assert usage.total_input_tokens == reported["promptTokenCount"] + tools
    assert usage.output_tokens + usage.total_input_tokens == reported["totalTokenCount"]
    assert usage.reasoning_tokens == reported.get("thoughtsTokenCount", 0)
    assert usage.cache_read_tokens == reported.get("cachedContentTokenCount", 0)


@of(ANSWERS)
def test_the_usage_of_an_answer_is_googles(exchange: Exchange) -> None:
    body = json.loads(exchange.body)
    _agrees(CODEC.decode_response(body, "google").usage, exchange.reported)


@of(STREAMS)
def test_the_usage_of_a_stream_is_googles(exchange: Exchange) -> None:
    events = decoded([exchange.body.encode()])
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    _agrees(events[-1].usage, exchange.reported)


@of(STREAMS)
def test_a_stream_survives(exchange: Exchange) -> None:
    events = decoded([exchange.body.encode()])
    encoder = CODEC.stream_encoder(REQUEST)
    assert decoded([encoder.feed(event) for event in events]) == events


@of(STREAMS)
def test_a_stream_may_be_cut_anywhere(exchange: Exchange) -> None:
    data = exchange.body.encode()
    whole = decoded([data])
    assert decoded([data[at : at + 1] for at in range(len(data))]) == whole
    for seed in range(20):
        cuts = sorted(random.Random(seed).choices(range(len(data)), k=30))
        ends = [0, *cuts, len(data)]
        assert decoded([data[start:end] for start, end in pairwise(ends)]) == whole


@of(STREAMS)
def test_a_stream_that_breaks_off_does_not_finish(exchange: Exchange) -> None:
    data = exchange.body.encode()
    last = data.rindex(b"data:")
    for end in (last, last // 2, 10):
        assert not any(isinstance(event, Finished) for event in decoded([data[:end]]))


def test_an_error_body_is_a_failure() -> None:
    errors = [found for found in ALL if found.status != 200]
    assert errors
    for exchange in errors:
        body = json.loads(exchange.body)
        with pytest.raises(ValueError, match="GenerateContentResponse"):
            CODEC.decode_response(body, "google")
        assert failure(body["error"]).type == "not_found_error"
        assert [type(event) for event in decoded([exchange.body.encode()])] == [Failed]
