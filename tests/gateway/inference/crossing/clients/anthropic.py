"""A client of Anthropic's Messages."""

import base64
from typing import Any, ClassVar

import msgspec
from anthropic.types import Message

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
from tests.gateway.inference.crossing.clients.client import claude, events, only

_GROWS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class AnthropicClient:
    name = "anthropic"
    path = "/v1/messages"
    stops: ClassVar[dict[str, str]] = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens"}

    def write(self, ask: Ask) -> Json:
        body: Json = {
            "model": ask.model,
            "max_tokens": 12_000,
            "system": ask.system,
            "messages": [message for turn in ask.turns for message in _messages(turn)],
        }
        if ask.stream:
            body["stream"] = True
        if ask.tools:
            body["tools"] = [
                {"name": name, "description": f"the {name}", "input_schema": schema}
                for name, schema in ask.tools.items()
            ]
        if ask.forced:
            body["tool_choice"] = {"type": "tool", "name": ask.forced}
        if ask.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
        if ask.thinks:
            body["thinking"] = {"type": "enabled", "budget_tokens": 8_192}
        return body

    def read(self, raw: bytes, *, stream: bool) -> Read:
        message = _joined(events(raw)) if stream else msgspec.json.decode(raw)
        assert (message["type"], message["role"]) == ("message", "assistant")
        content, usage = message["content"], message["usage"]
        read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        calls = [block for block in content if block["type"] == "tool_use"]
        return Read(
            text="".join(block["text"] for block in content if block["type"] == "text"),
            calls=[ReadCall(call["id"], call["name"], _json(call["input"])) for call in calls],
            stop=message["stop_reason"],
            usage=ReadUsage(
                usage["input_tokens"] + read + written,
                read,
                usage["output_tokens"],
                (usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
            ),
            thought="\n\n".join(block["thinking"] for block in content if block["type"] == "thinking"),
            replayed=Replayed(({"role": "assistant", "content": content},)),
        )

    def error(self, body: Json) -> Json:
        assert body["type"] == "error"
        error: Json = body["error"]
        return error

    def stream_error(self, raw: bytes) -> tuple[str, str]:
        error = events(raw)[-1]
        assert error["type"] == "error"
        return error["error"]["message"], error["error"].get("code") or error["error"]["type"]

    async def sdk(self, raw: bytes, status: int, *, stream: bool) -> tuple[str, list[str], int]:
        asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
        async with claude(raw, status, stream=stream) as client:
            if stream:
                async with client.messages.stream(**asked) as chunks:
                    message: Any = await chunks.get_final_message()
            else:
                await client.messages.create(**asked)
                message = Message.model_validate_json(raw)
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [_json(block.input) for block in message.content if block.type == "tool_use"]
        return text, calls, message.usage.output_tokens


def _messages(turn: Turn) -> list[Json]:
    if isinstance(turn, Replayed):
        return list(turn.items)
    if isinstance(turn, Said):
        if turn.image is None:
            return [{"role": "user", "content": turn.text}]
        data = base64.b64encode(turn.image).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        words = {"type": "text", "text": turn.text}
        return [{"role": "user", "content": [{"type": "image", "source": source}, words]}]
    results = [
        {"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, text in turn.results
    ]
    return [{"role": "user", "content": results}]


def _joined(received: list[Json]) -> Json:
    """The message that a stream's events add up to, one block after the other."""
    kinds = [event["type"] for event in received if event["type"] != "ping"]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"]), kinds
    message: Json = {**received[0]["message"], "content": []}
    assert message["usage"]["output_tokens"] <= 1
    for event in received:
        if event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append({**event["content_block"], "_json": ""})
        elif event["type"] == "content_block_delta":
            assert event["index"] == len(message["content"]) - 1
            _grow(message["content"][-1], event["delta"])
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] = {**message["usage"], **event["usage"]}
    for block in message["content"]:
        written = block.pop("_json")
        if written:
            block["input"] = msgspec.json.decode(written)
    only([kind for kind in kinds if kind == "message_delta"])
    return message


def _grow(block: Json, delta: Json) -> None:
    if delta["type"] == "input_json_delta":
        block["_json"] += delta["partial_json"]
    else:
        name = _GROWS[delta["type"]]
        block[name] = block.get(name, "") + delta[name]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
