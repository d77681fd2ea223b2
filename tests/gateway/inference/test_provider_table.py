"""What the table of known providers makes of ordinary requests (gateway/inference/providers.toml)."""

from typing import Any

import pytest

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.registry import (
    ANTHROPIC,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    PROVIDER_DIALECTS,
    ClientDialect,
)
from gateway.inference.passage import Crossing, SameDialect
from gateway.inference.providers import Provider, configured_providers
from gateway.settings import Settings
from kit.errors import Unsupported

KEY_HEADERS = {"x-api-key", "authorization"}
MESSAGES = [{"role": "user", "content": "hello"}]
AGENT = {
    "model": "m",
    "input": "hello",
    "store": False,
    "metadata": {"run": "7"},
    "prompt_cache_key": "session-1",
    "prompt_cache_retention": "24h",
    "text": {"verbosity": "low"},
    "reasoning": {"effort": "medium"},
}
"""A request as OpenAI's own coding agent sends it."""


def known(name: str) -> Provider:
    return configured_providers(Settings(), {f"{name.upper()}_API_KEY": "k"})[name]


def crossing(
    client: ClientDialect, provider: ClientDialect, body: dict[str, Any], quirks: Quirks
) -> Crossing:
    assert client.codec is not None
    request = client.codec.decode_request(body)
    return Crossing.plan(client, PROVIDER_DIALECTS[provider.name], request, Target("p", "m", "p/m", quirks))


@pytest.mark.parametrize(
    ("name", "refuses"),
    [
        ("groq", {"store", "metadata", "prompt_cache_key", "prompt_cache_retention", "verbosity"}),
        ("mistral", {"store", "metadata", "prompt_cache_retention", "verbosity"}),
        ("cerebras", {"store", "metadata", "verbosity"}),
        ("cohere", {"store", "metadata", "reasoning_effort"}),
    ],
)
def test_a_provider_that_refuses_unknown_fields_hears_only_its_own(name: str, refuses: set[str]) -> None:
    plain = crossing(OPENAI_RESPONSES, OPENAI_CHAT, AGENT, Quirks())
    strict = crossing(OPENAI_RESPONSES, OPENAI_CHAT, AGENT, known(name).quirks)
    assert refuses <= plain.body.keys()
    assert plain.body.keys() - strict.body.keys() == refuses


def test_a_temperature_that_kimi_would_refuse_is_left_out_and_named() -> None:
    body = {"model": "m", "max_tokens": 9, "temperature": 0.2, "messages": MESSAGES}
    sent = crossing(ANTHROPIC, OPENAI_CHAT, body, known("moonshot").quirks)
    assert "temperature" not in sent.body
    assert sent.dropped == ("temperature",)
    assert sent.body["max_completion_tokens"] == 9


@pytest.mark.parametrize(
    ("name", "field"), [("moonshot", {"n": 2}), ("groq", {"n": 2}), ("xai", {"logprobs": True})]
)
def test_what_would_change_the_answer_is_refused_before_anything_is_sent(
    name: str, field: dict[str, Any]
) -> None:
    with pytest.raises(Unsupported):
        crossing(OPENAI_CHAT, OPENAI_CHAT, {"model": "m", "messages": MESSAGES, **field}, known(name).quirks)


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("anthropic", ("x-api-key", "k")),
        ("deepseek", ("x-api-key", "k")),
        ("fireworks", ("x-api-key", "k")),
        ("openrouter", ("authorization", "Bearer k")),
        ("moonshot", ("authorization", "Bearer k")),
    ],
)
def test_the_key_is_where_a_messages_endpoint_looks_for_it(name: str, carried: tuple[str, str]) -> None:
    provider, body = known(name), {"model": "m", "max_tokens": 9, "messages": MESSAGES}
    assert "anthropic" in provider.base_urls
    passed = SameDialect(ANTHROPIC.wire, ANTHROPIC.wire.facts(body), "m", body, b"", provider.quirks)
    crossed = crossing(OPENAI_CHAT, ANTHROPIC, body, provider.quirks)
    for way in (passed, crossed):
        headers = way.headers("k", {})
        assert [one for one in headers.items() if one[0] in KEY_HEADERS] == [carried]
        assert not way.headers(None, {}).keys() & KEY_HEADERS
