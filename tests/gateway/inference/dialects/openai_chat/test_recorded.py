"""Exchanges that were recorded with the providers themselves, through the codec and back."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.events import Failed, Finished, Started
from gateway.inference.dialects.neutral import Request, ToolUse
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from tests.gateway.inference.dialects.openai_chat import sdk
from tests.gateway.inference.dialects.openai_chat.cutting import byte_by_byte, cut, decoded, encoded

RECORDED = Path(__file__).parents[6] / "shared" / "recorded"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")
CODEC = OpenAIChatCodec()
_REASONING = Quirks(replays_reasoning=True, reasoning_field="reasoning", tool_id_max_length=200)
QUIRKS = {
    "openai-chat": Quirks(),
    "groq": Quirks(),
    "mistral": Quirks(
        max_tokens_field="max_tokens",
        system_role="system",
        tool_choice_any="any",
        tool_id_length=9,
        reasoning_field="content",
        replays_reasoning=True,
    ),
    "openrouter": _REASONING,
    "cerebras": _REASONING,
    "deepseek": Quirks(replays_reasoning=True),
    "zai": Quirks(replays_reasoning=True),
}


@dataclass
class Exchange:
    name: str
    provider: str
    request: dict[str, Any]
    answer: bytes
    status: int
    streamed: bool

    @property
    def origin(self) -> str:
        return f"openai-chat/{self.provider}"


@cache
def _exchanges() -> list[Exchange]:
    found = []
    for provider in QUIRKS:
        for path in sorted((RECORDED / provider).glob("*.json")):
            recorded = json.loads(path.read_text(encoding="utf-8"))
            answer = recorded["response"]
            found.append(
                Exchange(
                    f"{provider}/{path.stem}",
                    provider,
                    recorded["request"]["body"],
                    answer["body"].encode(),
                    answer["status"],
                    "event-stream" in answer["content_type"],
                )
            )
    return found


def _answers() -> list[Exchange]:
    return [exchange for exchange in _exchanges() if not exchange.streamed and exchange.status == 200]


def _streams() -> list[Exchange]:
    return [exchange for exchange in _exchanges() if exchange.streamed]


def _plain(value: Any) -> Any:
    """JSON without what means the same as nothing."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None and item != []}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_requests_come_back_as_they_were() -> None:
    exchanges = _exchanges()
    assert len(exchanges) >= 200
    for exchange in exchanges:
        body = exchange.request
        target = Target(exchange.provider, body["model"], exchange.origin, QUIRKS[exchange.provider])
        result = CODEC.encode_request(CODEC.decode_request(body), target)
        expected = _plain(body)
        for tool in expected.get("tools", ()):
            tool.setdefault("type", "function")  # what a missing type means
        for name, default in (("stream", False), ("n", 1)):
            if expected.get(name) == default:
                del expected[name]
        assert _plain(result.body) == expected, exchange.name
        assert result.dropped == (), exchange.name


def test_answers_come_back_as_they_were() -> None:
    answers = _answers()
    assert len(answers) >= 170
    for exchange in answers:
        body = json.loads(exchange.answer)
        response = CODEC.decode_response(body, exchange.origin)
        again = CODEC.encode_response(response, Request(model="m", messages=[]))
        assert _plain(again) == _plain(_completed(body)), exchange.name


