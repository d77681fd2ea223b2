"""What is changed in a body on its way to a provider of the same dialect: only what that provider needs."""

import json
from typing import Any

import pytest

from gateway.inference.dialects.codec import Quirks
from gateway.inference.dialects.dialect import WireDialect
from gateway.inference.dialects.registry import ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES
from gateway.inference.passage import SameDialect

MESSAGES = [{"role": "user", "content": "hello"}]
OLD = Quirks(max_tokens_field="max_tokens")


def sent(
    wire: WireDialect, body: dict[str, Any], *, max_tokens: int | None = None, quirks: Quirks | None = None
) -> dict[str, Any] | None:
    """What goes out, or None if it is the caller's very bytes."""
    raw = json.dumps(body).encode()
    passage = SameDialect(wire, wire.facts(body), str(body["model"]), body, raw, quirks or Quirks())
    out = passage.outgoing(max_tokens)
    return None if out is raw else dict(json.loads(out))


@pytest.mark.parametrize("dialect", [ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES], ids=lambda one: str(one.name))
def test_a_body_that_needs_nothing_is_the_callers_own(dialect: Any) -> None:
    asked = "input" if dialect is OPENAI_RESPONSES else "messages"
    body = {"model": "m", "max_tokens": 5, asked: MESSAGES}
    assert sent(dialect.wire, body) is None


@pytest.mark.parametrize(
    ("dialect", "limit"),
    [
        (ANTHROPIC, "max_tokens"),
        (OPENAI_CHAT, "max_completion_tokens"),
        (OPENAI_CHAT, "max_tokens"),
        (OPENAI_RESPONSES, "max_output_tokens"),
    ],
)
def test_a_limit_is_lowered_under_the_name_it_has(dialect: Any, limit: str) -> None:
    asked = "input" if dialect is OPENAI_RESPONSES else "messages"
    body = {"model": "m", limit: 500, asked: MESSAGES, "other": 1.5}
    assert sent(dialect.wire, body, max_tokens=7) == {**body, limit: 7}


def test_a_provider_hears_the_limit_under_the_only_name_it_knows() -> None:
    body = {"model": "m", "max_completion_tokens": 500, "messages": MESSAGES}
    old = {"model": "m", "messages": MESSAGES}
    assert sent(OPENAI_CHAT.wire, body, quirks=OLD) == {**old, "max_tokens": 500}
    assert sent(OPENAI_CHAT.wire, body, quirks=OLD, max_tokens=7) == {**old, "max_tokens": 7}
    assert sent(OPENAI_CHAT.wire, {**old, "max_tokens": 500}, quirks=OLD) is None
    assert sent(OPENAI_CHAT.wire, old, quirks=OLD, max_tokens=7) == {**old, "max_tokens": 7}
    both = {**body, "max_tokens": 400}
    assert sent(OPENAI_CHAT.wire, both) is None
    assert sent(OPENAI_CHAT.wire, both, max_tokens=7) == {**both, "max_tokens": 7, "max_completion_tokens": 7}


def test_usage_is_asked_for_where_that_is_understood() -> None:
    body = {"model": "m", "stream": True, "messages": MESSAGES}
    asking = {**body, "stream_options": {"include_usage": True, "x": 1}}
    deaf = Quirks(stream_usage_option=False)
    assert sent(OPENAI_CHAT.wire, body) == {**body, "stream_options": {"include_usage": True}}
    assert sent(OPENAI_CHAT.wire, asking) is None
    assert sent(OPENAI_CHAT.wire, body, quirks=deaf) is None
    assert sent(OPENAI_CHAT.wire, asking, quirks=deaf) == body
