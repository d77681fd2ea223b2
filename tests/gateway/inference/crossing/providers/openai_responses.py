"""OpenAI's ears at the Responses API."""

import msgspec

from tests.gateway.inference.crossing.ask import Json, Told, ToldCall
from tests.gateway.inference.crossing.providers.provider import FakeProvider, data_url, joined
from tests.gateway.inference.wire import openai_responses as wire


def hear(path: str, body: Json) -> Told:
    choice = body.get("tool_choice")
    form = (body.get("text") or {}).get("format")
    told = Told(
        path=path,
        model=body["model"],
        system=body["instructions"],
        stream=body.get("stream", False),
        tools={tool["name"]: tool["parameters"] for tool in body.get("tools", ())},
        choice=choice["name"] if isinstance(choice, dict) else None,
        schema=form["schema"] if form else None,
        asked_to_think=bool(body.get("reasoning")),
    )
    assert body["store"] is False
    if told.asked_to_think:
        assert "reasoning.encrypted_content" in body["include"]
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    results = {
        item["call_id"]: joined(item["output"])
        for item in items
        if item.get("type") == "function_call_output"
    }
    for item in items:
        _item(told, item, results)
    return told


def _item(told: Told, item: Json, results: dict[str, str]) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        content = item["content"]
        natural = "output_text" if item["role"] == "assistant" else "input_text"
        for part in [{"type": natural, "text": content}] if isinstance(content, str) else content:
            if part["type"] == "input_image":
                told.images.append(data_url(part["image_url"]))
            else:
                assert part["type"] == natural
                told.texts.append((item["role"], part["text"]))
    elif kind == "reasoning":
        told.thoughts.append((joined(item["summary"]), item["encrypted_content"]))
    elif kind == "function_call":
        assert len(item["call_id"]) <= 64
        arguments = msgspec.json.decode(item["arguments"])
        told.calls.append(ToldCall(item["name"], arguments, results.get(item["call_id"])))
    else:
        assert kind == "function_call_output", kind


PROVIDER = FakeProvider(
    dialect="openai-responses",
    name="oscar",
    base_path="/v1",
    model="gpt-5.1",
    hear=hear,
    whole_reply=wire.whole,
    stream_reply=wire.stream,
    error=wire.error,
    stream_error=wire.stream_error,
    signs_thoughts=True,
)
