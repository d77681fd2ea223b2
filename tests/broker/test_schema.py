"""Input schemas at registration, arguments before dispatch."""

import time
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from broker.schema import ArgumentValidator, BadSchema, object_schema
from broker.schema_cost import TooCostly, check_cost, weight_of
from gateway.loopback import served

ISSUE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 3},
        "labels": {"type": "array", "items": {"enum": ["bug", "feature"]}},
        "assignee": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
    },
    "required": ["title"],
    "additionalProperties": False,
}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ([], "expected a JSON Schema object"),
        ({"type": "string"}, 'type: expected "object"'),
        ({"properties": []}, 'properties: [] is not of type "object"'),
        ({"properties": {"city": {"type": "strng"}}}, "properties/city/type"),
        ({"properties": {"city": {"pattern": "("}}}, "properties/city/pattern"),
        ({"properties": {"city": {"$ref": "#/$defs/city"}}}, "'/$defs/city' does not exist"),
        ({"properties": {"city": {"$ref": "https://example.com/city.json"}}}, "not local"),
        ({"properties": {"city": {"$id": "https://example.com/city"}}}, "$id"),
        ({"description": "x" * 300_000}, "larger than"),
        (deep(150), "Recursion limit reached"),
        (deep(5_000), "too deeply nested"),
        ({"properties": {"a": {"$dynamicRef": "#there"}}}, "does not exist"),
        ({"properties": {"a": {"minimum": "1"}}}, "properties/a/minimum"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_saying_where(schema: Any, told: str) -> None:
    with pytest.raises(BadSchema) as refused:
        object_schema(schema)
    assert told in str(refused.value)


def test_a_schema_without_a_type_is_an_object_schema() -> None:
    assert object_schema({"properties": {}}) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, ['"title" is a required property']),
        ({"title": 5}, ['title: 5 is not of type "string"']),
        ({"title": "ab"}, ['title: "ab" is shorter than 3 characters']),
        ({"title": "abc", "labels": ["bug", "x"]}, ['labels/1: "x" is not one of "bug" or "feature"']),
        ({"title": "abc", "assignee": {}}, ['assignee: "id" is a required property']),
        ({"title": "abc", "x": 1}, ["Additional properties are not allowed ('x' was unexpected)"]),
        ({"title": "abc", "labels": [], "assignee": {"id": 7}}, []),
    ],
)
def test_a_violation_says_where_and_what_was_expected(arguments: dict[str, Any], told: list[str]) -> None:
    assert ArgumentValidator().problems(ISSUE, arguments) == told


def test_at_most_five_violations_are_told() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    arguments = {str(number): number for number in range(50)}
    assert len(ArgumentValidator().problems(schema, arguments)) == 5


async def test_a_remote_reference_is_never_fetched() -> None:
    asked: list[str] = []

    async def record(request: Request) -> JSONResponse:
        asked.append(request.url.path)
        return JSONResponse({"type": "object"})

    app = Starlette(routes=[Route("/{path:path}", record)])
    async with served(lambda _: app) as url:
        for schema in (
            {"$ref": f"{url}/a"},
            {"$dynamicRef": f"{url}/b"},
            {"properties": {"x": {"anyOf": [{"$ref": f"{url}/c#/$defs/x"}]}}},
        ):
            with pytest.raises(BadSchema):
                object_schema(schema)
            assert ArgumentValidator().problems(schema, {"x": 1}) == ["the tool's own schema cannot be used"]
        object_schema({"$schema": f"{url}/d", "$id": f"{url}/e", "properties": {}})
    assert asked == []


def doubling(levels: int) -> dict[str, Any]:
    """Each definition refers twice to the next: 2 to the power of ``levels`` checks at one place."""
    definitions: dict[str, Any] = {"a0": {"type": "object"}}
    for level in range(1, levels + 1):
        twice = {"$ref": f"#/$defs/a{level - 1}"}
        definitions[f"a{level}"] = {"allOf": [twice, twice]}
    return {"$defs": definitions, "$ref": f"#/$defs/a{levels}"}


SELF_DOUBLING: dict[str, Any] = {"properties": {"next": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"next": value}
    return value


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (doubling(60), {}),
        (SELF_DOUBLING, nested(40)),
        (SELF_DOUBLING, nested(3_000)),
        (
            {"$anchor": "me", "properties": {"next": {"allOf": [{"$ref": "#me"}, {"$ref": "#me"}]}}},
            nested(40),
        ),
        ({"properties": {"x": {"pattern": "^(a|aa)+$"}}}, {"x": "a" * 5_000 + "!"}),
        ({"$ref": "#"}, {"x": 1}),
        ({"additionalProperties": {"items": {"anyOf": [{"type": "null"}] * 1000}}}, {"x": [1] * 10_000}),
        (
            {"properties": {f"p{number}": {"type": "integer"} for number in range(8_000)}},
            {f"p{number}": "1" for number in range(8_000)},
        ),
        ({"properties": {"e": {"enum": [f"v{number}" for number in range(20_000)]}}}, {"e": "other"}),
        (
            {
                "$defs": {f"a{number}": {"$anchor": f"a{number}"} for number in range(4_000)},
                "properties": {f"p{number}": {"$ref": f"#a{number}"} for number in range(4_000)},
            },
            {f"p{number}": 1 for number in range(4_000)},
        ),
    ],
    ids=[
        "doubling",
        "recursive",
        "very deep",
        "anchor",
        "regex",
        "itself",
        "large",
        "wide",
        "huge enum",
        "anchors",
    ],
)
def test_a_hostile_schema_does_not_keep_the_process_busy(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    started = time.monotonic()
    ArgumentValidator().check(object_schema(schema), arguments)
    assert time.monotonic() - started < 4


def test_what_a_schema_weighs_bounds_the_work_of_checking() -> None:
    assert weight_of(SELF_DOUBLING) is None and weight_of(doubling(60)) is None
    assert weight_of({"$ref": "#"}) is None
    assert 2**5 <= (weight_of(doubling(5)) or 0) < 2**9
    assert weight_of({"properties": {"a": {"items": {"type": "string"}}}}) == 4
    check_cost(doubling(5), nested(100), weight=1_000)
    with pytest.raises(TooCostly):
        check_cost(SELF_DOUBLING, nested(40), weight=None)


def test_arguments_that_would_take_too_long_to_check_are_refused() -> None:
    validator = ArgumentValidator()
    assert validator.problems(SELF_DOUBLING, nested(10)) == []
    assert "too large or too deeply nested" in validator.problems(SELF_DOUBLING, nested(40))[0]


def test_compiled_schemas_are_kept_up_to_a_bound() -> None:
    validator = ArgumentValidator(max_cached=3)
    for number in range(10):
        assert validator.problems({"properties": {"n": {"const": number}}}, {"n": number}) == []
    assert validator.cached == 3
    bounded = ArgumentValidator(max_bytes=2_500)
    for number in range(5):
        bounded.problems({"description": f"{number}" * 1_000}, {})
    assert bounded.cached == 2
