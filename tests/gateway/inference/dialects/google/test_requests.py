"""Requests: what every field becomes, what is refused, what is left out by name."""

import base64
from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Audio,
    Cache,
    Citation,
    Document,
    Extra,
    Image,
    Inline,
    Linked,
    Message,
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
from tests.gateway.inference.dialects.google.builders import (
    CODEC,
    SECOND,
    THIRD,
    again,
    ask,
    body,
    encoded,
    said,
    told,
)
from tests.gateway.inference.dialects.google.normal import normal_request

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
FUNCTION = Tool(name="f", description="does", schema=SCHEMA)
EVERYTHING: dict[str, Any] = {
    "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Look"},
                {"inlineData": {"mimeType": "image/png", "data": "aWs="}},
                {"inlineData": {"mimeType": "application/pdf", "data": "aWs=", "displayName": "a.pdf"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "aWs="}},
                {"inlineData": {"mimeType": "audio/mpeg", "data": "aWs="}},
                {"inlineData": {"mimeType": "video/mp4", "data": "aWs="}, "videoMetadata": {"fps": 0.5}},
                {"fileData": {"fileUri": "https://example.com/a.png"}},
                {"fileData": {"fileUri": "gs://bucket/b.mp4", "mimeType": "video/mp4"}},
                {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Hm", "thought": True, "thoughtSignature": "c2ln"},
                {"text": "I see", "thoughtSignature": "dGV4dA=="},
                {"functionCall": {"name": "f", "args": {"city": "Rome"}}, "thoughtSignature": "Y2FsbA=="},
                {"functionCall": {"id": "c2", "name": "g", "args": {}}},
                {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "Y29kZQ=="},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s"}, "thoughtSignature": "dG9vbA=="},
                {"text": "", "thoughtSignature": "ZW5k"},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"temperature": 20}}},
                {
                    "functionResponse": {
                        "id": "c2",
                        "name": "g",
                        "response": {"output": "seen"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aWs="}}],
                        "scheduling": "SILENT",
                    }
                },
            ],
        },
        {"role": "user", "parts": [{"text": "Go on", "partMetadata": {"a": 1}}]},
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does", "parametersJsonSchema": SCHEMA},
                {"name": "g", "parameters": {"type": "OBJECT", "properties": {
                    "n": {"type": "INTEGER", "nullable": True, "description": "how many"}}}},
                {"name": "h", "behavior": "BLOCKING"},
            ]
        },
        {"googleSearch": {}},
        {"urlContext": {}},
        {"codeExecution": {}},
        {"fileSearch": {"fileSearchStoreNames": ["a"]}},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
        "retrievalConfig": {"languageCode": "de"},
        "includeServerSideToolInvocations": True,
    },
    "generationConfig": {
        "maxOutputTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "responseModalities": ["TEXT"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/1",
    "labels": {"team": "a"},
    "serviceTier": "flex",
    "aFieldOfTomorrow": {"x": 1},
}  # fmt: skip


def test_everything_survives() -> None:
    assert normal_request(again(EVERYTHING)) == normal_request(EVERYTHING)


def test_snake_case_says_the_same() -> None:
    request = {
        "contents": [
            {"parts": [{"inline_data": {"mime_type": "image/png", "data": "aWs="}}]},
            {
                "role": "model",
                "parts": [{"function_call": {"name": "f", "args": {}}, "thought_signature": "c2ln"}],
            },
            {"role": "function", "parts": [{"function_response": {"name": "f", "response": {}}}]},
        ],
        "system_instruction": {"parts": [{"text": "s"}]},
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": SCHEMA}]}],
        "tool_config": {"function_calling_config": {"mode": "AUTO", "allowed_function_names": []}},
        "generation_config": {
            "max_output_tokens": 5.0,
            "thinking_config": {"thinking_budget": 0, "include_thoughts": False},
        },
    }
    assert normal_request(again(request)) == normal_request(
        request | {"tool_config": {"function_calling_config": {"mode": "AUTO"}}}
    )
    assert CODEC.decode_request(request).max_tokens == 5


