"""Tool schemas of ours, which between them use every keyword of JSON Schema 2020-12 that tools use."""

from typing import Any

ADDRESS = {
    "type": "object",
    "properties": {"street": {"type": "string"}, "zip": {"type": ["string", "null"], "default": None}},
    "required": ["street"],
    "additionalProperties": False,
}
NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        "parent": {"$ref": "#/$defs/node", "description": "where it hangs"},
    },
    "required": ["value"],
}
LINE = {
    "type": "object",
    "properties": {"kind": {"const": "line"}, "to": {"type": "integer"}, "color": {"type": "string"}},
    "required": ["kind", "to"],
}
DOT = {
    "type": "object",
    "properties": {"kind": {"const": "dot"}, "big": {"type": "boolean"}},
    "required": ["kind"],
}
NAMED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
COUNTED = {"type": "object", "properties": {"b": {"type": "integer"}}}


def of(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = of({"a": schema})
    return schema


SAMPLES: dict[str, dict[str, Any]] = {
    "empty": {},
    "type only": {"type": "object"},
    "no parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    "free form": {"type": "object", "additionalProperties": True},
    "texts": of(
        {
            "short": {"type": "string", "minLength": 1, "maxLength": 5},
            "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]$"},
            "ahead": {"type": "string", "pattern": "^(?!x)[a-z]+$"},
            "mail": {"type": "string", "format": "email"},
            "link": {"type": "string", "format": "uri", "description": "where to"},
            "blob": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
        },
        "short",
    ),
    "numbers": of(
        {
            "page": {"type": "integer", "minimum": 1, "default": 1},
            "above": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "even": {"type": "integer", "multipleOf": 2},
        }
    ),
    "values": of(
        {
            "unit": {"enum": ["C", "F"]},
            "unit_or_none": {"enum": ["C", "F", None], "default": None},
            "size": {"type": "integer", "enum": [1, 2, 3]},
            "or_empty": {"type": "string", "enum": ["", "a"]},
            "mixed": {"enum": ["a", 1, True]},
            "fixed": {"const": "v1"},
            "yes": {"const": True},
            "nothing": {"type": "null"},
        },
        "unit",
        "nothing",
    ),
    "nullables": of(
        {
            "needed": {"type": ["integer", "null"]},
            "choice": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}], "default": None},
            "object": {"type": ["object", "null"], "properties": {"a": {"type": "string"}}, "default": None},
            "several": {"type": ["string", "integer", "array"], "items": {"type": "string"}},
        },
        "needed",
    ),
    "null that clears": of({"id": {"type": "string"}, "owner": {"type": ["string", "null"]}}, "id"),
    "lists": of(
        {
            "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 3},
            "rows": {"type": "array", "items": {"type": "array", "items": ADDRESS}, "minItems": 1},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": False},
            "any": {"type": "array"},
            "some": {"type": "array", "items": {"type": "integer"}, "contains": {"const": 7}},
        }
    ),
    "lists that are strict": of({"rows": {"type": "array", "items": ADDRESS, "uniqueItems": True}}),
    "objects": of(
        {
            "address": ADDRESS,
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "by_name": {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}},
            "named": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "minProperties": 1},
            "anything": True,
            "never": False,
        }
    ),
    "nested optionals": of(
        {"outer": of({"inner": of({"leaf": {"type": "string"}}), "n": {"type": "number"}})}
    ),
    "references": of(
        {"home": {"$ref": "#/$defs/a"}, "work": {"$ref": "#/$defs/a", "description": "the office"}},
        "home",
        **{"$defs": {"a": ADDRESS}},
    ),
    "definitions of draft 7": of({"home": {"$ref": "#/definitions/a"}}, definitions={"a": ADDRESS}),
    "reference to a property": of({"from": ADDRESS, "to": {"$ref": "#/properties/from"}}, "from"),
    "recursive": of({"tree": {"$ref": "#/$defs/node"}}, "tree", **{"$defs": {"node": NODE}}),
    "recursive root": of({"name": {"type": "string"}, "next": {"$ref": "#"}}, "name"),
    "root reference": {"$ref": "#/$defs/address", "$defs": {"address": ADDRESS}},
    "union": of({"shape": {"oneOf": [LINE, DOT]}}, "shape"),
    "list of a union": of({"shapes": {"type": "array", "items": {"anyOf": [LINE, DOT, {"type": "null"}]}}}),
    "union by reference": of(
        {"shape": {"anyOf": [{"$ref": "#/$defs/line"}, {"$ref": "#/$defs/dot"}]}},
        **{"$defs": {"line": LINE, "dot": DOT}},
    ),
    "all of": of({"both": {"allOf": [NAMED, COUNTED]}}),
    "root union": {"oneOf": [LINE, DOT]},
    "root union with a base": {
        **of({"name": {"type": "string"}}, "name"),
        "anyOf": [of({"x": {"type": "integer"}}, "x"), of({"x": {"type": "string"}, "y": {}}, "y")],
    },
    "one of two parameters": {
        **of({"route": {"type": "string"}, "file": {"type": "string"}}),
        "anyOf": [{"required": ["route"]}, {"required": ["file"]}],
    },
    "root all of": {"allOf": [NAMED, of({"c": {"enum": ["x", "y"]}}, "c")]},
    "conditions": {
        **of({"mode": {"enum": ["a", "b"]}, "extra": {"type": "string"}}, "mode"),
        "if": {"properties": {"mode": {"const": "b"}}},
        "then": {"required": ["extra"]},
        "dependentRequired": {"extra": ["mode"]},
    },
    "not": {**of({"a": {"type": "string"}, "b": {"type": "string"}}), "not": {"required": ["a", "b"]}},
    "odd names": of(
        {
            "filter[id]": {"type": "string"},
            "$top": {"type": "integer"},
            "a.b-c": {"type": "string"},
            "per page": {"type": "integer"},
            "per_page": {"type": "integer"},
            "x" * 80: {"type": "string"},
            "ärger": {"type": "string"},
        },
        "filter[id]",
        "per page",
    ),
    "required but not named": of({"a b": {"type": "string"}}, "a_b"),
    "annotations": of(
        {"a": {"type": "string", "title": "A", "examples": ["x"], "deprecated": True, "readOnly": False}},
        title="T",
        description="D",
        **{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/t"},
    ),
    "many optionals": of({f"p{number}": {"type": "string"} for number in range(40)}),
    "large enum": of({"zone": {"enum": [f"zone-{number}" for number in range(1_200)]}}),
    "deep": nested(11),
}
