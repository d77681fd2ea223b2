"""Conversations of other dialects: parts, calls, results, answers."""

from gateway.inference.dialects.neutral import (
    Citation,
    Document,
    Image,
    Inline,
    Linked,
    Message,
    PlainText,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Uploaded,
)
from tests.gateway.inference.dialects.openai_responses.asking import (
    PIXELS,
    asks,
    body,
    says,
)
from tests.gateway.inference.dialects.openai_responses.exchange import neutral


def test_a_plain_question() -> None:
    asked = neutral(system=[Text(text="A"), Text(text="B")], max_tokens=9, temperature=0.5, top_p=0.9)
    assert body(asked) == {
        "model": "gpt-x",
        "instructions": "A\n\nB",
        "input": [{"role": "user", "content": "Hi"}],
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "store": False,
    }


def test_instructions_in_the_middle_have_the_role_that_the_provider_knows() -> None:
    asked = neutral(Message(role="system", content=[Text(text="Now so.")]))
    assert body(asked)["input"] == [{"role": "developer", "content": "Now so."}]
    assert body(asked, system_role="system")["input"][0]["role"] == "system"


def test_parts_of_a_question() -> None:
    asked = asks(
        Text(text="Look:"),
        Image(source=PIXELS, detail="high"),
        Image(source=Linked(url="https://a/b.png")),
        Document(source=Inline(media_type="application/pdf", data="JVBE"), title="Report"),
        Document(source=Linked(url="https://a/b.pdf")),
        Document(source=PlainText(text="Hm"), title="n.txt", context="An aside."),
        Document(source=Uploaded(dialect="openai-chat", file_id="file-1")),
    )
    assert body(asked)["input"][0]["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "high"},
        {"type": "input_image", "image_url": "https://a/b.png"},
        {"type": "input_file", "filename": "Report.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"type": "input_file", "file_url": "https://a/b.pdf"},
        {"type": "input_text", "text": "An aside."},
        {"type": "input_file", "filename": "n.txt", "file_data": "data:text/plain;base64,SG0="},
        {"type": "input_file", "file_id": "file-1"},
    ]


def test_an_answer_of_which_nothing_can_be_carried_leaves_no_item() -> None:
    asked = says(Thinking(text="Hm", origin="anthropic", signature="s"))
    assert body(asked)["input"] == []


def test_calls_and_their_results_in_any_order_with_images() -> None:
    asked = neutral(
        Message(
            role="assistant",
            content=[
                Text(text="Both."),
                ToolUse(id="toolu_1", name="f", arguments='{"a":1}'),
                ToolUse(id="toolu_2", name="g", arguments=""),
            ],
        ),
        Message(
            role="user",
            content=[
                ToolResult(tool_use_id="toolu_2", content=[Text(text="see"), Image(source=PIXELS)]),
                ToolResult(tool_use_id="toolu_1", content=[]),
                Text(text="Go on."),
            ],
        ),
    )
    assert body(asked)["input"] == [
        {"role": "assistant", "content": "Both."},
        {"type": "function_call", "call_id": "toolu_1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "toolu_2", "name": "g", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "toolu_2",
            "output": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO"},
            ],
        },
        {"type": "function_call_output", "call_id": "toolu_1", "output": ""},
        {"role": "user", "content": "Go on."},
    ]


def test_ids_that_are_too_long_fit_in_call_and_result() -> None:
    long = "x" * 65
    asked = neutral(
        Message(role="assistant", content=[ToolUse(id=long, name="f", arguments="{}")]),
        Message(role="user", content=[ToolResult(tool_use_id=long, content=[Text(text="ok")])]),
    )
    call, result = body(asked)["input"]
    assert call["call_id"] == result["call_id"]
    assert len(call["call_id"]) <= 64
    assert len(body(asked, tool_id_length=9)["input"][0]["call_id"]) == 9


def test_results_of_free_text_calls_are_such_even_if_they_do_not_say() -> None:
    asked = neutral(
        Message(role="assistant", content=[ToolUse(id="c", name="sh", arguments="ls", custom=True)]),
        Message(role="user", content=[ToolResult(tool_use_id="c", content=[Text(text="a.txt")])]),
    )
    assert [item["type"] for item in body(asked)["input"]] == ["custom_tool_call", "custom_tool_call_output"]


def test_texts_and_refusals_of_the_assistant() -> None:
    cited = Text(text="Sun.", citations=[Citation(dialect="anthropic", data={}, url="https://w", title="W")])
    assert body(says(Text(text="So:"), cited, Refusal(text="No.")))["input"] == [
        {
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "So:", "annotations": []},
                {
                    "type": "output_text",
                    "text": "Sun.",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url": "https://w",
                            "title": "W",
                            "start_index": 0,
                            "end_index": 4,
                        }
                    ],
                },
                {"type": "refusal", "refusal": "No."},
            ],
        }
    ]
