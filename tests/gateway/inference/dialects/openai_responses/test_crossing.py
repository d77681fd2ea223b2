"""Requests of other dialects for a model of this one: all that can be carried is, the rest is named."""

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Cache,
    Citation,
    Document,
    Extra,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Message,
    OutputFormat,
    PlainText,
    Reasoning,
    Refusal,
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
from tests.gateway.inference.dialects.openai_responses.exchange import CODEC, NAME, TARGET, neutral

PIXELS = Inline(media_type="image/png", data="iVBO")
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def body(asked: Request, **quirks: Any) -> dict[str, Any]:
    return CODEC.encode_request(asked, replace_quirks(**quirks)).body


def replace_quirks(**quirks: Any) -> Target:
    return Target("p", "gpt-x", NAME, Quirks(**quirks))


def dropped(asked: Request) -> tuple[str, ...]:
    return CODEC.encode_request(asked, TARGET).dropped


def asks(*content: Block) -> Request:
    return neutral(Message(role="user", content=list(content)))


def says(*content: Block) -> Request:
    return neutral(Message(role="assistant", content=list(content)))


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


def test_tools_are_never_strict_by_silence() -> None:
    asked = neutral(tools=[Tool(name="f", description="d", schema=SCHEMA), Tool(name="g", strict=True)])
    assert body(asked)["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
        {
            "type": "function",
            "name": "g",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
    ]


def test_tools_of_the_server_with_a_counterpart() -> None:
    search = ServerTool(
        dialect="anthropic",
        kind="web_search",
        data={
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a.org"],
            "user_location": {"type": "approximate", "city": "Oslo"},
        },
    )
    code = ServerTool(dialect="google", kind="code_execution", data={"codeExecution": {}})
    assert body(neutral(tools=[search, code]))["tools"] == [
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["a.org"]},
            "user_location": {"type": "approximate", "city": "Oslo"},
        },
        {"type": "code_interpreter", "container": {"type": "auto"}},
    ]
    forced = neutral(tools=[search], tool_choice=ToolChoice(mode="tool", tool="web_search"))
    assert body(forced)["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "web_search"}],
    }


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="any"), "required"),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="tool", tool="f"), {"type": "function", "name": "f"}),
        (ToolChoice(mode="tool", tool="sh"), {"type": "custom", "name": "sh"}),
        (
            ToolChoice(mode="any", allowed=["f", "sh"]),
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "sh"}],
            },
        ),
    ],
)
def test_choices_of_tools(choice: ToolChoice, written: Any) -> None:
    tools: Any = [Tool(name="f"), Tool(name="sh", custom=True)]
    asked = neutral(tools=tools, tool_choice=choice, parallel_tools=False)
    assert body(asked)["tool_choice"] == written
    assert body(asked)["parallel_tool_calls"] is False
    if choice.mode == "any" and choice.allowed is None:
        assert body(asked, tool_choice_any="any")["tool_choice"] == "any"


def test_a_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in body(neutral(tool_choice=ToolChoice(mode="auto")))


@pytest.mark.parametrize(
    ("reasoning", "written"),
    [
        (Reasoning(effort="xhigh"), {"effort": "xhigh"}),
        (Reasoning(effort="none", enabled=False), {"effort": "none"}),
        (Reasoning(enabled=True, budget_tokens=1024, show=True), {"effort": "low", "summary": "auto"}),
        (Reasoning(enabled=True, budget_tokens=10_000), {"effort": "medium"}),
        (Reasoning(budget_tokens=32_000), {"effort": "high"}),
        (Reasoning(adaptive=True, show=True), {"summary": "auto"}),
        (Reasoning(adaptive=True), None),
        (Reasoning(enabled=False, budget_tokens=5), None),
    ],
)
def test_how_much_to_think(reasoning: Reasoning, written: Any) -> None:
    assert body(neutral(reasoning=reasoning)).get("reasoning") == written


def test_thoughts_are_asked_for_in_the_form_that_can_be_replayed() -> None:
    assert body(neutral(reasoning=Reasoning(effort="low")))["include"] == ["reasoning.encrypted_content"]
    assert body(neutral(), replays_reasoning=True)["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body(neutral())


@pytest.mark.parametrize(
    ("output", "written"),
    [
        (OutputFormat(), {"type": "json_object"}),
        (
            OutputFormat(schema=SCHEMA),
            {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True},
        ),
        (
            OutputFormat(schema={"type": "object"}, name="n", description="d"),
            {
                "type": "json_schema",
                "name": "n",
                "schema": {"type": "object"},
                "description": "d",
                "strict": False,
            },
        ),
        (
            OutputFormat(schema={"$defs": {"x": {"type": "object"}}, "anyOf": [SCHEMA]}, strict=True),
            {
                "type": "json_schema",
                "name": "answer",
                "schema": {"$defs": {"x": {"type": "object"}}, "anyOf": [SCHEMA]},
                "strict": True,
            },
        ),
    ],
)
def test_structured_output(output: OutputFormat, written: Any) -> None:
    assert body(neutral(output=output))["text"] == {"format": written}


def test_a_schema_that_strict_does_not_take_is_not_strict() -> None:
    loose: list[dict[str, Any]] = [
        {**SCHEMA, "required": []},
        {**SCHEMA, "properties": {"a": {"type": "object"}}},
        {"$defs": {"x": {"type": "object"}}, **SCHEMA},
        {"oneOf": [SCHEMA]},
        {**SCHEMA, "properties": []},
        {**SCHEMA, "required": "a"},
    ]
    for schema in loose:
        assert body(neutral(output=OutputFormat(schema=schema)))["text"]["format"]["strict"] is False


def test_logprobs_users_and_tiers() -> None:
    asked = neutral(logprobs=True, top_logprobs=4, user="u", service_tier="standard_only", stream=True)
    written = body(asked)
    assert written["include"] == ["message.output_text.logprobs"]
    assert (written["top_logprobs"], written["safety_identifier"]) == (4, "u")
    assert (written["service_tier"], written["stream"]) == ("default", True)


def test_what_openai_chat_has_too_is_taken_over() -> None:
    chat = {"metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k", "verbosity": "low", "odd": 1}
    written = CODEC.encode_request(neutral(extra=Extra(dialect="openai-chat", fields=chat)), TARGET)
    assert written.body["metadata"] == {"a": "b"}
    assert (written.body["store"], written.body["prompt_cache_key"]) == (True, "k")
    assert written.body["text"] == {"verbosity": "low"}
    assert written.dropped == ("extra.odd",)


def test_the_grammar_of_a_tool_of_openai_chat_is_carried() -> None:
    given = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s"}}
    tool = Tool(name="sh", custom=True, extra=Extra(dialect="openai-chat", fields={"format": given}))
    written = CODEC.encode_request(neutral(tools=[tool]), TARGET)
    carried = {"type": "grammar", "syntax": "lark", "definition": "s"}
    assert written.body["tools"] == [{"type": "custom", "name": "sh", "format": carried}]
    assert written.dropped == ()


def test_changes_to_a_decoded_request_are_written() -> None:
    read = CODEC.decode_request({"model": "m", "input": "Hi", "stream": False, "user": "a"})
    written = CODEC.encode_request(replace(read, stream=True, user="b", max_tokens=7), TARGET).body
    assert (written["stream"], written["max_output_tokens"]) == (True, 7)
    assert written["user"] == "b"
