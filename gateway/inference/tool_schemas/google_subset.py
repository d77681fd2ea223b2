"""The JSON Schema that Gemini understands in ``parametersJsonSchema``.

The keywords are those documented for JSON Schema in requests (API reference: responseJsonSchema; the field
for parameters names none): ``type``, ``format``, ``title``, ``description``, ``enum`` of texts and numbers,
``items``, ``prefixItems``, ``minItems``, ``maxItems``, ``minimum``, ``maximum``, ``anyOf``, ``properties``,
``additionalProperties``, ``required``. References are put in place, since they may stand neither beside other
keywords nor in a circle through required properties. Nothing is refused: what cannot be said is told in
descriptions, or left open.
"""

from collections.abc import Mapping
from typing import Any

from gateway.inference.tool_schemas.conjunction import NOTES, Conjunction, Unmergeable, resolve
from gateway.inference.tool_schemas.flattening import flattened
from gateway.inference.tool_schemas.kinds import of_kind
from gateway.inference.tool_schemas.words import told

MAX_UNROLLED = 2
"""How often a definition may stand within itself before its inside is left open."""
MAX_NODES = 5_000
MAX_DEPTH = 48
FORMATS = frozenset(("date-time", "date", "time", "int32", "int64", "float", "double"))
_KEPT = ("title", "minItems", "maxItems", "minimum", "maximum", "propertyOrdering")
_TOLD = (
    "pattern", "minLength", "maxLength", "multipleOf", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems",
    "minProperties", "maxProperties", "default", "not", "const", "contains", "propertyNames",
    "patternProperties", "dependentRequired", "contentEncoding",
)  # fmt: skip


