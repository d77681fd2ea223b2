"""Schemas are checked where they come in; arguments before they go out."""

import time
from typing import Any

import pytest

from broker.schema import ArgumentValidator, check_schema
from kit.errors import InvalidRequest


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ("text", "JSON Schema object"),
        ({"type": "array"}, "named arguments"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "properties/a/type"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "properties/a/pattern"),
        ({"type": "object", "required": "a"}, "required"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "not followed"),
        ({"type": "object", "description": "x" * 300_000}, "larger than"),
    ],
)
def test_bad_schemas_are_refused_with_the_place(schema: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        check_schema(schema)


def test_a_schema_without_a_type_becomes_an_object() -> None:
    assert check_schema({"properties": {}}) == {"type": "object", "properties": {}}


def test_local_references_and_recursion_work() -> None:
    tree = {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/node"}},
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}},
            }
        },
    }
    check_schema(tree)
    validator = ArgumentValidator()
    assert validator.problems(tree, {"root": {"next": {"n": 1}}}) == []
    assert "root/next/n" in validator.problems(tree, {"root": {"next": {"n": "x"}}})[0]


def test_problems_are_words_that_a_model_can_act_on() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 7}},
        "required": ["city"],
        "additionalProperties": False,
    }
    problems = ArgumentValidator().problems(schema, {"days": 9, "colour": "red"})
    text = "; ".join(problems)
    assert '"city" is a required property' in text
    assert "days: 9 is greater than the maximum of 7" in text
    assert "colour" in text


def test_a_hostile_pattern_is_bounded_in_time() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a|a)*$(?=x)"}}}
    started = time.monotonic()
    assert ArgumentValidator().problems(schema, {"a": "a" * 40 + "!"}) != []
    assert time.monotonic() - started < 5


def test_a_deep_schema_is_survived() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(3_000):
        schema = {"type": "object", "properties": {"a": schema}}
    try:
        check_schema(schema)
    except InvalidRequest as refusal:
        assert refusal.param == "input_schema"
