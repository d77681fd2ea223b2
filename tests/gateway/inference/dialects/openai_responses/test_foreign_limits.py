"""What of other dialects is refused or left out here."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Audio,
    Cache,
    Citation,
    Document,
    Extra,
    HiddenThinking,
    Image,
    Linked,
    Message,
    OutputFormat,
    Reasoning,
    Request,
    ServerBlock,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Uploaded,
    Video,
)
from kit.errors import Unsupported
from tests.gateway.inference.dialects.openai_responses.asking import (
    asks,
    body,
    dropped,
    replace_quirks,
)
from tests.gateway.inference.dialects.openai_responses.exchange import CODEC, TARGET, neutral


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (neutral(choices=2), "choices"),
        (neutral(stop=["END"]), "stop"),
        (asks(Audio(data="UklG", format="wav")), "messages[0].content[0]"),
        (asks(Text(text="x"), Video(source=Linked(url="https://v"))), "messages[0].content[1]"),
        (asks(Image(source=Uploaded(dialect="anthropic", file_id="f"))), "messages[0].content[0].source"),
        (asks(Document(source=Uploaded(dialect="google", file_id="f"))), "messages[0].content[0].source"),
        (
            asks(ToolResult(tool_use_id="c", content=[Video(source=Linked(url="https://v"))])),
            "messages[0].content[0].content[0]",
        ),
        (
            neutral(
                tools=[ServerTool(dialect="anthropic", kind="bash", data={"name": "bash"})],
                tool_choice=ToolChoice(mode="tool", tool="bash"),
            ),
            "tool_choice",
        ),
        (
            neutral(
                tools=[ServerTool(dialect="anthropic", kind="bash", data={"name": "bash"})],
                tool_choice=ToolChoice(mode="any"),
            ),
            "tool_choice",
        ),
        (
            neutral(tools=[ServerTool(dialect="a", kind="web_search", data={"blocked_domains": ["x"]})]),
            "tools[0].blocked_domains",
        ),
        (neutral(extra=Extra(dialect="a", fields={"thread": 1}, essential=["thread"])), "thread"),
    ],
)
def test_what_may_not_be_left_out_is_refused(asked: Request, field: str) -> None:
    with pytest.raises(Unsupported) as refused:
        CODEC.encode_request(asked, TARGET)
    assert refused.value.param == field
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("quirks", "asked", "field"),
    [
        ({"image_urls": False}, asks(Image(source=Linked(url="u"))), "messages[0].content[0].source"),
        ({"structured_output": "none"}, neutral(output=OutputFormat()), "output"),
        ({"structured_output": "json_object"}, neutral(output=OutputFormat(schema={})), "output"),
        ({"refused": frozenset({"temperature"})}, neutral(temperature=1), "temperature"),
    ],
)
def test_what_a_provider_lacks_is_refused(quirks: dict[str, Any], asked: Request, field: str) -> None:
    with pytest.raises(Unsupported) as refused:
        body(asked, **quirks)
    assert refused.value.param == field


def test_what_a_provider_lacks_and_nobody_misses_is_named() -> None:
    target = replace_quirks(unsupported=frozenset({"store", "temperature"}))
    written = CODEC.encode_request(neutral(temperature=1), target)
    assert written.body.keys() == {"model", "input"}
    assert written.dropped == ("store", "temperature")


def test_what_is_left_out_is_named() -> None:
    asked = neutral(
        Message(
            role="user",
            name="Ada",
            content=[Text(text="x", cache=Cache()), Document(source=Linked(url="u"), citations=True)],
        ),
        Message(
            role="assistant",
            content=[
                Thinking(text="Hm", origin="anthropic", signature="s"),
                HiddenThinking(data="d", origin="google"),
                ServerBlock(dialect="anthropic", data={"type": "server_tool_use"}),
                ToolUse(id="c", name="f", arguments="{}", signature="g", cache=Cache()),
                Text(text="y", citations=[Citation(dialect="anthropic", data={}, cited_text="z")]),
            ],
        ),
        Message(role="user", content=[ToolResult(tool_use_id="c", content=[], is_error=True)]),
        system=[Text(text="s", cache=Cache(ttl="1h"))],
        tools=[
            Tool(name="f", cache=Cache()),
            ServerTool(dialect="anthropic", kind="web_fetch", data={"name": "web_fetch"}),
            ServerTool(dialect="anthropic", kind="web_search", data={"max_uses": 3}),
        ],
        top_k=5,
        seed=1,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        service_tier="batch",
        reasoning=Reasoning(enabled=False),
        extra=Extra(dialect="anthropic", fields={"container": "c", "unset": None}),
    )
    assert set(dropped(asked)) == {
        "extra.container",
        "system[0].cache",
        "messages[0].name",
        "messages[0].content[0].cache",
        "messages[0].content[1].citations",
        "messages[1].content[0]",
        "messages[1].content[1]",
        "messages[1].content[2]",
        "messages[1].content[3].signature",
        "messages[1].content[3].cache",
        "messages[1].content[4].citations[0]",
        "messages[2].content[0].is_error",
        "tools[0].cache",
        "tools[1]",
        "tools[2].max_uses",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "service_tier",
        "reasoning.enabled",
    }
    items = CODEC.encode_request(asked, TARGET).body["input"]
    assert items[-1] == {"type": "function_call_output", "call_id": "c", "output": "The call failed."}
