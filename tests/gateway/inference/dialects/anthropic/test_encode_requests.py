"""What a request of any dialect becomes here: what is carried, refused, or left out and named."""

import base64
from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Cache,
    Citation,
    Document,
    Extra,
    Image,
    Inline,
    Linked,
    OutputFormat,
    PlainText,
    Refusal,
    Request,
    ServerBlock,
    ServerTool,
    Text,
    Tool,
    ToolChoice,
    Uploaded,
    Video,
)
from kit.errors import InvalidRequest, Unsupported
from tests.gateway.inference.dialects.anthropic.made import (
    OPUS_5,
    SONNET_4_5,
    asking,
    assistant,
    call,
    dropped,
    result,
    sent,
    user,
)

LOOK = Tool(name="look", description="Looks.", schema={"properties": {"q": {"type": "string"}}})
FIND = Tool(name="find")
PNG = Inline(media_type="image/png", data="AA==")
ELSEWHERE = Extra(dialect="openai-chat", fields={"store": True})


def content(block: Block, **quirks: Any) -> Any:
    return sent(asking(user(block)), **quirks)["messages"][0]["content"][0]


def test_a_plain_request() -> None:
    request = asking(user("hi"), system=[Text(text="Be brief.")], stop=["END"], stream=True, user="u1")
    assert sent(request, SONNET_4_5) == {
        "model": SONNET_4_5,
        "max_tokens": 4096,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stop_sequences": ["END"],
        "stream": True,
        "metadata": {"user_id": "u1"},
    }
    assert dropped(request) == ()


@pytest.mark.parametrize(
    ("block", "body"),
    [
        (Image(source=PNG), {"type": "base64", "media_type": "image/png", "data": "AA=="}),
        (Image(source=Linked(url="https://e.test/a")), {"type": "url", "url": "https://e.test/a"}),
        (Document(source=Linked(url="https://e.test/a")), {"type": "url", "url": "https://e.test/a"}),
        (
            Document(source=Inline(media_type="application/pdf", data="JVBE")),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        ),
        (
            Document(source=PlainText(text="ä")),
            {"type": "text", "media_type": "text/plain", "data": "ä"},
        ),
        (
            Document(source=Inline(media_type="text/csv", data=base64.b64encode("a,ä".encode()).decode())),
            {"type": "text", "media_type": "text/plain", "data": "a,ä"},
        ),
    ],
)
def test_media_are_carried(block: Block, body: dict[str, Any]) -> None:
    assert content(block)["source"] == body


def test_a_refusal_of_the_past_is_text() -> None:
    body = sent(asking(user("a"), assistant(Refusal(text="I won't.")), user("b")))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "I won't."}]


def test_cache_breakpoints_are_carried() -> None:
    request = asking(
        user(Text(text="a", cache=Cache(ttl="1h"))),
        system=[Text(text="s", cache=Cache())],
        tools=[Tool(name="look", cache=Cache(ttl="5m"))],
    )
    body = sent(request)
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_tools_are_carried() -> None:
    request = asking(tools=[LOOK, FIND, Tool(name="say", custom=True, schema={"type": "string"})])
    assert sent(request)["tools"] == [
        {
            "name": "look",
            "description": "Looks.",
            "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
        {"name": "find", "input_schema": {"type": "object"}},
        {
            "name": "say",
            "input_schema": {
                "type": "object",
                "properties": {"input": {"type": "string"}},
                "required": ["input"],
            },
        },
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "body"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
        (ToolChoice(mode="tool", tool="look"), None, {"type": "tool", "name": "look"}),
    ],
)
def test_the_choice_of_tools_is_carried(choice: Any, parallel: bool | None, body: Any) -> None:
    request = asking(tools=[LOOK, FIND], tool_choice=choice, parallel_tools=parallel)
    assert sent(request).get("tool_choice") == body


def test_only_the_allowed_tools_are_offered() -> None:
    request = asking(tools=[LOOK, FIND], tool_choice=ToolChoice(mode="any", allowed=["find"]))
    body = sent(request)
    assert [tool["name"] for tool in body["tools"]] == ["find"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_choice_without_tools_is_left_out() -> None:
    request = asking(tool_choice=ToolChoice(mode="auto"))
    assert "tool_choice" not in sent(request)
    assert dropped(request) == ("tool_choice",)


def test_a_web_search_of_another_dialect_becomes_ours() -> None:
    data = {
        "type": "web_search",
        "search_context_size": "high",
        "filters": {"allowed_domains": ["e.test"]},
        "user_location": {"type": "approximate", "country": "DE", "city": None},
    }
    request = asking(tools=[ServerTool(dialect="openai-responses", kind="web_search", data=data)])
    assert sent(request)["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["e.test"],
            "user_location": {"type": "approximate", "country": "DE"},
        }
    ]
    assert dropped(request) == ("tools[0].search_context_size",)


def test_structured_output_of_another_dialect() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "description": "A name."},
            "tags": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": 3},
            "minimum": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        },
    }
    output = OutputFormat(schema=schema, name="person", description="A person.", strict=True)
    format_ = sent(asking(output=output))["output_config"]["format"]
    assert format_ == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "description": "A person.",
            "properties": {
                "name": {"type": "string", "description": "A name. (minLength: 2)"},
                "tags": {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": False},
                    "minItems": 1,
                    "description": "(maxItems: 3)",
                },
                "minimum": {"anyOf": [{"type": "integer", "description": "(minimum: 0)"}, {"type": "null"}]},
            },
        },
    }


