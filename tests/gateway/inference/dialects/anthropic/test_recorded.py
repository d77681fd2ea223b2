"""Both directions against exchanges that were recorded with Anthropic itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.events import Failed, Finished
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.made import CODEC, data_of, decoded, streamed, target

RECORDED = Path(__file__).parents[6] / "shared" / "recorded" / "anthropic"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")


@dataclass
class Exchange:
    request: dict[str, Any]
    status: int
    streamed: bool
    answer: str


def _exchanges() -> dict[str, Exchange]:
    found = {}
    for path in sorted(RECORDED.glob("*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        answer = recorded["response"]
        found[path.stem] = Exchange(
            recorded["request"]["body"],
            answer["status"],
            "event-stream" in answer["content_type"],
            answer["body"],
        )
    return found


ALL = _exchanges()
WHOLE = [name for name, exchange in ALL.items() if exchange.status == 200 and not exchange.streamed]
STREAMS = [name for name, exchange in ALL.items() if exchange.status == 200 and exchange.streamed]
ERRORS = [name for name, exchange in ALL.items() if exchange.status != 200]


def _said(value: Any, *, top: bool = True) -> Any:
    """Without fields that are null, and without the default of ``stream``."""
    if isinstance(value, list):
        return [_said(entry, top=False) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _said(entry, top=False) for name, entry in value.items() if entry is not None}
    if top and kept.get("stream") is False:
        del kept["stream"]
    return kept


def test_there_are_enough() -> None:
    assert len(ALL) >= 90
    assert len(STREAMS) >= 2


@pytest.mark.parametrize("name", ALL)
def test_a_request_loses_nothing(name: str) -> None:
    body = ALL[name].request
    encoded = CODEC.encode_request(CODEC.decode_request(body), target(body["model"]))
    assert _said(encoded.body) == _said(body)
    assert encoded.dropped == ()


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_loses_nothing(name: str) -> None:
    body = json.loads(ALL[name].answer)
    response = CODEC.decode_response(body, "anthropic")
    encoded = CODEC.encode_response(response, CODEC.decode_request(ALL[name].request))
    assert encoded == body
    sdk.validated(encoded)


@pytest.mark.parametrize("name", WHOLE)
def test_usage_is_the_providers(name: str) -> None:
    body = json.loads(ALL[name].answer)
    _check_usage(CODEC.decode_response(body, "anthropic").usage, body["usage"])


@pytest.mark.parametrize("name", STREAMS)
def test_usage_of_a_stream_is_the_providers(name: str) -> None:
    reported: dict[str, Any] = {}
    for line in ALL[name].answer.splitlines():
        if line.startswith("data:"):
            event = json.loads(line[5:])
            reported |= event.get("usage") or event.get("message", {}).get("usage") or {}
    finished = decoded(ALL[name].answer.encode())[-1]
    assert isinstance(finished, Finished)
    _check_usage(finished.usage, reported)


def _check_usage(usage: Any, reported: dict[str, Any]) -> None:
    assert usage.input_tokens == reported["input_tokens"]
    assert usage.output_tokens == reported["output_tokens"]
    assert usage.cache_read_tokens == reported["cache_read_input_tokens"]
    assert usage.cache_write_tokens + usage.cache_write_1h_tokens == reported["cache_creation_input_tokens"]
    assert usage.reasoning_tokens == reported.get("output_tokens_details", {}).get("thinking_tokens", 0)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_loses_nothing(name: str) -> None:
    events = decoded(ALL[name].answer.encode())
    again = streamed(events)
    assert decoded(again) == events
    for data in data_of(again):
        sdk.validate_event(data)
    theirs = sdk.accumulated(ALL[name].answer.encode()).to_dict()
    assert sdk.accumulated(again).to_dict() == theirs


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_may_be_cut_anywhere(name: str) -> None:
    stream = ALL[name].answer.encode()
    whole = decoded(stream)
    assert decoded(stream, range(1, len(stream))) == whole
    assert decoded(stream.replace(b"\n", b"\r\n"), range(1, len(stream))) == whole


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_stream_may_be_cut_at_random(name: str, data: st.DataObject) -> None:
    stream = ALL[name].answer.encode()
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert decoded(stream, cuts) == decoded(stream)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_no_answer(name: str) -> None:
    answer = ALL[name].answer
    with pytest.raises(ValueError, match="Message"):
        CODEC.decode_response(json.loads(answer), "anthropic")
    assert decoded(answer.encode()) == []
    failed = decoded(b"event: error\ndata: " + answer.encode() + b"\n\n")
    assert [type(event) for event in failed] == [Failed]
