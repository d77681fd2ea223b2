"""Values that fit a schema, made at random from it; and declared arguments as a model gives them under an
adapted schema."""

from random import Random
from typing import Any

import jsonschema_rs

from gateway.inference.tool_schemas.fitting import Fitted

MAX_DEPTH = 6
FORMATS = {
    "uuid": "6f1c1c1e-0000-4000-8000-000000000000",
    "email": "a@b.example",
    "uri": "https://a.example/b",
}


class NoInstance(Exception):
    """Nothing was found that fits."""


def instances(schema: dict[str, Any], random: Random, count: int = 6) -> list[Any]:
    """Up to ``count`` values that the schema accepts."""
    validator = jsonschema_rs.Draft202012Validator(schema)
    maker, found = _Maker(schema, random), []
    for _ in range(count * 3):
        try:
            value = maker.value(schema, 0)
        except NoInstance:
            continue
        if validator.is_valid(value):
            found.append(value)
            if len(found) == count:
                break
    return found


class _Maker:
    def __init__(self, root: dict[str, Any], random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Any, depth: int) -> Any:
        if schema is False or depth > 40:
            raise NoInstance
        if schema is True or not schema:
            return self._random.choice(["any", 7, True, None])
        if "$ref" in schema:
            return self.value(self.resolve(schema["$ref"]), depth + 1)
        if "allOf" in schema:
            return self._all_of(schema, depth)
        for name in ("anyOf", "oneOf"):
            if name in schema:
                return self._union(schema, name, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        return self._typed(schema, depth)

    def resolve(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.split("/")[1:]:
            found = found[step]
        return found

    def _all_of(self, schema: dict[str, Any], depth: int) -> Any:
        parts = [{name: value for name, value in schema.items() if name != "allOf"}, *schema["allOf"]]
        values = [self.value(part, depth + 1) for part in parts if part]
        objects = [value for value in values if isinstance(value, dict)]
        return {name: item for value in objects for name, item in value.items()} if objects else values[-1]

    def _union(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key != name}
        branch = self._random.choice(schema[name])
        if not isinstance(branch, dict) or not ({"properties", "required"} & rest.keys()):
            own = {"type": schema["type"]} if "type" in schema else {}
            return self.value({**own, **branch} if isinstance(branch, dict) else branch, depth + 1)
        value = self.value(rest, depth)
        for wanted in branch.get("required", ()):
            if wanted in rest.get("properties", {}):
                value.setdefault(wanted, self.value(rest["properties"][wanted], depth + 1))
        return (
            {**value, **self.value({"type": "object", **branch}, depth)} if "properties" in branch else value
        )

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kinds = schema.get(
            "type", "object" if "properties" in schema else "array" if "items" in schema else "string"
        )
        kind = self._random.choice(kinds) if isinstance(kinds, list) else kinds
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, kind)
        return {"string": self._text(schema), "boolean": self._random.random() < 0.5, "null": None}[kind]

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        value: dict[str, Any] = dict.fromkeys(required - schema.get("properties", {}).keys(), "any")
        for name, inner in schema.get("properties", {}).items():
            if name in required or (depth < MAX_DEPTH and self._random.random() < 0.5):
                try:
                    value[name] = self.value(inner, depth + 1)
                except NoInstance:
                    if name in required:
                        raise
        additional = schema.get("additionalProperties")
        if additional not in (None, False) and self._random.random() < 0.5:
            value["extra"] = self.value(additional, depth + 1)
        return value

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = [self.value(item, depth + 1) for item in schema.get("prefixItems", ())]
        items = schema.get("items", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        wanted = 0 if items is False or depth > MAX_DEPTH else self._random.randint(0, 2)
        rest = max(least, min(most, wanted + len(first))) - len(first)
        return first + [self.value(items, depth + 1) for _ in range(rest)]

    def _number(self, schema: dict[str, Any], kind: str) -> Any:
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 20))
        if kind == "number" and self._random.random() < 0.5:
            return low + (high - low) / 2
        step = schema.get("multipleOf", 1)
        return int(self._random.randint(int(low), int(high)) // step * step)

    def _text(self, schema: dict[str, Any]) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        size = max(schema.get("minLength", 1), min(schema.get("maxLength", 8), self._random.randint(1, 8)))
        if schema.get("pattern") == "^[A-Z]{2}[0-9]$":
            return "AB1"
        return "".join(self._random.choice("abcxyz") for _ in range(size))


def as_model_gives(arguments: dict[str, Any], fitted: Fitted) -> dict[str, Any]:
    """Declared arguments under the adapted schema: other names, in the wrapper, null for what is left out."""
    safe = {declared: name for name, declared in fitted.restoration.names.items()}
    given = {safe.get(name, name): value for name, value in arguments.items()}
    if fitted.restoration.wrapped:
        given = {"arguments": given}
    if fitted.strict:
        given = _filled(given, fitted.schema, fitted.schema)
    return given


def _filled(value: Any, schema: Any, root: dict[str, Any]) -> Any:
    """Strict schemas only: what is missing is null."""
    if "$ref" in schema:
        return _filled(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        for branch in schema["anyOf"]:
            filled = _filled(value, branch, root)
            if jsonschema_rs.is_valid({**branch, "$defs": root.get("$defs", {})}, filled):
                return filled
        return value
    if isinstance(value, dict) and "properties" in schema:
        return {
            **{
                name: _filled(value[name], inner, root) if name in value else None
                for name, inner in schema["properties"].items()
            },
            **{name: item for name, item in value.items() if name not in schema["properties"]},
        }
    if isinstance(value, list) and "items" in schema:
        return [_filled(item, schema["items"], root) for item in value]
    return value
