"""JSON Schema in Google's subset of OpenAPI."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.dialects.google.schemas import MAX_DEPTH, from_google, to_google

TREE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "string"}},
            "required": ["value"],
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "adapted", "lost"),
    [
        ({"type": "string", "pattern": "a"}, {"type": "STRING", "pattern": "a"}, ()),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, ()),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
            {"type": "STRING", "nullable": True, "description": "d"},
            (),
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            (),
        ),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}, ()),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}, ()),
        ({"enum": ["", "a"]}, {"type": "STRING"}, ("enum",)),
        ({"enum": ["a", None]}, {"type": "STRING", "enum": ["a"], "nullable": True}, ()),
        ({"const": 3}, {"type": "INTEGER", "minimum": 3, "maximum": 3}, ()),
        (
            {"type": "integer", "enum": [1, 5]},
            {
                "anyOf": [
                    {"type": "INTEGER", "minimum": 1, "maximum": 1},
                    {"type": "INTEGER", "minimum": 5, "maximum": 5},
                ]
            },
            (),
        ),
        ({"const": True}, {"type": "BOOLEAN"}, ("const",)),
        ({"enum": [True, False]}, {"type": "BOOLEAN"}, ()),
        ({"const": None}, {"type": "NULL", "nullable": True}, ()),
        ({"enum": ["a", 1]}, {}, ("enum",)),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "INTEGER", "minimum": 1}, ()),
        ({"type": "number", "exclusiveMaximum": 1}, {"type": "NUMBER"}, ("exclusiveMaximum",)),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}, ()),
        ({"type": "string", "format": "email"}, {"type": "STRING"}, ("format",)),
        (
            {"type": "object", "properties": {"a": True}, "additionalProperties": False},
            {"type": "OBJECT", "properties": {"a": {}}},
            ("additionalProperties",),
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "maxItems": 2},
            {"type": "ARRAY", "items": {"type": "INTEGER"}, "maxItems": 2},
            (),
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
            {"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]}, "maxItems": 2},
            ("prefixItems",),
        ),
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/A"},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                ],
                "$defs": {
                    "A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
                },
            },
            {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}},
                "required": ["a", "b"],
            },
            (),
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/A", "description": "mine"}},
                "$defs": {"A": {"const": "x"}},
            },
            {"type": "OBJECT", "properties": {"a": {"type": "STRING", "enum": ["x"], "description": "mine"}}},
            (),
        ),
        ({"$ref": "https://elsewhere.example/a"}, {}, ("$ref",)),
        ({"not": {"type": "string"}}, {}, ("not",)),
    ],
)  # fmt: skip
def test_what_a_schema_becomes(
    schema: dict[str, Any], adapted: dict[str, Any], lost: tuple[str, ...]
) -> None:
    found = to_google(schema)
    assert found.schema == adapted
    assert found.lost == lost


def test_a_recursive_schema_is_unrolled_twice() -> None:
    value = {"type": "STRING"}
    inner = {
        "type": "OBJECT",
        "properties": {"next": {"type": "OBJECT"}, "value": value},
        "required": ["value"],
    }
    found = to_google(TREE)
    assert found.schema == {
        "type": "OBJECT",
        "properties": {"next": inner, "value": value},
        "required": ["value"],
    }
    assert found.lost == ("properties.next.properties.next.$ref",)


def test_references_that_go_in_circles_end() -> None:
    for schema in (
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"allOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}},
    ):
        assert to_google(schema).lost
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH * 2):
        deep = {"type": "array", "items": deep}
    assert to_google(deep).lost
    names = [f"D{number}" for number in range(30)]
    wide = {name: {"properties": {other: {"$ref": f"#/$defs/{other}"} for other in names}} for name in names}
    assert to_google({"$ref": "#/$defs/D0", "$defs": wide}).lost


def test_openapi_becomes_json_schema() -> None:
    assert from_google(
        {
            "type": "OBJECT",
            "properties": {
                "some_name": {"type": "STRING", "nullable": True},
                "b": {"any_of": [{"type": "INTEGER"}, {"type": "ARRAY", "items": {"type": "NUMBER"}}]},
            },
            "property_ordering": ["some_name", "b"],
        }
    ) == {
        "type": "object",
        "properties": {
            "some_name": {"type": ["string", "null"]},
            "b": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "number"}}]},
        },
        "propertyOrdering": ["some_name", "b"],
    }


WORDS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "allOf", "oneOf", "enum", "const", "$ref", "$defs", "nullable",
     "prefixItems", "required", "format", "exclusiveMinimum", "additionalProperties"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "#", "#/$defs/items", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, ANYTHING, max_size=5))
def test_no_schema_is_too_strange(schema: dict[str, Any]) -> None:
    to_google(schema)
    to_google(from_google(schema))


LEAVES = st.sampled_from(
    [
        {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"},
        {"const": "a"}, {"const": 1}, {"enum": ["a", "b", None]}, {"enum": [1, 2.5]}, {"enum": ["a", 1]},
        {"type": "string", "enum": ["a"]}, {"type": ["string", "null"]}, {"type": ["integer", "boolean"]},
        {"type": "integer", "exclusiveMinimum": 0, "maximum": 2}, {"type": "string", "maxLength": 1},
        {}, True,
        {"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A", "description": "d"},
    ]
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries(
            {"type": st.just("array"), "prefixItems": st.lists(inner, min_size=1, max_size=2)}
        )
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
                "required": st.lists(st.sampled_from("ab"), unique=True),
                "additionalProperties": st.booleans(),
            }
        )
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 2.5, "", "a", "b", "ab"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@given(SCHEMAS, LEAVES, st.lists(VALUES, min_size=1, max_size=8))
def test_whatever_a_schema_accepts_is_accepted(schema: Any, definition: Any, values: list[Any]) -> None:
    """And nothing else, where nothing was lost."""
    whole = {**({} if schema is True else schema), "$defs": {"A": definition}}
    found = to_google(whole)
    before, after = jsonschema_rs.validator_for(whole), jsonschema_rs.validator_for(from_google(found.schema))
    for value in values:
        if before.is_valid(value):
            assert after.is_valid(value), (found, value)
        elif not found.lost and "oneOf" not in repr(schema):
            assert not after.is_valid(value), (found, value)
