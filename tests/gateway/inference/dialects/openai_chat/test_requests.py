"""Requests of other dialects, in the words that a provider of this one knows."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Audio,
    Document,
    Extra,
    Image,
    Inline,
    Linked,
    OutputFormat,
    PlainText,
    Reasoning,
    Text,
    Uploaded,
)
from kit.errors import Unsupported
from tests.gateway.inference.dialects.openai_chat.asking import (
    CODEC,
    SCHEMA,
    USER,
    body,
    target,
    user,
)


def test_instructions_of_other_dialects_become_one_text() -> None:
    request = user(system=[Text(text="a"), Text(text="b")])
    for role in ("developer", "system"):
        messages = CODEC.encode_request(request, target(system_role=role)).body["messages"]
        assert messages[0] == {"role": role, "content": "a\n\nb"}


def test_a_provider_that_knows_only_system_gets_no_developer() -> None:
    given = body(
        messages=[{"role": "developer", "content": "a"}, USER, {"role": "developer", "content": "b"}]
    )
    messages = CODEC.encode_request(CODEC.decode_request(given), target(system_role="system")).body[
        "messages"
    ]
    assert [message["role"] for message in messages] == ["system", "user", "system"]


def test_limits_go_by_the_name_that_the_provider_knows() -> None:
    assert CODEC.encode_request(user(max_tokens=5), target()).body["max_completion_tokens"] == 5
    old = target(max_tokens_field="max_tokens")
    assert CODEC.encode_request(user(max_tokens=5), old).body["max_tokens"] == 5
    newer = CODEC.decode_request(body(max_completion_tokens=7))
    told = CODEC.encode_request(newer, old).body
    assert told["max_tokens"] == 7 and "max_completion_tokens" not in told


def test_usage_is_asked_for_whatever_the_client_shows() -> None:
    told = CODEC.encode_request(user(stream=True), target()).body
    assert told["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("reasoning", "effort", "dropped"),
    [
        (Reasoning(effort="high"), "high", ()),
        (Reasoning(effort="none"), "none", ()),
        (Reasoning(enabled=True, budget_tokens=1024), "low", ("reasoning.budget_tokens",)),
        (Reasoning(enabled=True, budget_tokens=10_000), "medium", ("reasoning.budget_tokens",)),
        (Reasoning(enabled=True, budget_tokens=60_000), "high", ("reasoning.budget_tokens",)),
        (Reasoning(enabled=False), None, ("reasoning.enabled",)),
        (Reasoning(adaptive=True, show=True), None, ("reasoning.show",)),
    ],
)
def test_reasoning_of_other_dialects(
    reasoning: Reasoning, effort: str | None, dropped: tuple[str, ...]
) -> None:
    result = CODEC.encode_request(user(reasoning=reasoning), target())
    assert result.body.get("reasoning_effort") == effort
    assert result.dropped == dropped


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "low"}, Reasoning(effort="low")),
        ({"reasoning": {"max_tokens": 9, "exclude": True}}, Reasoning(budget_tokens=9, show=False)),
        ({"reasoning": {"effort": "high", "enabled": True}}, Reasoning(effort="high", enabled=True)),
        ({"thinking": {"type": "enabled"}}, Reasoning(enabled=True)),
        ({"include_reasoning": False}, Reasoning(show=False)),
    ],
)
def test_reasoning_in_providers_own_words(fields: dict[str, Any], expected: Reasoning) -> None:
    reasoning = CODEC.decode_request(body(**fields)).reasoning
    assert reasoning is not None
    reasoning.extra = None
    assert reasoning == expected


def test_structured_output() -> None:
    loose = {"type": "object", "properties": {"a": {}}}
    strict = CODEC.encode_request(user(output=OutputFormat(schema=SCHEMA)), target()).body["response_format"]
    assert strict == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    free = CODEC.encode_request(user(output=OutputFormat(schema=loose)), target()).body["response_format"]
    assert "strict" not in free["json_schema"]
    demanding = OutputFormat(schema=loose, name="a", strict=True)
    result = CODEC.encode_request(user(output=demanding), target(schema_subset="openai-strict"))
    assert result.dropped == ("output.strict",)


def test_a_schema_is_told_where_only_json_mode_exists() -> None:
    request = user(output=OutputFormat(schema=SCHEMA), system=[Text(text="Be brief.")])
    result = CODEC.encode_request(request, target(structured_output="json_object"))
    assert result.body["response_format"] == {"type": "json_object"}
    assert result.body["messages"][0]["content"].startswith("Be brief.\n\nAnswer with a JSON object")
    assert result.dropped == ("output.schema",)
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(request, target(structured_output="none"))
    assert refused.value.param == "output"


def test_media_of_other_dialects() -> None:
    request = user(
        Image(source=Inline(media_type="image/png", data="iVBO"), detail="high"),
        Image(source=Linked(url="https://example.org/a.png")),
        Document(
            source=Inline(media_type="application/pdf", data="JVBE"),
            title="a.pdf",
            context="Old.",
            citations=True,
        ),
        Document(source=PlainText(text="words"), title="Notes"),
        Document(source=Inline(media_type="text/plain", data="aGk=")),
        Document(source=Uploaded(dialect="openai-responses", file_id="file-1")),
        Audio(data="UklG", format="wav"),
    )
    result = CODEC.encode_request(request, target())
    assert result.body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "text", "text": "Old."},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "Notes\n\nwords"},
        {"type": "text", "text": "hi"},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ]
    assert result.dropped == ("messages[0].content[2].citations",)


@pytest.mark.parametrize(
    ("block", "param"),
    [
        (Document(source=Linked(url="https://example.org/a.pdf")), "messages[0].content[0].source"),
        (Document(source=Uploaded(dialect="anthropic", file_id="f")), "messages[0].content[0].source"),
        (Image(source=Uploaded(dialect="anthropic", file_id="f")), "messages[0].content[0].source"),
        (Image(source=Linked(url="https://example.org/a.png")), "messages[0].content[0].source.url"),
    ],
)
def test_media_that_the_provider_cannot_read(block: Any, param: str) -> None:
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(block), target(image_urls=False))
    assert refused.value.param == param


def test_fields_that_a_provider_does_not_know() -> None:
    request = user(seed=1, presence_penalty=0.5, top_k=3, service_tier="standard_only")
    result = CODEC.encode_request(request, target(unsupported=frozenset({"seed", "service_tier"})))
    assert "seed" not in result.body and result.body["presence_penalty"] == 0.5
    assert sorted(result.dropped) == ["seed", "service_tier", "top_k"]
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(choices=2), target(refused=frozenset({"n"})))
    assert refused.value.param == "choices"
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(user(logprobs=True), target(refused=frozenset({"logprobs"})))
    assert refused.value.param == "logprobs"


def test_fields_of_other_dialects() -> None:
    anthropic = Extra(dialect="anthropic", fields={"container": "c"})
    result = CODEC.encode_request(user(extra=anthropic), target())
    assert "container" not in result.body and result.dropped == ("extra.container",)
    shared = {"metadata": {"a": "b"}, "text": {"verbosity": "low"}, "truncation": "auto"}
    result = CODEC.encode_request(user(extra=Extra(dialect="openai-responses", fields=shared)), target())
    assert result.body["metadata"] == {"a": "b"} and result.body["verbosity"] == "low"
    assert result.dropped == ("extra.truncation",)
    stored = Extra(
        dialect="openai-responses", fields={"previous_response_id": "r"}, essential=["previous_response_id"]
    )
    with pytest.raises(Unsupported, match="previous_response_id"):
        CODEC.encode_request(user(extra=stored), target())


def test_sound_as_an_answer_may_not_be_left_out_elsewhere() -> None:
    request = CODEC.decode_request(
        body(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})
    )
    assert request.extra is not None and request.extra.essential == ["modalities"]


def test_a_long_user_id_is_shortened_the_same_way_every_time() -> None:
    told = [CODEC.encode_request(user(user="u" * 140), target()).body["user"] for _ in range(2)]
    assert told[0] == told[1] and len(told[0]) == 64
    assert CODEC.encode_request(user(user="u"), target()).body["user"] == "u"
