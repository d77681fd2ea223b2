"""Made-up arguments satisfy the schema they were made for."""

from typing import Any

import jsonschema_rs
import pytest

from gateway.sim.example_values import MAX_VALUES, example_object, example_value


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "number"}},
            "required": ["a"],
        },
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}}, "required": ["n"]},
        {
            "type": "object",
            "properties": {"n": {"type": "integer", "exclusiveMinimum": 7}},
            "required": ["n"],
        },
        {"type": "object", "properties": {"n": {"type": "number", "maximum": -3}}, "required": ["n"]},
        {"type": "object", "properties": {"s": {"type": "string", "minLength": 20}}, "required": ["s"]},
        {"type": "object", "properties": {"s": {"type": "string", "maxLength": 3}}, "required": ["s"]},
        {
            "type": "object",
            "properties": {"e": {"enum": ["x", "y"]}, "c": {"const": 4}},
            "required": ["e", "c"],
        },
        {"type": "object", "properties": {"b": {"type": ["null", "boolean"]}}, "required": ["b"]},
        {
            "type": "object",
            "properties": {"l": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/City"}}},
            "required": ["l"],
            "$defs": {"City": {"type": "object", "properties": {"z": {"type": "null"}}, "required": ["z"]}},
        },
        {
            "type": "object",
            "properties": {"v": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
            "required": ["v"],
        },
        {"type": "object"},
    ],
)
def test_an_example_satisfies_its_schema(schema: dict[str, Any]) -> None:
    assert jsonschema_rs.is_valid(schema, example_object(schema))


def test_a_schema_that_refers_to_itself_ends() -> None:
    again = {"$ref": "#"}
    schema = {"type": "object", "properties": {"a": again, "b": again}, "required": ["a", "b"]}
    assert str(example_value(schema)).count("example") <= 2 * MAX_VALUES


@pytest.mark.parametrize("schema", [None, True, "text", [], {"type": 5}, {"$ref": 3}, {"required": "a"}])
def test_what_is_no_object_schema_gives_no_arguments(schema: Any) -> None:
    assert example_object(schema) == {}