def google_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object schema in the subset, its root without alternatives. Never raises."""
    subset = _Subset(schema)
    try:
        result = subset.node(flattened(schema, subset.merge), {}, 0)
    except (Unmergeable, RecursionError):
        result = {}
    result["type"] = "object"
    result.pop("anyOf", None)
    result.setdefault("properties", {})
    return result


class _Subset:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self.merge = Conjunction(root, lenient=True)
        self._nodes = 0

    def node(self, schema: Any, seen: Mapping[str, int], depth: int) -> dict[str, Any]:
        """``seen`` counts the references that led here."""
        self._nodes += 1
        if not isinstance(schema, Mapping) or self._nodes > MAX_NODES or depth > MAX_DEPTH:
            return {}
        if "$ref" in schema:
            return self._reference(schema, seen, depth)
        try:
            whole = self.merge.whole(schema)
            if "properties" in whole and ("anyOf" in whole or "oneOf" in whole):
                whole = flattened(whole, self.merge)
        except Unmergeable:
            whole = {name: value for name, value in schema.items() if name != "allOf"}
        whole = _apart(whole)
        result = {name: whole[name] for name in _KEPT if name in whole}
        said = [name for name in _TOLD if name in whole]
        _type(whole, result)
        _values(whole, result, said)
        _bounds(whole, result, said)
        self._inside(whole, result, seen, depth)
        if "format" in whole:
            if whole["format"] in FORMATS:
                result["format"] = whole["format"]
            else:
                said.append("format")
        description = told(whole, said, whole.get("description"))
        return result if description is None else {**result, "description": description}

    def _reference(self, schema: Mapping[str, Any], seen: Mapping[str, int], depth: int) -> dict[str, Any]:
        reference = str(schema["$ref"])
        target = resolve(self._root, schema["$ref"])
        count = seen.get(reference, 0)
        if isinstance(target, Mapping) and count < MAX_UNROLLED:
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            try:
                return self.node(self.merge.both(beside, target), {**seen, reference: count + 1}, depth + 1)
            except Unmergeable:
                return {}
        opened: dict[str, Any] = {}
        for source in (target, schema):
            if isinstance(source, Mapping):
                opened |= {
                    name: source[name]
                    for name in ("type", "description")
                    if isinstance(source.get(name), str)
                }
        return opened

    def _inside(
        self, schema: Mapping[str, Any], result: dict[str, Any], seen: Mapping[str, int], depth: int
    ) -> None:
        def inner(one: Any) -> dict[str, Any]:
            return self.node(one, seen, depth + 1)

        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            result["properties"] = {
                name: inner(value) for name, value in properties.items() if value is not False
            }
        additional = schema.get("additionalProperties")
        if result.get("type") == "object" and additional is not False:
            missing = [name for name in schema.get("required") or () if name not in (properties or ())]
            if missing:  # what is required must be defined
                result["properties"] = {**result.get("properties", {}), **{name: {} for name in missing}}
        required = [name for name in schema.get("required") or () if name in result.get("properties", {})]
        if required:
            result["required"] = required
        if isinstance(additional, bool):
            result["additionalProperties"] = additional
        elif additional is not None:
            result["additionalProperties"] = inner(additional) or True
        if isinstance(schema.get("prefixItems"), list):
            result["prefixItems"] = [inner(item) for item in schema["prefixItems"]]
        if "items" in schema or result.get("type") == "array":
            if schema.get("items") is False and "prefixItems" in result:
                result.setdefault("maxItems", len(result["prefixItems"]))
            else:
                result["items"] = inner(schema.get("items", True))
        self._alternatives(schema, result, inner)

    def _alternatives(self, schema: Mapping[str, Any], result: dict[str, Any], inner: Any) -> None:
        choices = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(choices, list) and "anyOf" not in result:
            adapted = [inner(choice) for choice in choices if choice is not False]
            result["anyOf"] = [choice for at, choice in enumerate(adapted) if choice not in adapted[:at]]


def _apart(schema: dict[str, Any]) -> dict[str, Any]:
    """Several types, other than one and null, as alternatives."""
    kinds = schema.get("type")
    if not isinstance(kinds, list) or len(set(kinds) - {"null"}) < 2:
        return schema
    if not {"anyOf", "oneOf", "enum", "const"}.isdisjoint(schema):
        return {name: value for name, value in schema.items() if name != "type"}
    inner = {name: value for name, value in schema.items() if name not in NOTES}
    notes = {name: value for name, value in schema.items() if name in NOTES}
    return {**notes, "anyOf": [of_kind(inner, kind) for kind in kinds]}


def _type(schema: Mapping[str, Any], result: dict[str, Any]) -> None:
    """One type, or one and null; more are alternatives."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        result["type"] = kinds
    elif isinstance(kinds, list):
        if len(kinds) == 1:
            result["type"] = kinds[0]
        elif len(kinds) == 2 and "null" in kinds:
            result["type"] = list(kinds)
    elif "properties" in schema:
        result["type"] = "object"
    elif "items" in schema or "prefixItems" in schema:
        result["type"] = "array"


def _values(schema: Mapping[str, Any], result: dict[str, Any], said: list[str]) -> None:
    """``enum`` holds texts or numbers; of other values only their type is said, and they are told."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list):
        return
    scalars = [value for value in values if value is not None]
    for kind, types in (("string", (str,)), ("integer", (int,)), ("number", (int, float))):
        if scalars and all(type(value) in types for value in scalars):
            declared = result.pop("type", kind)
            one = {"type": "number" if "number" in declared else kind, "enum": scalars}
            if "const" in said:
                said.remove("const")
            if len(scalars) < len(values):
                result["anyOf"] = [one, {"type": "null"}]
            else:
                result.update(one)
            return
    if "const" not in said:
        said.append("enum")
    if scalars and "type" not in result and all(isinstance(value, bool) for value in scalars):
        result["type"] = "boolean" if len(scalars) == len(values) else ["boolean", "null"]
    elif not scalars and "type" not in result:
        result["type"] = "null"


def _bounds(schema: Mapping[str, Any], result: dict[str, Any], said: list[str]) -> None:
    """A whole number's exclusive bound is the next number's inclusive one."""
    for name, inclusive, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        bound = schema.get(name)
        if schema.get("type") == "integer" and isinstance(bound, int) and inclusive not in schema:
            result[inclusive] = bound + step
            said.remove(name)
