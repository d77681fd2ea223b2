"""Arguments of the wrong type: what is mended, what is left alone, and that nothing else ever changes."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from broker.schema import ArgumentValidator, object_schema
from gateway.loopback import served
from tests.broker.rig import Rig

VALIDATOR = ArgumentValidator()
SCHEMA: dict[str, Any] = object_schema(
    {
        "properties": {
            "id": {"type": "string"},
            "count": {"type": "integer"},
            "ratio": {"type": ["number", "null"]},
            "flag": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "where": {"$ref": "#/$defs/where"},
            "level": {"enum": [1, 2]},
            "shape": {
                "oneOf": [
                    {
                        "properties": {"kind": {"const": "line"}, "to": {"type": "integer"}},
                        "required": ["kind"],
                    },
                    {
                        "properties": {"kind": {"const": "dot"}, "to": {"type": "boolean"}},
                        "required": ["kind"],
                    },
                ],
                "type": "object",
            },
            "either": {"anyOf": [{"type": "integer"}, {"type": "array"}]},
            "two_ways": {
                "anyOf": [
                    {"properties": {"v": {"type": "integer"}}, "required": ["v"]},
                    {"properties": {"w": {"type": "integer"}}, "required": ["w"]},
                ]
            },
        },
        "required": ["id"],
        "$defs": {
            "where": {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "name": {"type": "string"}},
                "required": ["x"],
                "additionalProperties": False,
            }
        },
    }
)


@pytest.mark.parametrize(
    ("given", "mended", "places"),
    [
        ({"count": "5"}, {"count": 5}, ["count: text to integer"]),
        ({"id": 7}, {"id": "7"}, ["id: integer to text"]),
        ({"ratio": "1.5"}, {"ratio": 1.5}, ["ratio: text to number"]),
        ({"ratio": "null"}, {"ratio": None}, ["ratio: text to null"]),
        ({"flag": "true"}, {"flag": True}, ["flag: text to boolean"]),
        ({"tags": '["a"]'}, {"tags": ["a"]}, ["tags: text to array"]),
        ({"tags": [1, "b"]}, {"tags": ["1", "b"]}, ["tags/0: integer to text"]),
        ({"where": '{"x": "3"}'}, {"where": {"x": 3}}, ["where: text to object", "where/x: text to integer"]),
        ({"where": {"x": 3, "name": None}}, {"where": {"x": 3}}, ["where/name: null left out"]),
        ({"count": None, "tags": None}, {}, ["count: null left out", "tags: null left out"]),
        ({"level": "2"}, {"level": 2}, ["level: text to integer"]),
        (
            {"shape": {"kind": "dot", "to": "true"}},
            {"shape": {"kind": "dot", "to": True}},
            ["shape/to: text to boolean"],
        ),
        ({"either": "[1]"}, {"either": [1]}, ["either: text to array"]),
    ],
)
def test_what_can_mean_only_one_thing_is_mended(
    given: dict[str, Any], mended: dict[str, Any], places: list[str]
) -> None:
    checked = VALIDATOR.check(SCHEMA, {"id": "a", **given})
    assert (checked.arguments, checked.mended, checked.problems) == ({"id": "a", **mended}, places, [])
    assert type(checked.arguments.get("level", 2)) is int


@pytest.mark.parametrize(
    "given",
    [
        {"id": 1.10},  # the text may have been 1.1 or 1.10
        {"id": True},
        {"id": None},  # it is required
        {"count": "five"},
        {"count": "05"},
        {"count": "1.5"},
        {"count": True},
        {"level": "3"},
        {"tags": "a"},
        {"tags": "a, b"},
        {"where": '{"x": 3'},
        {"where": '{"y": 3}'},
        {"where": {"x": 3, "more": 1}},
        {"shape": {"kind": "circle", "to": "1"}},
        {"count": "5", "level": 9},
        {"two_ways": {"v": "1", "w": "2"}},
    ],
)
def test_everything_else_stays_as_it_is_and_is_told(given: dict[str, Any]) -> None:
    arguments = {"id": "a", **given}
    checked = VALIDATOR.check(SCHEMA, arguments)
    assert checked.arguments is arguments and checked.mended == []
    assert checked.problems == VALIDATOR.problems(SCHEMA, arguments) != []


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
LOOSE = st.one_of(
    SCALARS,
    st.integers().map(str),
    st.sampled_from(["true", "null", "[]", "[1]", '{"x": 1}', '{"x": "1", "name": null}', "1.0", '"a"']),
    st.lists(SCALARS, max_size=3),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("x", "name", "kind", "to"), SCALARS)),
)
ARGUMENTS = st.fixed_dictionaries({}, optional=dict.fromkeys(SCHEMA["properties"], LOOSE))


@settings(max_examples=200, deadline=None)
@given(ARGUMENTS)
def test_arguments_that_fit_are_never_touched_and_mended_ones_fit(arguments: dict[str, Any]) -> None:
    before = repr(arguments)
    fits = VALIDATOR.problems(SCHEMA, arguments) == []
    checked = VALIDATOR.check(SCHEMA, arguments)
    assert repr(arguments) == before
    if fits:
        assert checked.arguments is arguments and not checked.mended
    elif checked.mended:
        assert VALIDATOR.problems(SCHEMA, checked.arguments) == []
        again = VALIDATOR.check(SCHEMA, checked.arguments)
        assert again.arguments is checked.arguments
    else:
        assert checked.problems


def test_much_to_mend_is_bounded() -> None:
    integers = object_schema({"additionalProperties": {"type": "integer"}})
    arguments = {str(number): "1" for number in range(5_000)}
    started = time.monotonic()
    checked = VALIDATOR.check(integers, arguments)
    assert checked.arguments is arguments and len(checked.problems) == 5
    assert time.monotonic() - started < 5


async def test_a_tool_gets_the_mended_arguments_and_its_record_says_so(rig: Rig) -> None:
    received: list[Any] = []

    async def hook(request: Request) -> JSONResponse:
        received.append((await request.json())["input"])
        return JSONResponse({"output": "done"})

    app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    async with served(lambda _: app) as url:
        await rig.webhook("count", f"{url}/hook", input_schema=schema)
        result = await rig.call("count", {"n": "3"})
        assert (result.output, result.record["mended_arguments"]) == ("done", ["n: text to integer"])
        assert "mended_arguments" not in (await rig.call("count", {"n": 4})).record
        assert (await rig.call("count", {"n": "three"})).record["status"] == "invalid_arguments"
    assert received == [{"n": 3}, {"n": 4}]
