"""What of a request is left out here and named, and what is refused."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Citation,
    Document,
    Extra,
    Image,
    Inline,
    Linked,
    OutputFormat,
    Request,
    ServerBlock,
    ServerTool,
    Text,
    Tool,
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

PNG = Inline(media_type="image/png", data="AA==")
ELSEWHERE = Extra(dialect="openai-chat", fields={"store": True})


def content(block: Block, **quirks: Any) -> Any:
    return sent(asking(user(block)), **quirks)["messages"][0]["content"][0]


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