def test_what_others_understand_of_a_request() -> None:
    request = CODEC.decode_request(EVERYTHING)
    assert [text.text for text in request.system] == ["Be brief.", "Be kind."]
    assert [type(block).__name__ for block in request.messages[0].content] == [
        "Text", "Image", "Document", "Audio", "Audio", "Video", "Image", "Video", "Video",
    ]  # fmt: skip
    first, second = request.messages[2].content
    called = [block for block in request.messages[1].content if block.__class__.__name__ == "ToolUse"]
    assert [getattr(block, "tool_use_id", "") for block in (first, second)] == [
        getattr(block, "id", "") for block in called
    ]
    assert [tool.kind for tool in request.tools if isinstance(tool, ServerTool)] == [
        "web_search", "web_fetch", "code_execution", "fileSearch",
    ]  # fmt: skip
    functions = [tool for tool in request.tools if isinstance(tool, Tool)]
    assert functions[1].schema == {
        "type": "object",
        "properties": {"n": {"type": ["integer", "null"], "description": "how many"}},
    }
    assert (request.choices, request.logprobs, request.top_logprobs) == (2, True, 3)
    assert request.output is not None
    assert request.output.schema == SCHEMA


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"contents": None}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": "hi"}, "contents"),
        ({"contents": ["hi"]}, "contents[0]"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": {}}]}, "contents[0].parts"),
        ({"contents": [{"parts": ["hi"]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"inlineData": {}}]}]}, "contents[0].parts[0].inlineData.mimeType"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": "x"}}]}]},
            "contents[0].parts[0].functionResponse.response",
        ),
        ({"systemInstruction": "be"}, "systemInstruction"),
        ({"systemInstruction": {"parts": [{}]}}, "systemInstruction.parts[0].text"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "X"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"topK": True}}, "generationConfig.topK"),
        ({"generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        ({"generationConfig": {"candidateCount": -1}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"responseLogprobs": 1}}, "generationConfig.responseLogprobs"),
        (
            {"generationConfig": {"responseMimeType": "application/json", "responseSchema": []}},
            "generationConfig.responseSchema",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": "9"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str) -> None:
    request = {"contents": [{"parts": [{"text": "hi"}]}], **change}
    with pytest.raises(InvalidRequest) as refused:
        CODEC.decode_request(request)
    assert refused.value.param == param
    assert param in refused.value.message


def test_sampling_and_limits() -> None:
    request = ask(
        max_tokens=5, temperature=0.0, top_p=0.5, top_k=3, seed=1, stop=["a"], presence_penalty=0.1,
        frequency_penalty=0.2, choices=2, logprobs=True, top_logprobs=4,
    )  # fmt: skip
    assert body(request)["generationConfig"] == {
        "maxOutputTokens": 5, "temperature": 0.0, "topP": 0.5, "topK": 3, "seed": 1, "stopSequences": ["a"],
        "presencePenalty": 0.1, "frequencyPenalty": 0.2, "candidateCount": 2, "responseLogprobs": True,
        "logprobs": 4,
    }  # fmt: skip


def test_system_messages_in_the_middle_are_marked() -> None:
    request = ask(
        told(Text(text="hi")),
        Message(role="system", content=[Text(text="Now in French.")]),
        system=[Text(text="Be brief.", cache=Cache())],
    )
    found = encoded(request)
    assert found.body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert found.body["contents"][1] == {
        "role": "user",
        "parts": [{"text": "<system>\nNow in French.\n</system>"}],
    }
    assert found.dropped == ("system[0].cache_control",)


def test_instructions_alone_are_what_there_is_to_answer() -> None:
    request = Request(model="m", messages=[], system=[Text(text="Say hello.")])
    assert body(request) == {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}


def test_media() -> None:
    request = ask(
        told(
            Image(source=Inline(media_type="image/png", data="aWs="), detail="high"),
            Image(source=Linked(url="https://example.com/a.jpg")),
            Document(source=PlainText(text="words"), title="t", context="from 1999", citations=True),
            Document(source=Uploaded(dialect="google", file_id="gs://b/c.pdf", media_type="application/pdf")),
            Audio(data="aWs=", format="mp3"),
            Video(source=Linked(url="https://www.youtube.com/watch?v=1")),
        )
    )
    found = encoded(request)
    assert found.body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "aWs="}},
        {"fileData": {"fileUri": "https://example.com/a.jpg", "mimeType": "image/jpeg"}},
        {"text": "from 1999"},
        {"inlineData": {"mimeType": "text/plain", "data": base64.b64encode(b"words").decode()}},
        {"fileData": {"fileUri": "gs://b/c.pdf", "mimeType": "application/pdf"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "aWs="}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1", "mimeType": "video/mp4"}},
    ]
    spot = "messages[0].content"
    assert found.dropped == (f"{spot}[0].detail", f"{spot}[2].title", f"{spot}[2].citations")


def test_media_that_google_cannot_get_is_refused() -> None:
    linked = ask(told(Image(source=Linked(url="https://example.com/a.png"))))
    with pytest.raises(Unsupported) as refused:
        body(linked, image_urls=False)
    assert refused.value.param == "messages[0].content[0].source"
    elsewhere = ask(told(Document(source=Uploaded(dialect="anthropic", file_id="file_1"))))
    with pytest.raises(Unsupported):
        body(elsewhere)
    video = ask(told(Video(source=Linked(url="https://youtu.be/1"))))
    assert body(video, image_urls=False)["contents"]


def test_functions_and_their_schemas() -> None:
    request = ask(tools=[FUNCTION, Tool(name="g", cache=Cache())])
    found = encoded(request)
    assert found.body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
            ]
        }
    ]
    assert found.dropped == ("tools[1].cache_control",)
    narrow = encoded(request, schema_subset="google")
    assert narrow.body["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
    }
    assert "tools[0].schema.additionalProperties" in narrow.dropped


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="any"), {"mode": "ANY"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="tool", tool="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="any", allowed=["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="auto", allowed=["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: ToolChoice, config: dict[str, Any]) -> None:
    found = body(ask(tools=[FUNCTION], tool_choice=choice))
    assert found["toolConfig"] == {"functionCallingConfig": config}


def test_a_choice_that_cannot_be_forced_is_refused() -> None:
    search = ServerTool(dialect="anthropic", kind="web_search", data={"type": "web_search_20250305"})
    for choice in (ToolChoice(mode="tool", tool="web_search"), ToolChoice(mode="any")):
        with pytest.raises(Unsupported) as refused:
            body(ask(tools=[search], tool_choice=choice))
        assert refused.value.param == "tool_choice"
    assert "toolConfig" not in body(ask(tools=[search], tool_choice=ToolChoice(mode="none")))


def test_strict_functions_are_validated() -> None:
    strict = Tool(name="f", schema=SCHEMA, strict=True)
    config = {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert body(ask(tools=[strict]))["toolConfig"] == config
    assert body(ask(tools=[strict], tool_choice=ToolChoice(mode="auto")))["toolConfig"] == config
    assert encoded(ask(tools=[strict]), SECOND).dropped == ("tools[0].strict",)


def test_parallel_calls_cannot_be_switched_off() -> None:
    assert encoded(ask(tools=[FUNCTION], parallel_tools=False)).dropped == ("parallel_tools",)


@pytest.mark.parametrize(
    ("kind", "own"),
    [("web_search", "googleSearch"), ("web_fetch", "urlContext"), ("code_execution", "codeExecution")],
)
def test_server_tools_have_counterparts(kind: str, own: str) -> None:
    tool = ServerTool(dialect="anthropic", kind=kind, data={"type": "x", "name": "x", "max_uses": 3})
    found = encoded(ask(tools=[tool]))
    assert found.body["tools"] == [{own: {}}]
    assert found.dropped == ("tools[0].max_uses",)
    assert "toolConfig" not in found.body


def test_server_tools_beside_functions_show_their_calls() -> None:
    tool = ServerTool(dialect="openai-responses", kind="web_search", data={"type": "web_search"})
    assert body(ask(tools=[tool, FUNCTION]))["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert "toolConfig" not in body(ask(tools=[tool, FUNCTION]), SECOND)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (ServerTool(dialect="anthropic", kind="computer_20250124", data={}), "tools[0]"),
        (
            ServerTool(dialect="anthropic", kind="web_search", data={"allowed_domains": ["a.b"]}),
            "tools[0].allowed_domains",
        ),
        (
            ServerTool(
                dialect="openai-responses", kind="code_execution", data={"container": {"file_ids": ["f"]}}
            ),
            "tools[0].container",
        ),
    ],
)
def test_server_tools_without_counterpart_are_refused(tool: ServerTool, param: str) -> None:
    with pytest.raises(Unsupported) as refused:
        body(ask(tools=[tool]))
    assert refused.value.param == param


def test_structured_output() -> None:
    wanted = OutputFormat(schema=SCHEMA, name="city", description="a city", strict=True)
    found = encoded(ask(output=wanted))
    assert found.body["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {**SCHEMA, "description": "a city"},
    }
    assert found.dropped == ("output.name",)
    assert body(ask(output=OutputFormat()))["generationConfig"] == {"responseMimeType": "application/json"}
    narrow = encoded(ask(output=OutputFormat(schema=SCHEMA)), schema_subset="google")
    assert narrow.body["generationConfig"]["responseSchema"]["type"] == "OBJECT"
    assert narrow.dropped == ("output.schema.additionalProperties",)
    for quirk in ("none", "json_object"):
        with pytest.raises(Unsupported):
            body(ask(output=OutputFormat(schema=SCHEMA)), structured_output=quirk)


def test_openapi_schemas_go_back_as_they_came() -> None:
    request = {
        "contents": [{"parts": [{"text": "hi"}]}],
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseSchema": {
                "type": "OBJECT",
                "properties": {"a": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}], "nullable": True}},
            },
        },
    }
    assert normal_request(again(request)) == normal_request(request)


