"""Conversations of several rounds: signatures, calls and their results."""

import pytest

from gateway.inference.dialects.google.contents import UNSIGNED
from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Message,
    Text,
    Thinking,
    ToolUse,
)
from kit.errors import InvalidRequest
from tests.gateway.inference.dialects.google.builders import (
    SECOND,
    USER,
    answer,
    ask,
    body,
    call,
    decoded,
    encoded,
    result,
    said,
    told,
)

PNG = Image(source=Inline(media_type="image/png", data="aWs="))
ANSWERS = (
    answer({"text": "Hm", "thought": True, "thoughtSignature": "YQ=="}, {"text": "Yes"}),
    answer({"text": "Yes", "thoughtSignature": "YQ=="}),
    answer({"text": "Yes"}, {"text": "", "thoughtSignature": "YQ=="}),
    answer({"text": "One", "thoughtSignature": "YQ=="}, {"text": "Two", "thoughtSignature": "Yg=="}),
    answer(
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "YQ=="},
        {"functionCall": {"name": "f", "args": {"a": 2}}},
    ),
    answer({"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "YQ=="}),
    answer({"inlineData": {"mimeType": "image/png", "data": "aWs="}, "thoughtSignature": "YQ=="}),
    answer({"toolCall": {"toolType": "FILE_SEARCH", "id": "i"}, "thoughtSignature": "YQ=="}),
)


@pytest.mark.parametrize("given", ANSWERS)
def test_parts_come_back_with_their_signatures(given: dict[str, object]) -> None:
    choice = decoded(given).choices[0]
    contents = body(ask(USER, Message(role="assistant", content=choice.content)))["contents"]
    assert contents[1] == given["candidates"][0]["content"]  # type: ignore[index]


def test_signatures_of_texts_find_their_text_after_a_client_moved_them() -> None:
    """OpenAI Chat has thoughts before the text, and keeps neither of our notes on the form."""
    streamed: list[Block] = [Text(text="Yes"), HiddenThinking(data="ZW5k", origin="google")]
    for blocks in (streamed, streamed[::-1]):
        assert body(ask(USER, said(*blocks)))["contents"][1]["parts"] == [
            {"text": "Yes"},
            {"text": "", "thoughtSignature": "ZW5k"},
        ]
    signed: list[Block] = [HiddenThinking(data="next:YQ==", origin="google"), call("c"), Text(text="Yes")]
    assert body(ask(USER, said(*signed)), SECOND)["contents"][1]["parts"] == [
        {"functionCall": {"id": "c", "name": "f", "args": {}}},
        {"text": "Yes", "thoughtSignature": "YQ=="},
    ]
    alone = said(HiddenThinking(data="next:YQ==", origin="google"))
    assert body(ask(USER, alone))["contents"][1]["parts"] == [{"text": "", "thoughtSignature": "YQ=="}]


def test_the_first_call_of_each_step_is_signed() -> None:
    request = ask(
        USER,
        said(Text(text="a")),
        said(call("c1"), call("c2")),
        told(result("c1"), result("c2")),
        said(call("c3", signature="c2ln")),
        told(result("c3")),
        said(call("c4")),
        told(result("c4")),
    )
    steps = [content["parts"] for content in body(request)["contents"] if content["role"] == "model"]
    signatures = [[part.get("thoughtSignature") for part in step] for step in steps]
    assert signatures == [[None, UNSIGNED, None], ["c2ln"], [UNSIGNED]]
    second = body(request, SECOND)["contents"]
    assert not any(part.get("thoughtSignature") == UNSIGNED for found in second for part in found["parts"])


def test_thoughts_of_others_are_left_out_by_name() -> None:
    thoughts: list[Block] = [
        Thinking(text="hm", origin="anthropic", signature="s"),
        HiddenThinking(data="x", origin="openai-responses"),
        Thinking(text="own", origin="google", signature="YQ=="),
        Text(text="Yes"),
    ]
    found = encoded(ask(USER, said(*thoughts)))
    assert found.body["contents"][1]["parts"] == [
        {"text": "own", "thought": True, "thoughtSignature": "YQ=="},
        {"text": "Yes"},
    ]
    assert found.dropped == ("messages[1].content[0]", "messages[1].content[1]")


def test_a_message_of_which_nothing_is_left_is_no_content() -> None:
    request = ask(USER, said(Thinking(text="hm", origin="anthropic")), told(), said(), told(Text(text="b")))
    assert [content["role"] for content in body(request)["contents"]] == ["user", "user"]


def test_results_go_together_in_the_order_of_their_calls() -> None:
    """OpenAI Chat has one message for each result, in any order."""
    request = ask(
        USER,
        said(call("a", "f"), call("b", "g"), call("c", "f")),
        told(result("c", Text(text="3"))),
        told(result("a", Text(text="1"))),
        told(result("b", Text(text="2"), is_error=True), Text(text="and now?")),
    )
    assert body(request)["contents"][2:] == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"output": "1"}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"error": "2"}}},
                {"functionResponse": {"id": "c", "name": "f", "response": {"output": "3"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and now?"}]},
    ]


def test_calls_without_ids_get_the_same_ones_every_time() -> None:
    parts = [{"functionCall": {"name": "f", "args": {}}} for _ in range(3)]
    ids = [block.id for block in decoded(answer(*parts)).choices[0].content if isinstance(block, ToolUse)]
    assert len(set(ids)) == 3
    assert ids == [
        block.id for block in decoded(answer(*parts)).choices[0].content if isinstance(block, ToolUse)
    ]
    other = decoded(answer(*parts) | {"responseId": "r2"}).choices[0].content
    assert not {block.id for block in other if isinstance(block, ToolUse)} & set(ids)


def test_ids_that_google_never_saw_are_not_sent_back_to_it() -> None:
    """Then only the order tells results of one function apart."""
    first, second = (
        decoded(
            answer({"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}}})
        )
        .choices[0]
        .content
    )
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    request = ask(
        USER,
        said(first, second),
        told(result(second.id, Text(text="2")), result(first.id, Text(text="1"))),
    )
    contents = body(request, SECOND)["contents"]
    assert contents[1]["parts"][0] == {"functionCall": {"name": "f", "args": {}}}
    assert contents[2]["parts"] == [
        {"functionResponse": {"name": "f", "response": {"output": "1"}}},
        {"functionResponse": {"name": "f", "response": {"output": "2"}}},
    ]


def test_a_result_of_no_call_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        body(ask(USER, told(result("nobody"))))
    assert refused.value.param == "messages[1].content[0].tool_use_id"


def test_images_in_results() -> None:
    linked = Image(source=Linked(url="https://example.com/b.png"))
    request = ask(
        USER,
        said(call("a", "f", signature="c2ln"), call("b", "g")),
        told(result("a", Text(text="see"), PNG, linked)),
        told(result("b")),
    )
    inline = {"inlineData": {"mimeType": "image/png", "data": "aWs="}}
    file = {"fileData": {"fileUri": "https://example.com/b.png", "mimeType": "image/png"}}
    response = {"id": "a", "name": "f", "response": {"output": "see"}}
    other = {"functionResponse": {"id": "b", "name": "g", "response": {"output": "ok"}}}
    assert body(request)["contents"][2:] == [
        {"role": "user", "parts": [{"functionResponse": {**response, "parts": [inline]}}, other]},
        {"role": "user", "parts": [{"text": "Result of f:"}, file]},
    ]
    assert body(request, SECOND)["contents"][2:] == [
        {"role": "user", "parts": [{"functionResponse": response}, other]},
        {"role": "user", "parts": [{"text": "Result of f:"}, inline, file]},
    ]


@pytest.mark.parametrize(
    ("use", "args"),
    [
        (call("c", arguments=""), {}),
        (call("c", arguments=" "), {}),
        (call("c", arguments='{"a": [1.5, null]}'), {"a": [1.5, None]}),
        (call("c", arguments='{"a": '), {"input": '{"a": '}),
        (call("c", arguments="[1]"), {"input": "[1]"}),
        (ToolUse(id="c", name="f", arguments="ls -l", custom=True), {"input": "ls -l"}),
    ],
)
def test_arguments(use: ToolUse, args: dict[str, object]) -> None:
    assert body(ask(USER, said(use)))["contents"][1]["parts"][0]["functionCall"]["args"] == args


def test_empty_results_and_texts() -> None:
    empty = result("c")
    empty.content = []
    request = ask(told(Text(text="")), said(call("c")), told(empty), said(Text(text="")))
    contents = body(request)["contents"]
    assert contents[0]["parts"] == contents[3]["parts"] == [{"text": ""}]
    assert contents[2]["parts"][0]["functionResponse"]["response"] == {"output": ""}


def test_a_part_that_was_tampered_with_is_left_out_by_name() -> None:
    for data in ("part:{", "part:[]"):
        found = encoded(ask(USER, said(HiddenThinking(data=data, origin="google"))))
        assert len(found.body["contents"]) == 1
        assert found.dropped == ("messages[1].content[0]",)
