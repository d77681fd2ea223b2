"""A client of OpenAI's Chat Completions. It sends back reasoning fields with the rest of a message."""

import base64
from typing import Any, ClassVar

import msgspec
from openai import LengthFinishReasonError
from openai.types.chat import ChatCompletion

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


class ChatClient:
    name = "openai-chat"
    path = "/v1/chat/completions"
    stops: ClassVar[dict[str, str]] = {"end": "stop", "tools": "tool_calls", "length": "length"}

    def write(self, ask: Ask) -> Json:
        body: Json = {
            "model": ask.model,
            "max_completion_tokens": 12_000,
            "messages": [
                {"role": "system", "content": ask.system},
                *(message for turn in ask.turns for message in _messages(turn)),
            ],
        }
        if ask.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if ask.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": name, "description": f"the {name}", "parameters": schema},
                }
                for name, schema in ask.tools.items()
            ]
        if ask.forced:
            body["tool_choice"] = {"type": "function", "function": {"name": ask.forced}}
        if ask.schema:
            form = {"name": "report", "schema": ask.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if ask.thinks:
            body["reasoning_effort"] = "medium"
        return body

    def read(self, raw: bytes, *, stream: bool) -> Read:
        answer = _joined(raw) if stream else msgspec.json.decode(raw)
        assert answer["object"] == "chat.completion"
        choice, usage = only(answer["choices"]), answer["usage"]
        message = choice["message"]
        details = usage.get("prompt_tokens_details") or {}
        thought = usage.get("completion_tokens_details") or {}
        calls = message.get("tool_calls") or []
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        return Read(
            text=message.get("content") or "",
            calls=[
                ReadCall(call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in calls
            ],
            stop=choice["finish_reason"],
            usage=ReadUsage(
                usage["prompt_tokens"],
                details.get("cached_tokens", 0),
                usage["completion_tokens"],
                thought.get("reasoning_tokens", 0),
            ),
            thought=message.get("reasoning_content") or "",
            replayed=Replayed((message,)),
        )

    def error(self, body: Json) -> Json:
        error: Json = body["error"]
        return error

    def stream_error(self, raw: bytes) -> tuple[str, str]:
        error = events(raw)[-1]["error"]
        return error["message"], error.get("code") or error["type"]

    async def sdk(self, raw: bytes, status: int, *, stream: bool) -> tuple[str, list[str], int]:
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
        async with gpt(raw, status, stream=stream) as client:
            if stream:
                options: Any = {"include_usage": True}
                async with client.chat.completions.stream(**asked, stream_options=options) as chunks:
                    try:
                        answer: Any = await chunks.get_final_completion()
                    except LengthFinishReasonError as cut_off:
                        answer = cut_off.completion
            else:
                await client.chat.completions.create(**asked)
                answer = ChatCompletion.model_validate_json(raw)
        message = answer.choices[0].message
        calls = [call.function.arguments for call in message.tool_calls or []]
        return message.content or "", calls, answer.usage.completion_tokens


def _messages(turn: Turn) -> list[Json]:
    if isinstance(turn, Replayed):
        return list(turn.items)
    if isinstance(turn, Said):
        if turn.image is None:
            return [{"role": "user", "content": turn.text}]
        url = f"data:image/png;base64,{base64.b64encode(turn.image).decode()}"
        picture = {"type": "image_url", "image_url": {"url": url}}
        return [{"role": "user", "content": [picture, {"type": "text", "text": turn.text}]}]
    return [{"role": "tool", "tool_call_id": call_id, "content": text} for call_id, text in turn.results]


def _joined(raw: bytes) -> Json:
    """The completion that a stream's chunks add up to. Usage comes once, in a chunk of its own."""
    chunks = events(raw)
    assert raw.rstrip().endswith(b"data: [DONE]")
    usage = only([chunk["usage"] for chunk in chunks if chunk.get("usage")])
    assert chunks[-1]["usage"] == usage
    assert chunks[-1]["choices"] == []
    message: Json = {"role": "assistant", "content": None}
    reason = None
    for chunk in chunks[:-1]:
        choice = only(chunk["choices"])
        _grow(message, choice["delta"])
        assert reason is None or choice["finish_reason"] is None
        reason = reason or choice["finish_reason"]
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


def _grow(message: Json, delta: Json) -> None:
    for name in ("content", "reasoning_content"):
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    for detail in delta.get("reasoning_details") or ():
        _grow_detail(message.setdefault("reasoning_details", []), detail)
    for piece in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if piece["index"] == len(calls):
            calls.append({"id": piece["id"], "type": "function", "function": {**piece["function"]}})
        else:
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]


def _grow_detail(details: list[Json], piece: Json) -> None:
    """Pieces of one detail have the same index and type (OpenRouter's documentation of reasoning)."""
    same = [
        detail
        for detail in details
        if detail.get("index") == piece.get("index") and detail["type"] == piece["type"]
    ]
    if not same:
        details.append(dict(piece))
        return
    for name, value in piece.items():
        grows = name in {"text", "summary", "data"}
        same[0][name] = same[0].get(name, "") + value if grows else value