def _completed(body: dict[str, Any]) -> dict[str, Any]:
    """With what we add for clients that hold to OpenAI's own types."""
    for choice in body["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            call.setdefault("type", "function")
            call["function"].setdefault("arguments", "{}")
    usage = body["usage"]
    if usage.get("num_cached_tokens"):
        usage.setdefault("prompt_tokens_details", {"cached_tokens": usage["num_cached_tokens"]})
    return body


def test_the_sdk_accepts_encoded_answers() -> None:
    for exchange in _answers():
        response = CODEC.decode_response(json.loads(exchange.answer), exchange.origin)
        body = CODEC.encode_response(response, Request(model="m", messages=[]))
        message = body["choices"][0]["message"]
        if isinstance(message["content"], list):  # Mistral's thoughts, which its own clients know
            message["content"] = ""
        message["annotations"] = [
            annotation
            for annotation in message.get("annotations", ())
            if annotation["type"] == "url_citation"
        ]
        body.pop("service_tier", None)  # Groq's and OpenRouter's have other words
        sdk.accepts_answer(body)


def test_usage_is_the_providers() -> None:
    for exchange in _answers():
        body = json.loads(exchange.answer)
        usage = CODEC.decode_response(body, exchange.origin).usage
        _check_usage(usage, body["usage"], exchange.name)
    for exchange in _streams():
        last = decoded([exchange.answer], exchange.origin)[-1]
        reported = [
            json.loads(line[5:]).get("usage")
            for line in exchange.answer.splitlines()
            if line.startswith(b"data: {")
        ]
        if isinstance(last, Finished):
            _check_usage(last.usage, [usage for usage in reported if usage][-1], exchange.name)


def _check_usage(usage: TokenUsage | None, reported: dict[str, Any], name: str) -> None:
    assert usage is not None, name
    details = reported.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or reported.get("num_cached_tokens") or 0
    thoughts = (reported.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    assert usage.total_input_tokens == reported["prompt_tokens"], name
    assert usage.output_tokens == reported["completion_tokens"], name
    assert usage.cache_read_tokens == cached, name
    # Gemini's tokens at OpenRouter are read from and written to the cache at once: they count once
    written = min(details.get("cache_write_tokens") or 0, reported["prompt_tokens"] - cached)
    assert usage.cache_write_tokens == written, name
    assert usage.reasoning_tokens == thoughts, name


def test_streams_come_back_as_the_same_events() -> None:
    streams = _streams()
    assert len(streams) >= 30
    for exchange in streams:
        events = decoded([exchange.answer], exchange.origin)
        assert isinstance(events[0], Started), exchange.name
        assert isinstance(events[-1], Finished | Failed), exchange.name
        assert decoded([encoded(events)], exchange.origin) == events, exchange.name


def test_streams_may_be_cut_into_bytes() -> None:
    for exchange in _streams():
        whole = decoded([exchange.answer], exchange.origin)
        assert decoded(byte_by_byte(exchange.answer), exchange.origin) == whole, exchange.name
        crlf = exchange.answer.replace(b"\n", b"\r\n")
        assert decoded(cut(crlf, range(0, len(crlf), 7)), exchange.origin) == whole, exchange.name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), places=st.lists(st.integers(0, 2**20), max_size=12))
def test_streams_may_be_cut_anywhere(data: st.DataObject, places: list[int]) -> None:
    exchange = data.draw(st.sampled_from(_streams()))
    whole = decoded([exchange.answer], exchange.origin)
    assert decoded(cut(exchange.answer, places), exchange.origin) == whole


def test_a_stream_that_breaks_off_is_never_finished() -> None:
    for exchange in _streams():
        half = exchange.answer[: len(exchange.answer) // 2]
        assert not any(isinstance(event, Finished) for event in decoded([half], exchange.origin))


def test_the_sdk_accumulates_encoded_streams() -> None:
    for exchange in _streams():
        events = decoded([exchange.answer], exchange.origin)
        if isinstance(events[-1], Failed):
            continue
        answer = sdk.accumulates(encoded(events))
        frames = [
            json.loads(line[5:]) for line in exchange.answer.splitlines() if line.startswith(b"data: {")
        ]
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        for frame in frames:
            for choice in frame["choices"]:
                texts.append(choice["delta"].get("content") or "")
                calls += choice["delta"].get("tool_calls") or ()
        message = answer.choices[0].message
        assert (message.content or "") == "".join(texts), exchange.name
        arguments = "".join(call["function"]["arguments"] for call in calls)
        written = "".join(
            call.function.arguments for call in message.tool_calls or () if call.type == "function"
        )
        assert sorted(written) == sorted(arguments), exchange.name
        assert answer.usage is not None


def test_error_bodies_are_no_answers() -> None:
    errors = [exchange for exchange in _exchanges() if exchange.status != 200]
    assert errors
    for exchange in errors:
        with pytest.raises(ValueError, match="choices"):
            CODEC.decode_response(json.loads(exchange.answer), exchange.origin)
        assert decoded([b"data: " + exchange.answer + b"\n\n"]) != []


def test_calls_in_answers_have_ids_names_and_arguments() -> None:
    for exchange in _answers():
        for choice in CODEC.decode_response(json.loads(exchange.answer), exchange.origin).choices:
            for block in choice.content:
                if isinstance(block, ToolUse):
                    assert block.id and block.name, exchange.name
                    json.loads(block.arguments or "{}")
