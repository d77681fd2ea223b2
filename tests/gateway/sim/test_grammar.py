"""Which calls a text asks for, and which tool a written name means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim.grammar import MAX_STARTS, PlannedCall, matching_tools, parse_plan

OFFERED = ("get_weather", "convert", "demo__add_note")

Plan = list[list[tuple[str, str | None]]]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ('use get_weather {"city": "Oslo"}', [[("get_weather", '{"city":"Oslo"}')]]),
        ("Please use get_weather.", [[("get_weather", None)]]),
        ("use the get_weather tool", [[("get_weather", None)]]),
        ("USE `get_weather` now", [[("get_weather", None)]]),
        ("use get_weather and convert", [[("get_weather", None), ("convert", None)]]),
        ("use get_weather, then convert", [[("get_weather", None)], [("convert", None)]]),
        ("use get_weather and then use convert", [[("get_weather", None)], [("convert", None)]]),
        ("use get_weather and use convert", [[("get_weather", None), ("convert", None)]]),
        (
            'use a {"n":1} and b {"n":2} then add_note {"t":{"x":["é"]}}',
            [[("a", '{"n":1}'), ("b", '{"n":2}')], [("add_note", '{"t":{"x":["é"]}}')]],
        ),
        ('use demo/add_note {"t": 1}', [[("demo/add_note", '{"t":1}')]]),
        ("use no_such_tool", [[("no_such_tool", None)]]),
        ("use unknown {}", [[("unknown", "{}")]]),
        ("use the force, Luke", []),
        ("how do I use this? use convert", [[("convert", None)]]),
        ("use get_weather and relax", [[("get_weather", None)]]),
        ('use get_weather {"city": oops}', [[("get_weather", None)]]),
        ('use get_weather {"n": NaN}', [[("get_weather", None)]]),
        ('use get_weather {"n": 1e999}', [[("get_weather", None)]]),
        ('use get_weather {"s": "\\ud800"}', [[("get_weather", None)]]),
        ("reuse get_weather", []),
        ("", []),
    ],
)
def test_a_text_asks_for_these_rounds(text: str, plan: Plan) -> None:
    expected = [[PlannedCall(name, arguments) for name, arguments in calls] for calls in plan]
    assert parse_plan(text, OFFERED) == expected


@pytest.mark.parametrize(
    ("name", "offered", "meant"),
    [
        ("add_note", ["add_note", "demo__add_note"], ["add_note"]),
        ("add_note", ["demo__add_note"], ["demo__add_note"]),
        ("add_note", ["demo_add_note"], ["demo_add_note"]),
        ("demo/add_note", ["demo__add_note"], ["demo__add_note"]),
        ("note", ["demo__note", "demo__add_note"], ["demo__note"]),
        ("add_note", ["demo__add_note_0f3a9b2c"], ["demo__add_note_0f3a9b2c"]),
        ("add.note", ["demo__add.note"], ["demo__add.note"]),
        ("add_note", ["a__add_note", "b__add_note"], ["a__add_note", "b__add_note"]),
        ("note", ["demo__footnote"], []),
        ("add_note", [], []),
    ],
)
def test_a_written_name_means_these_tools(name: str, offered: list[str], meant: list[str]) -> None:
    assert matching_tools(name, offered) == meant


_SCRAPS = st.sampled_from(
    [
        "use ",
        "the ",
        "and ",
        "then ",
        "get_weather",
        "convert",
        "{",
        "}",
        '{"a":',
        "[",
        '"',
        "\\ud800",
        " ",
        ",",
    ]
)


@given(st.one_of(st.text(), st.lists(st.one_of(_SCRAPS, st.text(max_size=3)), max_size=40).map("".join)))
def test_any_text_is_read_without_failing(text: str) -> None:
    for calls in parse_plan(text, OFFERED):
        assert calls
        for call in calls:
            assert call.arguments is None or isinstance(json.loads(call.arguments), dict)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.none())))
def test_arguments_arrive_as_they_were_written(arguments: dict[str, object]) -> None:
    [[call]] = parse_plan(f"use convert {json.dumps(arguments)} please", OFFERED)
    assert call.arguments is not None
    assert json.loads(call.arguments) == arguments


def test_a_hostile_text_costs_little() -> None:
    text = 'use x {"a":' * 20_000
    assert parse_plan(text, OFFERED) == []
    assert parse_plan("use it " * (MAX_STARTS + 1) + "use convert", OFFERED) == []
    assert parse_plan("use convert " + '{"a":' * 50_000, OFFERED) == [[PlannedCall("convert")]]
