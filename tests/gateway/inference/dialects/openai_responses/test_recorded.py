"""Everything that was recorded with OpenAI is read without loss, and what we write its SDK reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.events import ChoiceFinished, Finished, Started
from gateway.inference.dialects.openai_responses.wire import OpenAIResponsesDialect
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    cut,
    decoded,
    encoded,
    frames,
)
from tests.gateway.inference.dialects.openai_responses.sdk import accumulated, check

RECORDED = Path(__file__).parents[6] / "shared" / "recorded" / NAME
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")


@dataclass
class Exchange:
    name: str
    asked: dict[str, Any]
    status: int
    answer: bytes
    streamed: bool

    @property
    def final(self) -> dict[str, Any]:
        """The response object."""
        if not self.streamed:
            return dict(json.loads(self.answer))
        last = self.answer.decode().rstrip().rpartition("data: ")[2]
        return dict(json.loads(last)["response"])


def _read(path: Path) -> Exchange:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    answer = recorded["response"]
    return Exchange(
        path.stem,
        recorded["request"]["body"],
        answer["status"],
        answer["body"].encode(),
        "event-stream" in answer["content_type"],
    )


ALL = [_read(path) for path in sorted(RECORDED.glob("*.json"))]
ANSWERS = [exchange for exchange in ALL if exchange.status == 200 and not exchange.streamed]
STREAMS = [exchange for exchange in ALL if exchange.status == 200 and exchange.streamed]


def _each(exchanges: list[Exchange]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("exchange", exchanges, ids=lambda exchange: str(exchange.name))


def _without_zero_writes(value: Any) -> Any:
    """The SDK demands ``cache_write_tokens``, which older answers do not have."""
    if isinstance(value, dict):
        return {
            name: _without_zero_writes(item)
            for name, item in value.items()
            if (name, item) != ("cache_write_tokens", 0)
        }
    return [_without_zero_writes(item) for item in value] if isinstance(value, list) else value


def test_there_is_something_to_read() -> None:
    assert len(ALL) >= 90
    assert len(STREAMS) >= 5


@_each(ALL)
def test_a_request_comes_out_as_it_went_in(exchange: Exchange) -> None:
    target = Target("openai", exchange.asked["model"], NAME)
    written = CODEC.encode_request(CODEC.decode_request(exchange.asked), target)
    assert written.body == exchange.asked
    assert written.dropped == ()


@_each(ANSWERS)
def test_an_answer_comes_out_as_it_went_in_and_the_sdk_reads_it(exchange: Exchange) -> None:
    asked = CODEC.decode_request(exchange.asked)
    written = CODEC.encode_response(CODEC.decode_response(exchange.final, NAME), asked)
    assert _without_zero_writes(written) == _without_zero_writes(exchange.final)
    assert Response.model_validate(written).id == exchange.final["id"]


@_each(STREAMS)
def test_a_stream_gives_the_same_events_again_and_the_sdk_gathers_it(exchange: Exchange) -> None:
    events = decoded(exchange.answer)
    assert isinstance(events[-1], Finished)
    written = encoded(events, CODEC.decode_request(exchange.asked))
    assert decoded(written) == events
    final = frames(written)[-1]["response"]
    assert _without_zero_writes(final) == _without_zero_writes(exchange.final)
    assert [getattr(item, "id", None) for item in accumulated(written).output] == [
        item["id"] for item in final["output"]
    ]
    assert check(frames(written)) == exchange.final["output"]


@_each(STREAMS)
def test_a_stream_ends_in_what_the_final_response_says(exchange: Exchange) -> None:
    events = decoded(exchange.answer)
    whole = CODEC.decode_response(exchange.final, NAME)
    started, ended, finished = events[0], events[-2], events[-1]
    assert isinstance(started, Started)
    assert isinstance(ended, ChoiceFinished)
    assert isinstance(finished, Finished)
    assert (started.id, started.model, started.created_s) == (whole.id, whole.model, whole.created_s)
    assert (ended.stop, finished.usage) == (whole.choices[0].stop, whole.usage)


@_each(STREAMS)
def test_single_bytes_and_crlf_give_the_same(exchange: Exchange) -> None:
    raw = exchange.answer
    events = decoded(raw)
    assert decoded(raw, (raw[at : at + 1] for at in range(len(raw)))) == events
    crlf = raw.replace(b"\n", b"\r\n")
    assert decoded(crlf, (crlf[at : at + 1] for at in range(len(crlf)))) == events


@_each(STREAMS)
@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 100_000), max_size=12))
def test_any_cut_gives_the_same(exchange: Exchange, cuts: list[int]) -> None:
    assert decoded(exchange.answer, cut(exchange.answer, cuts)) == decoded(exchange.answer)


@_each(ANSWERS + STREAMS)
def test_usage_is_the_providers(exchange: Exchange) -> None:
    reported = exchange.final["usage"]
    wire = OpenAIResponsesDialect()
    if exchange.streamed:
        tap = wire.tap(wire.facts({**exchange.asked, "background": False}))
        assert tap.feed(exchange.answer) == exchange.answer
        assert tap.complete
        usage = tap.usage(0)
    else:
        read = wire.response_usage(exchange.final)
        if reported is None:
            assert read is None
            return
        assert read is not None
        usage = read
    details = reported["input_tokens_details"]
    written = details.get("cache_write_tokens", 0)
    assert usage.total_input_tokens == reported["input_tokens"]
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (details["cached_tokens"], written)
    assert usage.output_tokens == reported["output_tokens"]
    assert usage.reasoning_tokens == reported["output_tokens_details"]["reasoning_tokens"]
    assert not usage.estimated
    searches = sum(
        item["type"] == "web_search_call" and item["action"]["type"] == "search"
        for item in exchange.final["output"]
    )
    assert usage.web_searches == searches


@_each([exchange for exchange in ALL if exchange.status != 200])
def test_an_error_is_no_answer(exchange: Exchange) -> None:
    with pytest.raises(ValueError, match="response object"):
        CODEC.decode_response(exchange.final, NAME)
    assert decoded(exchange.answer) == []
