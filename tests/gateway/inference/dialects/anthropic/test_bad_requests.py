"""What is wrong in a request is named with its path, and what was expected."""

from typing import Any

import pytest

from kit.errors import InvalidRequest
from tests.gateway.inference.dialects.anthropic.made import CODEC, body
from tests.gateway.inference.dialects.anthropic.test_lossless import PDF

NUMBER = {"disable_parallel_tool_use": 0}
FIRST = "messages[0].content[0]"


def first(block: dict[str, Any]) -> dict[str, Any]:
    """A request with this block."""
    return body([block])


BAD: list[tuple[str, dict[str, Any]]] = [
    ("model", body(model=None)),
    ("model", body(model=3)),
    ("max_tokens", body(max_tokens=None)),
    ("max_tokens", body(max_tokens="many")),
    ("max_tokens", body(max_tokens=-1)),
    ("max_tokens", body(max_tokens=True)),
    ("messages", body(messages=None)),
    ("messages", body(messages=[])),
    ("messages", body(messages={"role": "user"})),
    ("messages[0]", body(messages=["hi"])),
    ("messages[0].role", body(messages=[{"role": "tool", "content": "x"}])),
    ("messages[0].role", body(messages=[{"role": ["user"], "content": "x"}])),
    ("messages[0].content", body(None)),
    ("messages[0].content", body(5)),
    ("messages[0].content[0]", body(["hi"])),
    (f"{FIRST}.type", first({"text": "hi"})),
    (f"{FIRST}.type", first({"type": {}})),
    (f"{FIRST}.text", first({"type": "text"})),
    (f"{FIRST}.citations", first({"type": "text", "text": "a", "citations": {}})),
    (f"{FIRST}.citations[0].type", first({"type": "text", "text": "a", "citations": [{}]})),
    (f"{FIRST}.cache_control", first({"type": "text", "text": "a", "cache_control": 1})),
    (f"{FIRST}.cache_control.type", first({"type": "text", "text": "a", "cache_control": {}})),
    (f"{FIRST}.source", first({"type": "image"})),
    (f"{FIRST}.source.type", first({"type": "image", "source": {"type": "text"}})),
    (f"{FIRST}.source.media_type", first({"type": "image", "source": {"type": "base64"}})),
    (f"{FIRST}.source.data", first({"type": "document", "source": {"type": "text"}})),
    (f"{FIRST}.source.url", first({"type": "image", "source": {"type": "url", "url": ""}})),
    (f"{FIRST}.source.content", first({"type": "document", "source": {"type": "content"}})),
    (f"{FIRST}.citations.enabled", first({"type": "document", "source": PDF, "citations": {"enabled": 1}})),
    (f"{FIRST}.thinking", first({"type": "thinking"})),
    (f"{FIRST}.data", first({"type": "redacted_thinking"})),
    (f"{FIRST}.input", first({"type": "tool_use", "id": "a", "name": "b", "input": "{}"})),
    (f"{FIRST}.id", first({"type": "tool_use", "name": "b", "input": {}})),
    (f"{FIRST}.tool_use_id", first({"type": "tool_result"})),
    (f"{FIRST}.is_error", first({"type": "tool_result", "tool_use_id": "a", "is_error": "no"})),
    (f"{FIRST}.content", first({"type": "tool_result", "tool_use_id": "a", "content": 1})),
    (
        f"{FIRST}.content[0].type",
        first({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_result"}]}),
    ),
    ("system", body(system=7)),
    ("system[0].type", body(system=[{"type": "image", "source": {"type": "url", "url": "u"}}])),
    ("tools", body(tools={})),
    ("tools[0]", body(tools=[1])),
    ("tools[0].name", body(tools=[{"input_schema": {}}])),
    ("tools[0].input_schema", body(tools=[{"name": "a"}])),
    ("tools[0].strict", body(tools=[{"name": "a", "input_schema": {}, "strict": "yes"}])),
    ("tool_choice", body(tool_choice="auto")),
    ("tool_choice.type", body(tool_choice={"type": "required"})),
    ("tool_choice.name", body(tool_choice={"type": "tool"})),
    ("tool_choice.disable_parallel_tool_use", body(tool_choice={"type": "any", **NUMBER})),
    ("stop_sequences", body(stop_sequences="END")),
    ("stop_sequences[0]", body(stop_sequences=[1])),
    ("temperature", body(temperature="hot")),
    ("top_p", body(top_p=True)),
    ("top_k", body(top_k=1.5)),
    ("stream", body(stream="yes")),
    ("metadata", body(metadata=[])),
    ("metadata.user_id", body(metadata={"user_id": 1})),
    ("service_tier", body(service_tier=1)),
    ("thinking", body(thinking=True)),
    ("thinking.type", body(thinking={"type": "on"})),
    ("thinking.budget_tokens", body(thinking={"type": "enabled"})),
    ("thinking.display", body(thinking={"type": "adaptive", "display": 1})),
    ("output_config", body(output_config="high")),
    ("output_config.effort", body(output_config={"effort": 1})),
    ("output_config.format.type", body(output_config={"format": {"type": "json_object"}})),
    ("output_config.format.schema", body(output_config={"format": {"type": "json_schema"}})),
    ("output_format", body(output_format={}, output_config={"format": {}})),
]


@pytest.mark.parametrize(("field", "sent"), BAD, ids=[f"{n}-{field}" for n, (field, _) in enumerate(BAD)])
def test_a_wrong_field_is_named(field: str, sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        CODEC.decode_request(sent)
    assert raised.value.param == field
    assert raised.value.message.startswith(f"{field}: expected ")


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        CODEC.decode_request([])  # type: ignore[arg-type]
