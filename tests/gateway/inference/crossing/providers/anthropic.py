"""Anthropic's ears."""

import base64

from tests.gateway.inference.crossing.ask import Json, Told, ToldCall
from tests.gateway.inference.crossing.providers.provider import FakeProvider, joined
from tests.gateway.inference.wire import anthropic as wire


def hear(path: str, body: Json) -> Told:
    choice = body.get("tool_choice") or {}
    output = (body.get("output_config") or {}).get("format")
    told = Told(
        path=path,
        model=body["model"],
        system=joined(body.get("system")),
        stream=body.get("stream", False),
        tools={tool["name"]: tool["input_schema"] for tool in body.get("tools", ())},
        choice=choice["name"] if choice.get("type") == "tool" else None,
        schema=output["schema"] if output else None,
        asked_to_think=body.get("thinking", {}).get("type") in {"enabled", "adaptive"},
    )
    assert isinstance(body["max_tokens"], int)
    results = _results(body["messages"])
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            _block(told, message["role"], block, results)
    return told


def _results(messages: list[Json]) -> dict[str, str]:
    """Results by their calls' ids. They must stand first in the message right after the calls."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for message in messages:
        if isinstance(message["content"], str):
            assert not waiting
            continue
        given = [block for block in message["content"] if block["type"] == "tool_result"]
        assert message["content"][: len(given)] == given
        assert {block["tool_use_id"] for block in given} == set(waiting)
        found |= {block["tool_use_id"]: joined(block["content"]) for block in given}
        waiting = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
    return found


def _block(told: Told, role: str, block: Json, results: dict[str, str]) -> None:
    kind = block["type"]
    if kind == "text":
        told.texts.append((role, block["text"]))
    elif kind == "image":
        source = block["source"]
        assert source["type"] == "base64"
        told.images.append((source["media_type"], base64.b64decode(source["data"], validate=True)))
    elif kind == "thinking":
        told.thoughts.append((block["thinking"], block["signature"]))
    elif kind == "redacted_thinking":
        told.thoughts.append(("", block["data"]))
    elif kind == "tool_use":
        told.calls.append(ToldCall(block["name"], block["input"], results.get(block["id"])))
    else:
        assert kind == "tool_result", kind


PROVIDER = FakeProvider(
    dialect="anthropic",
    name="clarence",
    base_path="",
    model="claude-sonnet-4-5",
    hear=hear,
    whole_reply=wire.whole,
    stream_reply=wire.stream,
    error=wire.error,
    stream_error=wire.stream_error,
    signs_thoughts=True,
)
