"""What is left out or refused has the name that the client gave it, whatever the provider's dialect."""

from dataclasses import dataclass, field
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
from gateway.inference.passage import Crossing
from kit.errors import Unsupported

MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "google": "gemini-2.5-pro",
    "openai-chat": "m",
    "openai-responses": "gpt-5.1",
}
USER: dict[str, Any] = {"role": "user", "content": "Hi"}
CACHED: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}


@dataclass(frozen=True)
class Asked:
    """``fields`` of a client's request, for a provider; ``names`` are left out or, of one, refused."""

    client: ClientDialect
    provider: str
    names: set[str]
    fields: dict[str, Any]
    quirks: Quirks = field(default_factory=Quirks)

    @property
    def body(self) -> dict[str, Any]:
        if self.client is OPENAI_RESPONSES:
            return {"model": "m", "input": "Hi", **self.fields}
        limit = {"max_tokens": 2_000} if self.client is ANTHROPIC else {"max_completion_tokens": 2_000}
        return {"model": "m", "messages": [USER], **limit, **self.fields}

    def planned(self) -> Crossing:
        assert self.client.codec is not None
        provider = PROVIDER_DIALECTS[self.provider]
        target = Target("p", MODELS[self.provider], provider.origin_of("p"), self.quirks)
        request = self.client.codec.decode_request(self.body)
        if request.max_tokens is None:
            request.max_tokens = 2_000
        return Crossing.plan(self.client, provider, request, target)


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
UNKNOWING = Quirks(unsupported=frozenset({"parallel_tool_calls", "max_output_tokens", "top_p"}))
CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
RESPONSES_TOOL = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
LEFT_OUT = [
    Asked(ANTHROPIC, "openai-chat", {"thinking.budget_tokens"}, THINKING),
    Asked(ANTHROPIC, "openai-responses", {"thinking.type"}, {"thinking": {"type": "disabled"}}),
    Asked(
        ANTHROPIC,
        "openai-chat",
        {"thinking.display"},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
    ),
    Asked(ANTHROPIC, "google", {"metadata.user_id"}, {"metadata": {"user_id": "u"}}),
    Asked(ANTHROPIC, "openai-chat", {"top_k"}, {"top_k": 3}),
    Asked(
        ANTHROPIC,
        "google",
        {"tool_choice.disable_parallel_tool_use"},
        {
            "tools": [{"name": "f", "input_schema": SCHEMA}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
    ),
    Asked(
        ANTHROPIC,
        "openai-responses",
        {"system[1].cache_control", "tools[0].cache_control", "messages[0].content[0].cache_control"},
        {
            "system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B", **CACHED}],
            "tools": [{"name": "f", "input_schema": SCHEMA, **CACHED}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", **CACHED}]}],
        },
    ),
    Asked(OPENAI_CHAT, "openai-responses", {"seed", "presence_penalty"}, {"seed": 1, "presence_penalty": 1}),
    Asked(
        OPENAI_CHAT, "google", {"parallel_tool_calls", "user"}, {"parallel_tool_calls": False, "user": "u"}
    ),
    Asked(OPENAI_CHAT, "google", {"tools[0].function.strict"}, {"tools": [CHAT_TOOL]}),
    Asked(
        OPENAI_CHAT,
        "openai-responses",
        {"parallel_tool_calls", "max_completion_tokens", "top_p"},
        {"parallel_tool_calls": False, "top_p": 0.5},
        UNKNOWING,
    ),
    Asked(
        OPENAI_CHAT,
        "google",
        {"response_format.json_schema.name"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    ),
    Asked(OPENAI_CHAT, "google", {"reasoning_effort"}, {"reasoning_effort": "none"}),
    Asked(OPENAI_RESPONSES, "google", {"tools[0].strict"}, {"tools": [RESPONSES_TOOL]}),
    Asked(OPENAI_RESPONSES, "google", {"reasoning.effort"}, {"reasoning": {"effort": "none"}}),
    Asked(OPENAI_RESPONSES, "google", {"safety_identifier"}, {"safety_identifier": "u"}),
    Asked(OPENAI_RESPONSES, "google", {"parallel_tool_calls"}, {"parallel_tool_calls": False}),
    Asked(OPENAI_RESPONSES, "openai-chat", {"truncation"}, {"truncation": "auto"}),
    Asked(
        OPENAI_RESPONSES,
        "google",
        {"text.format.name"},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
    ),
]


@pytest.mark.parametrize("asked", LEFT_OUT, ids=lambda asked: f"{asked.client.name}-{asked.provider}")
def test_what_is_left_out_has_the_clients_name(asked: Asked) -> None:
    dropped = asked.planned().dropped
    assert set(dropped) == asked.names
    assert len(set(dropped)) == len(dropped)


REFUSED = [
    Asked(ANTHROPIC, "openai-responses", {"stop_sequences"}, {"stop_sequences": ["END"]}),
    Asked(
        ANTHROPIC,
        "openai-chat",
        {"output_config.format"},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        Quirks(structured_output="none"),
    ),
    Asked(OPENAI_CHAT, "anthropic", {"n"}, {"n": 2}),
    Asked(OPENAI_CHAT, "anthropic", {"stop[1]"}, {"stop": ["END", " "]}),
    Asked(OPENAI_CHAT, "anthropic", {"top_logprobs"}, {"top_logprobs": 2}),
    Asked(OPENAI_CHAT, "anthropic", {"response_format"}, {"response_format": {"type": "json_object"}}),
    Asked(
        OPENAI_CHAT,
        "openai-responses",
        {"max_completion_tokens"},
        {},
        Quirks(refused=frozenset({"max_output_tokens"})),
    ),
    Asked(OPENAI_CHAT, "google", {"stop"}, {"stop": ["END"]}, Quirks(refused=frozenset({"stopSequences"}))),
    Asked(OPENAI_RESPONSES, "anthropic", {"include"}, {"include": ["message.output_text.logprobs"]}),
    Asked(OPENAI_RESPONSES, "anthropic", {"text.format"}, {"text": {"format": {"type": "json_object"}}}),
    Asked(
        OPENAI_RESPONSES,
        "openai-chat",
        {"max_output_tokens"},
        {"max_output_tokens": 5},
        Quirks(refused=frozenset({"max_completion_tokens"})),
    ),
]


@pytest.mark.parametrize("asked", REFUSED, ids=lambda asked: f"{asked.client.name}-{asked.provider}")
def test_a_refusal_has_the_clients_name(asked: Asked) -> None:
    with pytest.raises(Unsupported) as refused:
        asked.planned()
    (name,) = asked.names
    assert refused.value.param == name
    assert refused.value.message.startswith(f"{name}: ")
