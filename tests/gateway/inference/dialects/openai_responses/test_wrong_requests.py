"""What is wrong in a request is named."""

from typing import Any

import pytest

from kit.errors import InvalidRequest
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    request,
    user,
)
from tests.gateway.inference.dialects.openai_responses.items import CALL, CUSTOM, FUNCTION

PNG = {"type": "input_image", "image_url": 5}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": "Hi"}, "model"),
    ({"model": 5, "input": "Hi"}, "model"),
    ({"model": "m"}, "input"),
    ({"model": "m", "input": 5}, "input"),
    ({"model": "m", "input": None, "background": True}, "input"),
    (request(5), "input[0]"),
    (request({}), "input[0].type"),
    (request({"type": 5}), "input[0].type"),
    (request({"role": "tool", "content": "x"}), "input[0].role"),
    (request({"role": "user"}), "input[0].content"),
    (request({"role": "user", "content": {"text": "x"}}), "input[0].content"),
    (request(user(), user(["x"])), "input[1].content[0]"),
    (request(user([{"type": "video"}])), "input[0].content[0].type"),
    (request(user([{"type": "input_text"}])), "input[0].content[0].text"),
    (request(user([{"type": "input_text", "text": ["x"]}])), "input[0].content[0].text"),
    (request(user([PNG])), "input[0].content[0].image_url"),
    (request(user([{"type": "input_image"}])), "input[0].content[0].image_url"),
    (request(user([{"type": "input_image", "file_id": 5}])), "input[0].content[0].file_id"),
    (request(user([{"type": "input_file"}])), "input[0].content[0].file_data"),
    (request(user([{"type": "input_file", "file_url": 5}])), "input[0].content[0].file_url"),
    (request(user([{"type": "input_file", "file_data": "", "filename": 5}])), "input[0].content[0].filename"),
    (request(user([{"type": "input_audio"}])), "input[0].content[0].input_audio"),
    (
        request(user([{"type": "input_text", "text": "x", "prompt_cache_breakpoint": 1}])),
        "input[0].content[0].prompt_cache_breakpoint",
    ),
    (
        request({"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [1]}]}),
        "input[0].content[0].annotations[0]",
    ),
    (request({"role": "assistant", "content": [{"type": "refusal"}]}), "input[0].content[0].refusal"),
    (request({"type": "reasoning", "summary": "x"}), "input[0].summary"),
    (request({"type": "reasoning", "summary": [{}]}), "input[0].summary[0].text"),
    (request({"type": "reasoning", "content": [5]}), "input[0].content[0].text"),
    (request({"type": "reasoning", "id": 5}), "input[0].id"),
    (request({"type": "reasoning", "encrypted_content": {}}), "input[0].encrypted_content"),
    (request({**CALL, "call_id": None}), "input[0].call_id"),
    (request({**CALL, "name": 5}), "input[0].name"),
    (request({**CALL, "arguments": {"a": 1}}), "input[0].arguments"),
    (request({"type": "custom_tool_call", "call_id": "c", "name": "n"}), "input[0].input"),
    (request({"type": "function_call_output", "output": "x"}), "input[0].call_id"),
    (request({"type": "function_call_output", "call_id": "c"}), "input[0].output"),
    (
        request({"type": "function_call_output", "call_id": "c", "output": [PNG]}),
        "input[0].output[0].image_url",
    ),
    (request(user(), instructions=["x"]), "instructions"),
    (request(user(), tools={}), "tools"),
    (request(user(), tools=["f"]), "tools[0]"),
    (request(user(), tools=[{"name": "f"}]), "tools[0].type"),
    (request(user(), tools=[{"type": "function"}]), "tools[0].name"),
    (request(user(), tools=[{**FUNCTION, "parameters": "x"}]), "tools[0].parameters"),
    (request(user(), tools=[{**FUNCTION, "strict": "yes"}]), "tools[0].strict"),
    (request(user(), tools=[FUNCTION, {**CUSTOM, "name": None}]), "tools[1].name"),
    (request(user(), tool_choice="any"), "tool_choice"),
    (request(user(), tool_choice=5), "tool_choice"),
    (request(user(), tool_choice={}), "tool_choice.type"),
    (request(user(), tool_choice={"type": "function"}), "tool_choice.name"),
    (request(user(), tool_choice={"type": "allowed_tools", "tools": []}), "tool_choice.mode"),
    (request(user(), tool_choice={"type": "allowed_tools", "mode": "auto", "tools": 5}), "tool_choice.tools"),
    (
        request(user(), tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{}]}),
        "tool_choice.tools[0].name",
    ),
    (request(user(), max_output_tokens=0), "max_output_tokens"),
    (request(user(), max_output_tokens=1.5), "max_output_tokens"),
    (request(user(), temperature="hot"), "temperature"),
    (request(user(), temperature=2.5), "temperature"),
    (request(user(), top_p=True), "top_p"),
    (request(user(), top_logprobs=21), "top_logprobs"),
    (request(user(), stream="yes"), "stream"),
    (request(user(), parallel_tool_calls=1), "parallel_tool_calls"),
    (request(user(), reasoning="high"), "reasoning"),
    (request(user(), reasoning={"effort": 3}), "reasoning.effort"),
    (request(user(), text="json"), "text"),
    (request(user(), text={"format": "json"}), "text.format"),
    (request(user(), text={"format": {"type": "xml"}}), "text.format.type"),
    (request(user(), text={"format": {"type": "json_schema", "schema": {}}}), "text.format.name"),
    (request(user(), text={"format": {"type": "json_schema", "name": "n"}}), "text.format.schema"),
    (request(user(), include="x"), "include"),
    (request(user(), user=5), "user"),
    (request(user(), safety_identifier=5), "safety_identifier"),
    (request(user(), service_tier=5), "service_tier"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=[field for _, field in WRONG])
def test_a_wrong_field_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        CODEC.decode_request(body)
    assert refused.value.param == field
    assert refused.value.message.startswith(f"{field}: expected ")
