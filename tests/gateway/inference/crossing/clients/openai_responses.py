"""A client of OpenAI's Responses, which keeps the conversation itself (``store: false``)."""

import base64
from typing import Any, ClassVar

import msgspec
from openai import OpenAIError
from openai.types.responses import Response

from tests.gateway.inference.crossing.ask import (
    Ask,
    Json,
    Read,
    ReadCall,
    ReadUsage,
    Replayed,
    Said,
    Turn,
)
from tests.gateway.inference.crossing.clients.client import events, gpt, only

_LAST = {"response.completed", "response.incomplete", "response.failed"}


class ResponsesClient:
    name = "openai-responses"
    path = "/v1/responses"
    stops: ClassVar[dict[str, str]] = {"end": "completed", "tools": "completed", "length": "incomplete"}

    def write(self, ask: Ask) -> Json:
        body: Json = {
            "model": ask.model,
            "max_output_tokens": 12_000,
            "instructions": ask.system,
            "input": [item for turn in ask.turns for item in _items(turn)],
            "store": False,
        }
        if ask.stream:
            body["stream"] = True
        if ask.tools:
            body["tools"] = [
                {"type": "function", "name": name, "description": f"the {name}", "parameters": schema}
                for name, schema in ask.tools.items()
            ]
        if ask.forced:
            body["tool_choice"] = {"type": "function", "name": ask.forced}
        if ask.schema:
            form = {"type": "json_schema", "name": "report", "schema": ask.schema, "strict": True}
            body["text"] = {"format": form}
        if ask.thinks:
            body["reasoning"] = {"effort": "medium", "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        return body

    def read(self, raw: bytes, *, stream: bool) -> Read:
        answer = _last(events(raw)) if stream else msgspec.json.decode(raw)
        assert answer["object"] == "response"
        output, usage = answer["output"], answer["usage"]
        parts = [part for item in output if item["type"] == "message" for part in item["content"]]
        thoughts = [part for item in output if item["type"] == "reasoning" for part in item["summary"]]
        calls = [item for item in output if item["type"] == "function_call"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        return Read(
            text="".join(part["text"] for part in parts if part["type"] == "output_text"),
            calls=[ReadCall(call["call_id"], call["name"], call["arguments"]) for call in calls],
            stop=answer["status"],
            usage=ReadUsage(
                usage["input_tokens"],
                usage["input_tokens_details"]["cached_tokens"],
                usage["output_tokens"],
                usage["output_tokens_details"]["reasoning_tokens"],
            ),
            thought="\n\n".join(part["text"] for part in thoughts),
            replayed=Replayed(tuple(output)),
        )

    def error(self, body: Json) -> Json:
        error: Json = body["error"]
        return error

    def stream_error(self, raw: bytes) -> tuple[str, str]:
        error = only([event for event in events(raw) if event["type"] == "error"])
        return error["message"], error["code"]

    async def sdk(self, raw: bytes, status: int, *, stream: bool) -> tuple[str, list[str], int]:
        asked: Any = {"model": "m", "input": "?"}
        async with gpt(raw, status, stream=stream) as client:
            if stream:
                async with client.responses.stream(**asked) as chunks:
                    received: list[Any] = [event async for event in chunks]
                for event in received:
                    if event.type == "error":  # the SDK hands these on
                        raise OpenAIError(event.message)
                answer = received[-1].response
            else:
                await client.responses.create(**asked)
                answer = Response.model_validate_json(raw)
        calls = [item.arguments for item in answer.output if item.type == "function_call"]
        return answer.output_text, calls, answer.usage.output_tokens


def _items(turn: Turn) -> list[Json]:
    if isinstance(turn, Replayed):
        return list(turn.items)
    if isinstance(turn, Said):
        if turn.image is None:
            return [{"role": "user", "content": turn.text}]
        url = f"data:image/png;base64,{base64.b64encode(turn.image).decode()}"
        picture = {"type": "input_image", "image_url": url, "detail": "auto"}
        return [{"role": "user", "content": [picture, {"type": "input_text", "text": turn.text}]}]
    return [
        {"type": "function_call_output", "call_id": call_id, "output": text} for call_id, text in turn.results
    ]


def _last(received: list[Json]) -> Json:
    """The whole response at a stream's end, which its events must add up to."""
    kinds = [event["type"] for event in received]
    assert kinds[:2] == ["response.created", "response.in_progress"], kinds
    assert received[-1]["type"] in _LAST, kinds
    numbers = [event["sequence_number"] for event in received]
    assert numbers == sorted(set(numbers))
    only([event for event in received if (event.get("response") or {}).get("usage")])
    response: Json = received[-1]["response"]
    done = [event["item"] for event in received if event["type"] == "response.output_item.done"]
    assert response["output"] == done
    told = [event["delta"] for event in received if event["type"] == "response.output_text.delta"]
    parts = [part for item in done if item["type"] == "message" for part in item["content"]]
    assert "".join(told) == "".join(part["text"] for part in parts)
    return response