def test_what_has_no_place_is_named() -> None:
    foreign = Extra(dialect="openai-chat", fields={"store": True, "_form": 1})
    request = ask(
        Message(
            role="user",
            name="ann",
            content=[
                Text(text="hi", cache=Cache(), citations=[Citation(dialect="anthropic", data={})]),
                ServerBlock(dialect="anthropic", data={"type": "server_tool_use"}),
            ],
        ),
        said(Refusal(text="I won't.")),
        told(Text(text="why")),
        user="u",
        service_tier="scale",
        seed=2**40,
        extra=foreign,
    )
    found = encoded(request)
    assert found.dropped == (
        "messages[0].name",
        "messages[0].content[0].cache_control",
        "messages[0].content[0].citations",
        "messages[0].content[1]",
        "seed",
        "user",
        "service_tier",
        "store",
    )
    assert found.body == {
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "I won't."}]},
            {"role": "user", "parts": [{"text": "why"}]},
        ]
    }


def test_what_may_not_be_left_out_is_refused() -> None:
    audio = Extra(dialect="openai-chat", fields={"modalities": ["audio"]}, essential=["modalities"])
    for request, param in ((ask(extra=audio), "modalities"), (ask(stop=list("abcdef")), "stop")):
        with pytest.raises(Unsupported) as refused:
            body(request)
        assert refused.value.param == param


def test_quirks_of_a_provider() -> None:
    request = ask(seed=1, service_tier="default")
    found = encoded(request, unsupported=frozenset({"seed", "serviceTier"}))
    assert found.body == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {}}
    assert set(found.dropped) == {"seed", "serviceTier"}
    with pytest.raises(Unsupported) as refused:
        body(request, refused=frozenset({"seed"}))
    assert refused.value.param == "seed"


@pytest.mark.parametrize(
    ("tier", "written"), [("default", "standard"), ("flex", "flex"), ("priority", "priority"), ("auto", None)]
)
def test_service_tiers(tier: str, written: str | None) -> None:
    assert body(ask(service_tier=tier), THIRD).get("serviceTier") == written
