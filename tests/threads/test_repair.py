"""History that a provider would refuse is repaired, and nothing else is changed."""

import copy
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threads.context.repair import BEGINNING, LOST_RESULT, as_blocks, build_context, tool_use_ids
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
    built = build_context([(role, as_blocks(content)) for role, content in history])
    assert [(each["role"], each["content"]) for each in built] == context


def test_tool_use_ids_are_collected() -> None:
    history = [
        message("user", "x"),
        message("assistant", [text("a"), use("1")]),
        message("user", [result("1")]),
    ]
    assert tool_use_ids(history) == {"1"}


CALL_IDS = st.sampled_from(["a", "b", "functions.f:0", "x" * 80])
WORDS = st.sampled_from(["", " \n", "hello", "Grüße"])
BLOCKS = st.one_of(
    st.builds(text, WORDS),
    st.builds(use, CALL_IDS),
    st.builds(result, CALL_IDS),
    CALL_IDS.map(lambda call: {**result(call), "content": [text(""), text("done")]}),
    st.just({"type": "thinking", "thinking": "hm", "signature": "s"}),
    CALL_IDS.map(lambda call: {"type": "server_tool_use", "id": call, "name": "web_search", "input": {}}),
    CALL_IDS.map(lambda call: {"type": "web_search_tool_result", "tool_use_id": call, "content": []}),
    st.just({"type": "image", "source": {"type": "url", "url": "https://example.com/i.png"}}),
)
HISTORIES = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), WORDS.map(as_blocks) | st.lists(BLOCKS, max_size=6)),
    max_size=8,
)


@settings(deadline=None)
@given(HISTORIES)
def test_any_history_becomes_a_conversation_that_providers_take(history: list[Any]) -> None:
    given_ = copy.deepcopy(history)
    context = build_context(history)
    check(context)
    assert history == given_
    assert build_context([(one["role"], one["content"]) for one in context]) == context
    said = [block["text"] for _, blocks in history for block in blocks if _says(block)]
    sent = [block["text"] for one in context for block in one["content"] if _says(block)]
    assert [line for line in sent if line != BEGINNING] == said


@settings(deadline=None)
@given(HISTORIES)
def test_the_same_history_gives_the_same_bytes(history: list[Any]) -> None:
    """Also after a database that keeps the keys of objects in an order of its own."""
    reordered = msgspec.json.decode(msgspec.json.encode(history, order="deterministic"))
    assert _bytes(build_context(history)) == _bytes(build_context(reordered))


def test_ids_that_one_provider_refuses_stay_as_they_are_for_another() -> None:
    history = [("user", [text("hi")]), ("assistant", [use("functions.f:0")])]
    assert build_context(history, plain_ids=False)[1]["content"] == [use("functions.f:0")]
    renamed = build_context(history)
    assert renamed[2]["content"][0]["tool_use_id"] == renamed[1]["content"][0]["id"] != "functions.f:0"


def check(context: list[dict[str, Any]]) -> None:
    """The rules of Anthropic's Messages API, as far as they concern the order of blocks."""
    assert all(one["role"] == ("user", "assistant")[place % 2] for place, one in enumerate(context))
    called: set[str] = set()
    for place, one in enumerate(context):
        blocks = one["content"]
        kinds = [block["type"] for block in blocks]
        assert blocks
        inner = [block["content"] for block in blocks if isinstance(block.get("content"), list)]
        assert all(each["text"].strip() for each in sum(inner, blocks) if each["type"] == "text")
        if one["role"] == "assistant":
            calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
            assert len(calls) == len({*calls} - called)
            assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", call) for call in calls)
            called |= {*calls}
            answers = context[place + 1]["content"] if place + 1 < len(context) else []
            assert sorted(calls) == sorted(block["tool_use_id"] for block in answers[: len(calls)])
            assert not {*kinds} & {"tool_result", "image"} and kinds[-1] != "thinking"
            ran = [block["id"] for block in blocks if block["type"] == "server_tool_use"]
            came = [block["tool_use_id"] for block in blocks if "tool_use_id" in block]
            assert sorted(ran) == sorted(came)
        else:
            assert not {*kinds} & {"tool_use", "thinking"}
            calls = [block["id"] for block in context[place - 1]["content"] if "name" in block and place]
            assert kinds.count("tool_result") == len([call for call in calls if call in called])


def _says(block: dict[str, Any]) -> bool:
    return block["type"] == "text" and bool(block["text"].strip())


def _bytes(context: list[dict[str, Any]]) -> bytes:
    return msgspec.json.encode(context, order="deterministic")
