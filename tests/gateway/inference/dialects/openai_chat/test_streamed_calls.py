"""Calls that come in pieces."""

from typing import Any

import pytest

from gateway.inference.dialects.events import (
    BlockStarted,
    ChoiceFinished,
)
from gateway.inference.dialects.neutral import (
    Extra,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_chat.cutting import decoded
from tests.gateway.inference.dialects.openai_chat.streaming import (
    DONE,
    calls,
    chunk,
    events_of,
    piece,
    used,
)

PARALLEL = {
    "as OpenAI has it": [
        [piece("f", "", index=0, id="a", type="function")],
        [piece(arguments='{"x"', index=0)],
        [piece(arguments=":1}", index=0)],
        [piece("g", "", index=1, id="b", type="function")],
        [piece(arguments="{}", index=1)],
    ],
    "in turn": [
        [piece("f", "", index=0, id="a"), piece("g", "", index=1, id="b")],
        [piece(arguments='{"x"', index=0), piece(arguments="{", index=1)],
        [piece(arguments="}", index=1), piece(arguments=":1}", index=0)],
    ],
    "whole": [[piece("f", '{"x":1}', index=0, id="a"), piece("g", "{}", index=1, id="b")]],
    "whole, without index": [[piece("f", '{"x":1}', id="a")], [piece("g", "{}", id="b")]],
    "whole, all with index 0": [
        [piece("f", '{"x":1}', index=0, id="a")],
        [piece("g", "{}", index=0, id="b")],
    ],
    "id and name repeated": [
        [piece("f", '{"x"', index=0, id="a")],
        [piece("f", ":1}", index=0, id="a")],
        [piece("g", "{}", index=1, id="b")],
    ],
    "without index, by id": [
        [piece("f", '{"x"', id="a")],
        [piece(arguments=":1}", id="a")],
        [piece("g", "{", id="b")],
        [piece(arguments="}")],
    ],
    "empty ids after the first piece": [
        [piece("f", '{"x"', index=0, id="a")],
        [piece("", ":1}", index=0, id="")],
        [piece("g", "{}", index=1, id="b")],
    ],
    "name after the id": [
        [{"index": 0, "id": "a", "type": "function"}],
        [piece("f", '{"x":1}', index=0)],
        [piece("g", "{}", index=1, id="b")],
    ],
    "arguments as objects": [[piece("f", {"x": 1}, index=0, id="a")], [piece("g", {}, index=1, id="b")]],
}


@pytest.mark.parametrize("pieces", PARALLEL.values(), ids=PARALLEL)
def test_parallel_calls(pieces: list[list[dict[str, Any]]]) -> None:
    frames = [calls(*some) for some in pieces]
    events = events_of(
        chunk({"role": "assistant", "content": None}), *frames, chunk(reason="tool_calls"), DONE
    )
    assert used(events) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert events[-2] == ChoiceFinished(stop="tool_use")


def test_calls_without_ids_get_some() -> None:
    data = calls(piece("f", "{}", index=0), piece("f", "{}", index=1)) + chunk(reason="tool_calls") + DONE
    (first, *_), (second, *_) = used(decoded([data]))
    assert first and second and first != second


def test_a_call_without_arguments() -> None:
    data = calls(piece("f", "", index=0, id="a")) + chunk(reason="stop") + DONE
    events = decoded([data])
    assert used(events) == [("a", "f", "")]
    assert events[-2] == ChoiceFinished(
        stop="tool_use", extra=Extra(dialect="openai-chat", fields={"finish_reason": "stop"})
    )


def test_a_call_of_the_older_kind() -> None:
    events = events_of(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"x":1}'}}),
        chunk(reason="function_call"),
        DONE,
    )
    [(_, name, arguments)] = used(events)
    assert (name, arguments) == ("f", '{"x":1}')


def test_a_free_text_call() -> None:
    events = events_of(
        calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": ""}}),
        calls({"index": 0, "custom": {"input": "select 1"}}),
        chunk(reason="tool_calls"),
        DONE,
    )
    assert used(events) == [("a", "sql", "select 1")]
    [started] = [event for event in events if isinstance(event, BlockStarted)]
    assert isinstance(started.block, ToolUse) and started.block.custom