@pytest.mark.parametrize(("tier", "body"), [("auto", "auto"), ("default", "standard_only"), ("flex", None)])
def test_service_tiers(tier: str, body: str | None) -> None:
    request = asking(service_tier=tier)
    assert sent(request).get("service_tier") == body
    assert dropped(request) == (() if body else ("service_tier",))


HARMLESS: list[tuple[Request, str, tuple[str, ...]]] = [
    (asking(seed=1), OPUS_5, ("seed",)),
    (asking(presence_penalty=1.0), OPUS_5, ("presence_penalty",)),
    (asking(frequency_penalty=1.0), OPUS_5, ("frequency_penalty",)),
    (asking(temperature=0.3, top_p=0.9, top_k=3), OPUS_5, ("temperature", "top_p", "top_k")),
    (asking(temperature=0.3, top_p=0.9), SONNET_4_5, ("top_p",)),
    (asking(temperature=1.5), SONNET_4_5, ("temperature",)),
    (asking(user="u" * 300), OPUS_5, ("user",)),
    (asking(extra=ELSEWHERE), OPUS_5, ("store",)),
    (asking(user(Image(source=PNG, detail="high"))), OPUS_5, ("messages[0].content[0].detail",)),
    (asking(user(Text(text="a", extra=ELSEWHERE))), OPUS_5, ("messages[0].content[0].store",)),
    (
        asking(user("a", ServerBlock(dialect="openai-responses", data={"type": "x"}))),
        OPUS_5,
        ("messages[0].content[1]",),
    ),
    (
        asking(
            user("a"),
            assistant(Text(text="b", citations=[Citation(dialect="google", data={}, url="https://e.test")])),
            user("c"),
        ),
        OPUS_5,
        ("messages[1].content[0].citations",),
    ),
]


@pytest.mark.parametrize(
    ("request_", "model", "names"), HARMLESS, ids=lambda value: value[0] if isinstance(value, tuple) else ""
)
def test_what_does_no_harm_is_left_out_and_named(
    request_: Request, model: str, names: tuple[str, ...]
) -> None:
    assert dropped(request_, model) == names


def test_the_name_of_a_speaker_is_left_out() -> None:
    message = user("hi")
    message.name = "Ann"
    assert dropped(asking(message)) == ("messages[0].name",)


def test_temperature_ends_at_one() -> None:
    assert sent(asking(temperature=1.5), SONNET_4_5)["temperature"] == 1
    assert sent(asking(temperature=0), SONNET_4_5)["temperature"] == 0


REFUSED: list[tuple[Request, str]] = [
    (asking(choices=2), "choices"),
    (asking(logprobs=True), "logprobs"),
    (asking(stop=["a", "\n"]), "stop[1]"),
    (asking(output=OutputFormat()), "output"),
    (asking(user(Audio(data="AA==", format="wav"))), "messages[0].content[0]"),
    (asking(user(Video(source=PNG))), "messages[0].content[0]"),
    (
        asking(user(Image(source=Inline(media_type="image/tiff", data="AA==")))),
        "messages[0].content[0].source.media_type",
    ),
    (
        asking(user(Image(source=Uploaded(dialect="openai-responses", file_id="f")))),
        "messages[0].content[0].source",
    ),
    (
        asking(user(Document(source=Inline(media_type="application/msword", data="AA==")))),
        "messages[0].content[0].source.media_type",
    ),
    (
        asking(user(Document(source=Inline(media_type="text/plain", data="/w==")))),
        "messages[0].content[0].source.data",
    ),
    (asking(tools=[Tool(name="a.b")]), "tools[0].name"),
    (asking(tools=[ServerTool(dialect="openai-responses", kind="file_search", data={})]), "tools[0]"),
    (asking(extra=Extra(dialect="x", fields={"stored": "c"}, essential=["stored"])), "stored"),
    (asking(user("draw"), assistant(Image(source=PNG))), "messages"),
]


@pytest.mark.parametrize(("request_", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_what_changes_the_meaning_is_refused(request_: Request, field: str) -> None:
    with pytest.raises(Unsupported) as raised:
        sent(request_)
    assert raised.value.param == field
    assert raised.value.status == 422


def test_max_tokens_are_needed() -> None:
    with pytest.raises(InvalidRequest, match="max_tokens"):
        sent(asking(max_tokens=None))


def test_quirks_of_a_provider() -> None:
    request = asking(service_tier="auto", temperature=0.5)
    assert "service_tier" not in sent(request, unsupported=frozenset({"service_tier"}))
    assert dropped(request, SONNET_4_5, unsupported=frozenset({"service_tier"})) == ("service_tier",)
    with pytest.raises(Unsupported, match="temperature"):
        sent(request, SONNET_4_5, refused=frozenset({"temperature"}))
    with pytest.raises(Unsupported, match="base64"):
        content(Image(source=Linked(url="https://e.test/a")), image_urls=False)
    with pytest.raises(Unsupported, match="output"):
        sent(asking(output=OutputFormat(schema={})), structured_output="none")


def test_tool_ids_that_the_api_refuses_are_made_fitting() -> None:
    request = asking(user("a"), assistant(call("functions.look:0")), user(result("functions.look:0")))
    _, asked, answered = sent(request)["messages"]
    tool_id = asked["content"][0]["id"]
    assert tool_id.isalnum()
    assert answered["content"][0]["tool_use_id"] == tool_id
    exact = sent(request, tool_id_length=9)["messages"]
    assert len(exact[1]["content"][0]["id"]) == 9
    assert exact[2]["content"][0]["tool_use_id"] == exact[1]["content"][0]["id"]
