"""Our reading of usage against exchanges that were recorded with the providers themselves."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.inference.dialects.anthropic.wire import AnthropicDialect
from gateway.inference.dialects.dialect import WireDialect
from gateway.inference.dialects.openai_chat.wire import OpenAIChatDialect

RECORDED = Path(__file__).parents[4] / "shared" / "recorded"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")
DIALECTS: list[WireDialect] = [AnthropicDialect(), OpenAIChatDialect()]
BOTH = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))


@dataclass
class Exchange:
    name: str
    request: dict[str, Any]
    answer: bytes
    streamed: bool
    reported: dict[str, Any]
    """The provider's usage, later frames over earlier ones."""


def _exchanges(dialect: WireDialect) -> list[Exchange]:
    found = []
    for path in sorted((RECORDED / dialect.name).glob("*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        answer = recorded["response"]
        if answer["status"] != 200 or "count_tokens" in recorded["request"]["url"]:
            continue
        streamed = "event-stream" in answer["content_type"]
        reported = _reported(answer["body"], streamed=streamed)
        if reported:
            found.append(
                Exchange(path.name, recorded["request"]["body"], answer["body"].encode(), streamed, reported)
            )
    return found


def _reported(body: str, *, streamed: bool) -> dict[str, Any]:
    if not streamed:
        return json.loads(body).get("usage") or {}
    usage: dict[str, Any] = {}
    for line in body.splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            event = json.loads(line[5:])
            seen = event.get("usage") or (event.get("message") or {}).get("usage") or {}
            usage.update({name: value for name, value in seen.items() if value is not None})
    return usage


def _input(reported: dict[str, Any]) -> int:
    names = ("input_tokens", "prompt_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(reported.get(name) or 0 for name in names)


@BOTH
def test_usage_is_the_providers(dialect: WireDialect) -> None:
    exchanges = _exchanges(dialect)
    assert len(exchanges) >= 40
    for exchange in exchanges:
        if exchange.streamed:
            tap = dialect.tap(dialect.facts({**exchange.request, "model": "m"}))
            tap.feed(exchange.answer)
            tap.end()
            assert tap.complete, exchange.name
            usage = tap.usage(0)
        else:
            read = dialect.response_usage(msgspec.json.decode(exchange.answer))
            assert read is not None, exchange.name
            usage = read
        reported = exchange.reported
        output = reported.get("output_tokens", reported.get("completion_tokens"))
        cached = (reported.get("prompt_tokens_details") or {}).get("cached_tokens")
        assert not usage.estimated, exchange.name
        assert usage.total_input_tokens == _input(reported), exchange.name
        assert usage.output_tokens == output, exchange.name
        assert usage.cache_read_tokens == (reported.get("cache_read_input_tokens") or cached or 0), (
            exchange.name
        )
