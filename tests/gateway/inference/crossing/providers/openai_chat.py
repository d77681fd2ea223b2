"""The ears of a provider of OpenAI Chat that wants its thoughts back, as DeepSeek's does."""

import msgspec

from gateway.inference.dialects.codec import Quirks
from tests.gateway.inference.crossing.ask import Json, Told, ToldCall
from tests.gateway.inference.crossing.providers.provider import FakeProvider, data_url, joined
from tests.gateway.inference.wire import openai_chat as wire
from tests.gateway.inference.wire.reply import Reply


def hear(path: str, body: Json) -> Told:
    choice: Json | str | None = body.get("tool_choice")
    form: Json | None = body.get("response_format")
    messages = body["messages"]
    told = Told(
        path=path,
        model=body["model"],
        system=joined(messages[0]["content"]),
        stream=body.get("stream", False),
        tools={tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools", ())},
        choice=choice["function"]["name"] if isinstance(choice, dict) else None,
        schema=form["json_schema"]["schema"] if form else None,
        asked_to_think="reasoning_effort" in body,
    )
    assert messages[0]["role"] in {"system", "developer"}
    assert not told.stream or body["stream_options"] == {"include_usage": True}
    results = _results(messages)
    for message in messages[1:]:
        _message(told, message, results)
    return told


def _results(messages: list[Json]) -> dict[str, str]:
    """Results by their calls' ids. They must follow the calls at once."""
    found: dict[str, str] = {}
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            found[message["tool_call_id"]] = joined(message["content"])
            continue
        assert not waiting
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
        assert all(len(call_id) <= 40 for call_id in waiting)
    return found


def _message(told: Told, message: Json, results: dict[str, str]) -> None:
    role, content = message["role"], message.get("content")
    if role == "tool":
        return
    if message.get("reasoning_content"):
        told.thoughts.append((message["reasoning_content"], ""))
    parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in parts:
        if part["type"] == "image_url":
            told.images.append(data_url(part["image_url"]["url"]))
        else:
            told.texts.append((role, part["text"]))
    for call in message.get("tool_calls") or ():
        arguments = msgspec.json.decode(call["function"]["arguments"])
        told.calls.append(ToldCall(call["function"]["name"], arguments, results.get(call["id"])))


def _stream(reply: Reply, model: str, digest: str) -> list[bytes]:
    return list(wire.stream(reply, model, digest, include_usage=True))


PROVIDER = FakeProvider(
    dialect="openai-chat",
    name="chatty",
    base_path="/v1",
    model="chatty-1",
    hear=hear,
    whole_reply=wire.whole,
    stream_reply=lambda reply, model, digest: iter(_stream(reply, model, digest)),
    error=wire.error,
    stream_error=wire.stream_error,
    signs_thoughts=False,
    quirks=Quirks(replays_reasoning=True),
)
