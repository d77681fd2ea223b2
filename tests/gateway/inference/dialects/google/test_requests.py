"""Requests: what every field becomes, what is refused, what is left out by name."""

from typing import Any

import pytest

from gateway.inference.dialects.neutral import (
    Cache,
    Citation,
    Extra,
    Message,
    OutputFormat,
    Refusal,
    Request,
    ServerBlock,
    ServerTool,
    Text,
    Tool,
)
from kit.errors import InvalidRequest, Unsupported
from tests.gateway.inference.dialects.google.builders import (
    CODEC,
    THIRD,
    again,
    ask,
    body,
    encoded,
    said,
    told,
)
from tests.gateway.inference.dialects.google.normal import normal_request
from tests.gateway.inference.dialects.google.samples import REQUEST, SCHEMA


def test_everything_survives() -> None:
    assert normal_request(again(REQUEST)) == normal_request(REQUEST)


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
    request = CODEC.decode_request(REQUEST)
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
    assert set(found.dropped) == {"seed", "service_tier"}
    with pytest.raises(Unsupported) as refused:
        body(request, refused=frozenset({"seed"}))
    assert refused.value.param == "seed"


@pytest.mark.parametrize(
    ("tier", "written"), [("default", "standard"), ("flex", "flex"), ("priority", "priority"), ("auto", None)]
)
def test_service_tiers(tier: str, written: str | None) -> None:
    assert body(ask(service_tier=tier), THIRD).get("serviceTier") == written
