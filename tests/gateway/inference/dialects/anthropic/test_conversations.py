"""The order of turns that the API insists on, whatever order another dialect's history has."""

from typing import Any

import pytest

from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.neutral import (
    Extra,
    Image,
    Inline,
    Message,
    ServerBlock,
    Text,
    Thinking,
    ToolResult,
)
from kit.errors import InvalidRequest
from tests.gateway.inference.dialects.anthropic.made import (
    SONNET_4_5,
    asking,
    assistant,
    call,
    dropped,
    result,
    sent,
    user,
)

OPUS_4_8 = "claude-opus-4-8"


def turns(*messages: Message, model: str = "claude-opus-5") -> list[tuple[str, list[str]]]:
    """Of each message the role and what its blocks are."""
    sent_ = sent(asking(*messages), model)["messages"]
    return [(message["role"], [_told(block) for block in message["content"]]) for message in sent_]


def _told(block: dict[str, Any]) -> str:
    kind = block["type"]
    return str(
        block["text"]
        if kind == "text"
        else f"{kind} {block.get('id') or block.get('tool_use_id') or ''}".strip()
    )


def instruct(text: str) -> Message:
    return Message(role="system", content=[Text(text=text)])


def test_results_of_parallel_calls_come_together_in_one_message() -> None:
    assert turns(
        user("a"),
        assistant("I look.", call("t1"), call("t2"), call("t3")),
        user(result("t3")),
        user(result("t1")),
        user(result("t2")),
        user("and?"),
    ) == [
        ("user", ["a"]),
        ("assistant", ["I look.", "tool_use t1", "tool_use t2", "tool_use t3"]),
        ("user", ["tool_result t1", "tool_result t2", "tool_result t3", "and?"]),
    ]


def test_results_come_before_words() -> None:
    assert turns(user("a"), assistant(call("t1")), user("by the way", result("t1"))) == [
        ("user", ["a"]),
        ("assistant", ["tool_use t1"]),
        ("user", ["tool_result t1", "by the way"]),
    ]


def test_calls_in_several_messages_are_answered_after_the_last() -> None:
    assert turns(
        user("a"), assistant(call("t1")), assistant(call("t2")), user(result("t2")), user(result("t1"))
    ) == [
        ("user", ["a"]),
        ("assistant", ["tool_use t1"]),
        ("assistant", ["tool_use t2"]),
        ("user", ["tool_result t1", "tool_result t2"]),
    ]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    messages = (user("a"), assistant(call("t1"), call("t2")), user(result("t2"), "never mind"))
    assert turns(*messages)[2] == ("user", ["tool_result t1", "tool_result t2", "never mind"])
    missing = sent(asking(*messages))["messages"][2]["content"][0]
    assert missing["is_error"] is True
    assert dropped(asking(*messages)) == ("messages[1].content",)


def test_an_instruction_between_call_and_result_waits() -> None:
    messages = (user("a"), assistant(call("t1")), instruct("Be brief."), user(result("t1")))
    assert turns(*messages, model=OPUS_4_8) == [
        ("user", ["a"]),
        ("assistant", ["tool_use t1"]),
        ("user", ["tool_result t1"]),
        ("system", ["Be brief."]),
    ]


def test_an_instruction_on_the_way_goes_to_the_start_where_the_model_takes_none() -> None:
    request = asking(
        user("a"), assistant("b"), instruct("Be brief."), user("c"), system=[Text(text="Be kind.")]
    )
    body = sent(request, SONNET_4_5)
    assert [block["text"] for block in body["system"]] == ["Be kind.", "Be brief."]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert dropped(request, SONNET_4_5) == ("messages[2].role",)


def test_changes_of_tools_stay_where_they_are() -> None:
    addition = ServerBlock(dialect=DIALECT, data={"type": "tool_addition", "tool": {}})
    message = Message(role="system", content=[addition])
    assert sent(asking(user("a"), message), SONNET_4_5)["messages"][1]["role"] == "system"


def test_the_same_id_twice_in_a_turn() -> None:
    body = sent(
        asking(
            user("a"),
            assistant(call("look"), call("look")),
            user(result("look", "one"), result("look", "two")),
            assistant(call("look")),
            user(result("look", "three")),
        )
    )
    first, second = (block["id"] for block in body["messages"][1]["content"])
    assert first == "look" != second
    answers = body["messages"][2]["content"]
    assert [block["tool_use_id"] for block in answers] == [first, second]
    assert [block["content"][0]["text"] for block in answers] == ["one", "two"]
    assert body["messages"][3]["content"][0]["id"] == "look"
    assert body["messages"][4]["content"][0]["tool_use_id"] == "look"


def test_an_image_in_a_result() -> None:
    shot = Image(source=Inline(media_type="image/png", data="AA=="))
    body = sent(asking(user("a"), assistant(call("t1")), user(result("t1", "see", shot))))
    assert body["messages"][2]["content"][0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
    ]


def test_an_image_that_a_model_drew_is_shown_by_the_user() -> None:
    drawn = Image(source=Inline(media_type="image/png", data="AA=="))
    assert turns(user("draw"), assistant("Here.", drawn), user("more")) == [
        ("user", ["draw"]),
        ("assistant", ["Here."]),
        ("user", ["image", "more"]),
    ]


def test_empty_content() -> None:
    messages = (user("a"), assistant(""), user("b", ""), assistant(call("t1")), user(result("t1", "")))
    assert turns(*messages) == [
        ("user", ["a"]),
        ("user", ["b"]),
        ("assistant", ["tool_use t1"]),
        ("user", ["tool_result t1"]),
    ]
    assert sent(asking(*messages))["messages"][-1]["content"][0]["content"] == []
    assert dropped(asking(*messages)) == ("messages[1]",)


def test_a_conversation_in_which_nobody_says_anything() -> None:
    with pytest.raises(InvalidRequest, match="messages"):
        sent(asking(user("  ")))


def test_a_result_without_content_stays_so() -> None:
    bare = ToolResult(
        tool_use_id="t1", content=[], extra=Extra(dialect=DIALECT, fields={"_content": "absent"})
    )
    body = sent(asking(user("a"), assistant(call("t1")), user(bare)))
    assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "t1"}]


def test_arguments() -> None:
    texts = ["", "  ", '{"q":"ä"}', '{"q":', "[1]", "null"]
    calls = [call(f"t{number}", text) for number, text in enumerate(texts)]
    results = [result(f"t{number}") for number in range(len(texts))]
    body = sent(asking(user("a"), assistant(*calls), user(*results)))
    assert [block["input"] for block in body["messages"][1]["content"]] == [
        {},
        {},
        {"q": "ä"},
        {"INVALID_JSON": '{"q":'},
        {"INVALID_JSON": "[1]"},
        {"INVALID_JSON": "null"},
    ]


def test_a_free_form_call() -> None:
    body = sent(asking(user("a"), assistant(call("t1", 'say "hi"', custom=True)), user(result("t1"))))
    assert body["messages"][1]["content"][0]["input"] == {"input": 'say "hi"'}


def test_thoughts_of_others_stay_away() -> None:
    messages = (
        user("a"),
        assistant(
            Thinking(text="hm", origin="openai-responses", signature="x"),
            Thinking(text="hm", origin="anthropic"),
            Thinking(text="hm", origin="anthropic", signature="sig"),
            "b",
        ),
        user("c"),
    )
    assert sent(asking(*messages))["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "b"},
    ]
    assert dropped(asking(*messages)) == ("messages[1].content[0]", "messages[1].content[1]")
