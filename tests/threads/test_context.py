"""History that a provider would refuse is repaired, and nothing else is changed."""

from typing import Any

import pytest

from threads.context import LOST_RESULT, build_context, tool_use_ids
from threads.models import Message


def message(role: str, content: Any, seq: int = 1) -> Message:
    return Message(
        id=str(seq), account_id="a", thread_id="t", seq=seq, role=role, content=content, created_at=0
    )


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def use(call: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": "f", "input": {}}


def result(call: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": "ok"}


def lost(call: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": LOST_RESULT, "is_error": True}


@pytest.mark.parametrize(
    ("history", "context"),
    [
        ([("user", "hi")], [("user", [text("hi")])]),
        (
            [("user", "hi"), ("assistant", [use("1")]), ("user", [result("1")])],
            [("user", [text("hi")]), ("assistant", [use("1")]), ("user", [result("1")])],
        ),
        (
            [("user", "hi"), ("assistant", [use("1"), use("2")]), ("user", [result("2")])],
            [("user", [text("hi")]), ("assistant", [use("1"), use("2")]), ("user", [result("2"), lost("1")])],
        ),
        (
            [("user", "hi"), ("assistant", [use("1")]), ("user", "still there?")],
            [("user", [text("hi")]), ("assistant", [use("1")]), ("user", [lost("1"), text("still there?")])],
        ),
        (
            [("user", "hi"), ("assistant", [use("1")])],
            [("user", [text("hi")]), ("assistant", [use("1")]), ("user", [lost("1")])],
        ),
        ([("user", "a"), ("user", "b")], [("user", [text("a"), text("b")])]),
        ([("user", "a"), ("assistant", []), ("user", "b")], [("user", [text("a"), text("b")])]),
        ([("user", [result("9"), text("a")])], [("user", [text("a")])]),
    ],
)
def test_contexts(history: list[Any], context: list[Any]) -> None:
    built = build_context([message(role, content, n) for n, (role, content) in enumerate(history, 1)])
    assert [(each["role"], each["content"]) for each in built] == context


def test_tool_use_ids_are_collected() -> None:
    history = [
        message("user", "x"),
        message("assistant", [text("a"), use("1")]),
        message("user", [result("1")]),
    ]
    assert tool_use_ids(history) == {"1"}
