"""What texts ask of the simulated model."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sim import anthropic, openai_chat
from gateway.sim.conversation import Conversation, Refused, read_anthropic, read_openai
from gateway.sim.grammar import Directives, match_tool, parse_directives, parse_plan
from gateway.sim.reply import answer

OFFERED = ("get_weather", "demo__add_note", "convert", "other__convert")

PLANS: list[tuple[str, list[list[tuple[str, Any]]]]] = [
    ("hello", []),
    ("", []),
    ("use", []),
    ("use nothing in particular", []),
    ("I use tea", []),
    ("misuse get_weather", []),
    ("use get_weather", [[("get_weather", None)]]),
    ('Please USE get_weather {"city": "Oslo"}!', [[("get_weather", {"city": "Oslo"})]]),
    ('use unknown_tool {"a": 1}', [[("unknown_tool", {"a": 1})]]),
    ("use tea, then use get_weather", [[("get_weather", None)]]),
    (
        'use get_weather {"city": "Oslo"} and convert {"amount": 5} then add_note {"text": "done"}',
        [[("get_weather", {"city": "Oslo"}), ("convert", {"amount": 5})], [("add_note", {"text": "done"})]],
    ),
    ("use get_weather, and use convert", [[("get_weather", None), ("convert", None)]]),
    ("use get_weather and be quick", [[("get_weather", None)]]),
    ('use get_weather {"s": "} and then {"}', [[("get_weather", {"s": "} and then {"})]]),
    ("use get_weather {broken", [[("get_weather", None)]]),
    ("use get_weather [1]", [[("get_weather", None)]]),
    ('use unknown {"n": NaN}', []),
    ('use unknown {"s": "\\ud800"}', []),
    ('use unknown {"n": ' + "9" * 5000 + "}", []),
    ('use unknown {"n": ' + "[" * 100_000, []),
    ("use get_weather [sim: pace=1ms] and convert", [[("get_weather", None), ("convert", None)]]),
]

DIRECTIVES: list[tuple[str, Directives]] = [
    ("", Directives()),
    ("[sim: latency=200ms pace=20 words=50]", Directives(latency_ms=200, pace_ms=20, words=50)),
    (
        "a [sim: status=529 retry-after=2] b [sim: fail-times=2]",
        Directives(status=529, retry_after="2", fail_times=2),
    ),
    ("[sim: break-after=3 stall-after=0 garbage]", Directives(break_after=3, stall_after=0, garbage=True)),
    ("[sim: status=200]", Directives(unknown=("status=200",))),
    (
        "[sim: words=² pace=-1 wat latency=]",
        Directives(unknown=("words=²", "pace=-1", "wat", "latency=")),
    ),
    ("[sim: retry-after=\x00]", Directives(unknown=("retry-after=\x00",))),
    ("[sim: latency=99999999999ms]", Directives(latency_ms=600_000)),
    ("[sim: never closed", Directives()),
]


@pytest.mark.parametrize(("text", "expected"), PLANS)
def test_a_text_plans_rounds_of_parallel_calls(text: str, expected: list[list[tuple[str, Any]]]) -> None:
    plan = parse_plan(text, OFFERED)
    assert [[(call.name, call.arguments) for call in calls] for calls in plan] == expected


@pytest.mark.parametrize(("text", "expected"), DIRECTIVES)
def test_directives_are_read(text: str, expected: Directives) -> None:
    assert parse_directives(text) == expected


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("get_weather", "get_weather"),
        ("add_note", "demo__add_note"),
        ("demo/add_note", "demo__add_note"),
        ("note", "demo__add_note"),
        ("convert", "convert"),
        ("other.convert", "other__convert"),
        ("weather_", "get_weather"),
        ("_", None),
        ("nothing", None),
    ],
)
def test_a_name_means_one_offered_tool(name: str, tool: str | None) -> None:
    assert match_tool(name, OFFERED) == tool


def test_an_ambiguous_ending_means_none() -> None:
    assert match_tool("note", ("a__note", "b__note")) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
WORDS = st.sampled_from(
    [
        "use ",
        "get_weather ",
        "and ",
        "then ",
        "{",
        "}",
        '"a"',
        ": 1",
        "[sim: ",
        "words=",
        "9",
        "²",
        "]",
        "\\u",
    ]
)
TEXTS = st.text(max_size=200) | st.lists(WORDS, max_size=30).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_no_text_breaks_the_grammar(text: str) -> None:
    parse_directives(text)
    for calls in parse_plan(text, OFFERED):
        assert calls
        for call in calls:
            msgspec.json.encode(call.arguments)


BODIES = st.fixed_dictionaries(
    {
        "model": st.just("sim-small"),
        "max_tokens": st.integers(1, 50) | JSON,
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": TEXTS | JSON},
                optional={"tool_calls": JSON, "tool_call_id": JSON},
            ),
            max_size=3,
        )
        | JSON,
    },
    optional={"tools": JSON, "system": JSON, "stream_options": JSON, "stream": JSON},
)


def _everything(conversation: Conversation) -> None:
    """Render the answer in each form; the text and the calls must survive."""
    directives = parse_directives(conversation.question + conversation.system)
    reply = answer(conversation, directives, "0")
    for whole in (anthropic.whole(reply, "m", "0"), openai_chat.whole(reply, "m", "0")):
        assert isinstance(msgspec.json.decode(whole), dict)
    assert list(anthropic.stream(reply, "m", "0"))
    assert list(openai_chat.stream(reply, "m", "0", include_usage=True))


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_any_body_is_answered_or_refused(body: dict[str, Any]) -> None:
    for read in (read_anthropic, read_openai):
        try:
            conversation = read(body, 100)
        except Refused as refused:
            assert refused.status in {400, 404}
        else:
            _everything(conversation)


@settings(max_examples=200, deadline=None)
@given(JSON, TEXTS)
def test_any_tool_schema_gets_arguments(schema: Any, text: str) -> None:
    tool = {"name": "get_weather", "input_schema": {"required": ["a"], "properties": schema}}
    for offered in (tool, {"name": "get_weather", "input_schema": schema}):
        body = {
            "model": "sim-small",
            "max_tokens": 50,
            "tools": [offered],
            "messages": [{"role": "user", "content": f"use get_weather {text}"}],
        }
        _everything(read_anthropic(body, 100))
