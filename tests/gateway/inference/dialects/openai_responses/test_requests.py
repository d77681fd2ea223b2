"""Requests in the neutral form."""

from gateway.inference.dialects.codec import left_out
from gateway.inference.dialects.neutral import (
    Document,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    OutputFormat,
    ServerBlock,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Uploaded,
)
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    request,
    round_trip,
    user,
)
from tests.gateway.inference.dialects.openai_responses.items import CALL, CUSTOM, FUNCTION, REASONING


def test_what_the_model_did_in_between_is_one_message_and_results_are_another() -> None:
    read = CODEC.decode_request(
        request(
            {"role": "developer", "content": "Be kind."},
            user("Weather?"),
            REASONING,
            {"role": "assistant", "content": "Let me see."},
            {**CALL, "id": "fc_1"},
            {**CALL, "call_id": "c2"},
            {"type": "function_call_output", "call_id": "c2", "output": "rain"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            user("And?"),
            instructions="Be brief.",
        )
    )
    assert [text.text for text in read.system] == ["Be brief.", "Be kind."]
    assert [message.role for message in read.messages] == ["user", "assistant", "user", "user"]
    assert [type(block) for block in read.messages[1].content] == [Thinking, Text, ToolUse, ToolUse]
    thought, said, call, _ = read.messages[1].content
    assert isinstance(thought, Thinking)
    assert isinstance(said, Text)
    assert isinstance(call, ToolUse)
    assert (thought.text, thought.origin) == ("One\n\nTwo\n\nThree", NAME)
    assert (call.id, call.name, call.arguments, call.item_id) == ("c1", "f", '{"a": 1}', "fc_1")
    assert read.messages[2].content == [
        ToolResult(tool_use_id="c2", content=[Text(text="rain")]),
        ToolResult(tool_use_id="c1", content=[Text(text="sun")]),
    ]


def test_media_are_found_where_they_are() -> None:
    read = CODEC.decode_request(
        request(
            user(
                [
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
                    {"type": "input_image", "image_url": "https://a/b.png"},
                    {"type": "input_file", "file_data": "JVBE", "filename": "a.pdf"},
                    {"type": "input_file", "file_id": "file-2"},
                ]
            )
        )
    )
    image, linked, document, uploaded = read.messages[0].content
    assert image == Image(source=Inline(media_type="image/png", data="iVBO"), detail="low")
    assert linked == Image(source=Linked(url="https://a/b.png"))
    assert isinstance(document, Document)
    assert (document.source, document.title) == (Inline(media_type="application/pdf", data="JVBE"), "a.pdf")
    assert uploaded == Document(source=Uploaded(dialect=NAME, file_id="file-2"))


def test_settings_have_their_neutral_form() -> None:
    read = CODEC.decode_request(
        request(
            user(),
            tools=[FUNCTION, CUSTOM, {"type": "web_search"}, {"type": "code_interpreter", "container": "c"}],
            tool_choice={
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
            parallel_tool_calls=False,
            max_output_tokens=9,
            reasoning={"effort": "low", "summary": "auto"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}},
            include=["message.output_text.logprobs"],
            top_logprobs=2,
            user="u",
            service_tier="flex",
            stream=True,
        )
    )
    function, custom, search, code = read.tools
    assert isinstance(function, Tool)
    assert (function.name, function.strict) == ("f", True)
    assert isinstance(custom, Tool)
    assert custom.custom
    assert isinstance(search, ServerTool)
    assert isinstance(code, ServerTool)
    assert (search.kind, code.kind) == ("web_search", "code_execution")
    assert read.tool_choice == ToolChoice(mode="any", allowed=["f"])
    assert (read.parallel_tools, read.max_tokens, read.stream) == (False, 9, True)
    assert read.reasoning is not None
    assert (read.reasoning.effort, read.reasoning.show) == ("low", True)
    assert read.output == OutputFormat(name="n", schema={"a": 1}, strict=True)
    assert (read.logprobs, read.top_logprobs, read.user, read.service_tier) == (True, 2, "u", "flex")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    body = round_trip(request(user(), {**CALL, "arguments": ""}))
    assert body["input"][1]["arguments"] == "{}"


def test_state_that_only_openai_has_is_essential() -> None:
    read = CODEC.decode_request(
        request(user(), {"id": "msg_1"}, previous_response_id="r", prompt=None, store=True)
    )
    assert read.extra is not None
    assert read.extra.essential == ["previous_response_id", "input[1] (item_reference)"]
    assert any(isinstance(block, ServerBlock) for message in read.messages for block in message.content)


def test_an_empty_reasoning_item_is_hidden_thinking() -> None:
    read = CODEC.decode_request(
        request(user(), {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g"})
    )
    assert read.messages[1].content == [HiddenThinking(data="g", origin=NAME, item_id="rs_1")]


def test_other_dialects_are_told_only_of_what_they_miss() -> None:
    read = CODEC.decode_request(
        request(
            user([{"type": "input_text", "text": "x"}]),
            {"role": "assistant", "content": [{"type": "output_text", "text": "y", "annotations": []}]},
            tools=[],
            include=["reasoning.encrypted_content"],
            text={"format": {"type": "text"}},
            reasoning={"summary": "auto"},
            tool_choice={"type": "web_search_preview"},
            stream=False,
            store=True,
            user="u",
        )
    )
    said = read.messages[1].content[0]
    assert isinstance(said, Text)
    assert left_out(said.extra, "anthropic") == left_out(read.messages[0].extra, "anthropic") == ()
    assert read.tool_choice is not None
    assert left_out(read.tool_choice.extra, "anthropic") == ()
    assert read.reasoning is not None
    assert read.reasoning.extra is None
    assert left_out(read.extra, "anthropic") == ("store",)
