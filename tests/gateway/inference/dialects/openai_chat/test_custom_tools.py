"""Free-form tools where the model on the other side knows only JSON."""

from typing import Any

import msgspec
import pytest

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Finished,
    Started,
)
from gateway.inference.dialects.neutral import (
    Choice,
    Request,
    Response,
    Tool,
    ToolUse,
)
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from tests.gateway.inference.dialects.openai_chat.cutting import encoded

CODEC = OpenAIChatCodec()
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
BODY = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ],
    "tools": [{"type": "custom", "custom": {"name": "sql", "format": GRAMMAR}}],
    "tool_choice": {"type": "custom", "custom": {"name": "sql"}},
}


def request() -> Request:
    return CODEC.decode_request(BODY)


def test_other_dialects_see_a_text_as_the_only_argument() -> None:
    [tool] = request().tools
    assert isinstance(tool, Tool) and tool.custom and tool.schema is not None
    assert tool.schema["required"] == ["input"]


def test_a_provider_without_free_form_tools_gets_functions() -> None:
    quirks = Quirks(unsupported=frozenset({"custom_tools"}))
    result = CODEC.encode_request(request(), Target("acme", "m", "openai-chat/acme", quirks))
    [tool] = result.body["tools"]
    assert tool["type"] == "function" and tool["function"]["parameters"]["required"] == ["input"]
    [call] = result.body["messages"][1]["tool_calls"]
    assert call["function"] == {"name": "sql", "arguments": '{"input":"select 1"}'}
    assert result.body["tool_choice"] == {"type": "function", "function": {"name": "sql"}}
    assert result.dropped == ("tools[0].format",)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"select \\"1\\""}', 'select "1"'), ("select 1", "select 1"), ('{"sql":"x"}', '{"sql":"x"}')],
)
def test_the_answer_is_free_form_again(arguments: str, text: str) -> None:
    call = ToolUse(id="b", name="sql", arguments=arguments)
    response = Response(id="r", model="m", choices=[Choice(content=[call], stop="tool_use")])
    message = CODEC.encode_response(response, request())["choices"][0]["message"]
    custom = {"id": "b", "type": "custom", "custom": {"name": "sql", "input": text}}
    assert message["tool_calls"] == [custom]
    assert streamed(arguments) == custom


def streamed(arguments: str) -> dict[str, Any]:
    """The call that the deltas of a stream add up to."""
    pieces: list[Event] = [ArgumentsDelta(index=0, text=letter) for letter in arguments]
    started = BlockStarted(index=0, block=ToolUse(id="b", name="sql", arguments=""))
    events = [Started(id="r", model="m"), started, *pieces, BlockStopped(index=0)]
    data = encoded([*events, ChoiceFinished(stop="tool_use"), Finished()], request())
    found: dict[str, Any] = {}
    for line in data.splitlines():
        if line.startswith(b"data: {"):
            for choice in msgspec.json.decode(line[6:])["choices"]:
                for piece in choice["delta"].get("tool_calls", ()):
                    found.setdefault("id", piece.get("id"))
                    found.setdefault("type", piece.get("type"))
                    custom = found.setdefault("custom", {"name": piece["custom"].get("name"), "input": ""})
                    custom["input"] += piece["custom"]["input"]
    return found
