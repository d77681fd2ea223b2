"""What our clients see of the answers of other dialects, and what comes back of it."""

import json
from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    Citation,
    Extra,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Refusal,
    Response,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
    Uploaded,
    Video,
)
from tests.gateway.inference.dialects.anthropic import sdk
from tests.gateway.inference.dialects.anthropic.clients import back
from tests.gateway.inference.dialects.anthropic.made import CODEC, asking, call


def written(*content: Block, **more: Any) -> dict[str, Any]:
    """The answer of another dialect as our clients see it."""
    usage = more.pop("usage", None)
    more.setdefault("stop", "end_turn")
    response = Response(id="r1", model="m", choices=[Choice(content=list(content), **more)], usage=usage)
    return CODEC.encode_response(response, asking())


def test_a_foreign_answer_parses_with_the_sdk() -> None:
    answer = written(
        Thinking(text="hm", origin="openai-responses", signature="seal"),
        HiddenThinking(data="enc", origin="openai-responses", item_id="rs_1"),
        Text(
            text="Found.", citations=[Citation(dialect="x", data={"n": 1}, url="https://e.test", title="E")]
        ),
        call("call_1", '{"q":1}'),
        call("call_2", "", signature="gsig"),
        usage=TokenUsage(input_tokens=5, output_tokens=7, cache_read_tokens=3, reasoning_tokens=2),
    )
    message = sdk.validated(answer)
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "redacted_thinking",
        "tool_use",
    ]
    assert message.stop_reason == "tool_use"
    assert message.usage.to_dict() == {
        "input_tokens": 5,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 2},
    }


FOREIGN: list[Block] = [
    Thinking(text="hm", origin="openai-chat/deepseek"),
    Thinking(text="hm", origin="openai-responses", signature='["rs_1","enc",[]]'),
    HiddenThinking(data="enc", origin="openai-responses", item_id="rs_1"),
    HiddenThinking(data="gsig", origin="google"),
    ToolUse(id="t1", name="look", arguments='{"a":1.0}', signature="gsig+/="),
    ToolUse(id="t2", name="look", arguments='{"q":'),
    Text(
        text="a",
        citations=[
            Citation(
                dialect="openai-responses",
                data={"type": "url_citation", "é": 1},
                url="https://e.test",
                title="E",
                start=0,
                end=1,
            )
        ],
    ),
    Image(source=Inline(media_type="image/png", data="AA==")),
    Image(source=Linked(url="https://e.test/a.png")),
]


@pytest.mark.parametrize("block", FOREIGN, ids=lambda block: type(block).__name__)
def test_a_client_brings_another_dialects_block_back(block: Block) -> None:
    content = json.loads(json.dumps(written(block)["content"]))
    assert back(content) == [block]


def test_a_refusal_in_words() -> None:
    answer = written(Refusal(text="I won't."))
    assert answer["content"] == [{"type": "text", "text": "I won't."}]
    assert answer["stop_reason"] == "refusal"
    assert answer["stop_details"] == {"type": "refusal", "category": None, "explanation": "I won't."}
    sdk.validated(answer)


def test_what_this_dialect_cannot_show_is_left_out() -> None:
    answer = written(
        Text(text="a", citations=[Citation(dialect="x", data={"file_id": "f"})]),
        Audio(data="AA==", format="wav", transcript="hello"),
        Audio(data="AA==", format="wav"),
        Image(source=Uploaded(dialect="x", file_id="f")),
        Video(source=Linked(url="https://e.test")),
        ServerBlock(dialect="openai-responses", data={"type": "web_search_call"}),
    )
    assert answer["content"] == [
        {"type": "text", "text": "a", "citations": []},
        {"type": "text", "text": "hello"},
    ]


def test_a_foreign_extra_is_not_written() -> None:
    extra = Extra(dialect="openai-chat", fields={"system_fingerprint": "x"})
    response = Response(
        id="r", model="m", choices=[Choice(content=[], stop="end_turn", extra=extra)], extra=extra
    )
    answer = CODEC.encode_response(response, asking())
    assert "system_fingerprint" not in answer
    assert answer["usage"]["output_tokens"] == 0
    sdk.validated(answer)


def test_an_answer_without_choices() -> None:
    answer = CODEC.encode_response(Response(id="r", model="m", choices=[]), asking())
    assert (answer["content"], answer["stop_reason"]) == ([], "end_turn")


def test_a_free_form_call_is_an_object_with_its_text() -> None:
    custom = ToolUse(id="t1", name="say", arguments="x = 1", custom=True)
    assert written(custom)["content"][0]["input"] == {"input": "x = 1"}


def test_a_broken_call_is_told_as_such() -> None:
    assert written(call("t1", '{"q":'), stop="max_tokens")["content"][0]["input"] == {"INVALID_JSON": '{"q":'}


def test_only_text_that_is_broken_is_unwrapped() -> None:
    for value in (
        {"INVALID_JSON": "{}"},
        {"INVALID_JSON": 1},
        {"INVALID_JSON": " "},
        {"INVALID_JSON": "x", "b": 1},
    ):
        block = {"type": "tool_use", "id": "t", "name": "n", "input": value}
        (again,) = back([block])
        assert isinstance(again, ToolUse)
        assert json.loads(again.arguments) == value


def test_own_blocks_are_kept() -> None:
    data = {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}}
    assert written(ServerBlock(dialect=DIALECT, data=data))["content"] == [data]
