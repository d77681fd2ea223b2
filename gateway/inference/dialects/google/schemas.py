"""JSON Schema and the subset of OpenAPI's Schema object that ``parameters`` and ``responseSchema`` take
(ai.google.dev, API reference: Schema)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.inference.dialects.google.reading import camel

MAX_UNROLLED = 2
"""How often a schema may stand within itself before its inside is left open."""
MAX_NODES = 5_000
MAX_DEPTH = 64
_KEPT = (
    "title", "description", "default", "example", "required", "propertyOrdering", "pattern",
    "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minimum", "maximum",
)  # fmt: skip
_NOTES = {"title", "description", "$defs"}
_NUMBERS = (None, "INTEGER", "NUMBER")
_FORMATS = {"date-time", "enum", "float", "double", "int32", "int64"}
_SILENT = {
    "$schema", "$id", "$defs", "definitions", "$comment", "$anchor", "$ref", "type", "const", "enum", "anyOf",
    "oneOf", "allOf", "nullable", "properties", "items", "prefixItems", "format", "examples", "deprecated",
    "exclusiveMinimum", "exclusiveMaximum", "readOnly", "writeOnly", "discriminator", *_KEPT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adapted:
    """``lost`` holds the paths of what the subset cannot say (the adapted schema accepts more there)."""

    schema: dict[str, Any]
    lost: tuple[str, ...]


def to_google(schema: Mapping[str, Any]) -> Adapted:
    """The schema in Google's subset: references are put in place, ``const`` becomes ``enum``, null becomes
    ``nullable``. Never refuses: what cannot be said is left open and named."""
    adaptation = _Adaptation(schema)
    return Adapted(adaptation.node(schema, "", {}), tuple(dict.fromkeys(adaptation.lost)))


def from_google(schema: Any) -> Any:
    """JSON Schema for a Schema object: types in lower case, ``nullable`` as a type."""
    if not isinstance(schema, Mapping):
        return schema
    found = {camel(name): value for name, value in schema.items()}
    for name in ("items", "additionalProperties"):
        if name in found:
            found[name] = from_google(found[name])
    for name in ("anyOf", "prefixItems"):
        if isinstance(found.get(name), list):
            found[name] = [from_google(item) for item in found[name]]
    if isinstance(found.get("properties"), Mapping):
        found["properties"] = {name: from_google(value) for name, value in found["properties"].items()}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
    if found.pop("nullable", None) is True:
        if isinstance(found.get("type"), str):
            found["type"] = [found["type"], "null"]
        if isinstance(found.get("anyOf"), list):
            found["anyOf"].append({"type": "null"})
        if isinstance(found.get("enum"), list):
            found["enum"] = [*found["enum"], None]
    return found


@dataclass
class _Adaptation:
    root: Mapping[str, Any]
    lost: list[str] = field(default_factory=list)
    nodes: int = 0
    depth: int = 0

    def node(self, schema: Any, path: str, seen: Mapping[str, int]) -> dict[str, Any]:
        """``seen`` counts the references that led here."""
        if schema is True:
            return {}
        self.nodes += 1
        if self.nodes > MAX_NODES or self.depth == MAX_DEPTH or not isinstance(schema, Mapping):
            self.lost.append(path)
            return {}
        self.depth += 1
        try:
            return self._node(schema, path, seen)
        finally:
            self.depth -= 1

    def _node(self, schema: Mapping[str, Any], path: str, seen: Mapping[str, int]) -> dict[str, Any]:
        if "$ref" in schema:
            return self._reference(schema, path, seen)
        if isinstance(schema.get("allOf"), list):
            return self.node(self._all_of(schema, path), path, seen)
        result = {name: schema[name] for name in _KEPT if name in schema}
        self._bounds(schema, result, path)
        self._type(schema, result, path)
        self._values(schema, result, path)
        self._format(schema, result, path)
        self._children(schema, result, path, seen)
        self._alternatives(schema, result, path, seen)
        self.lost += [_join(path, name) for name in schema if name not in _SILENT]
        return result

    def _reference(self, schema: Mapping[str, Any], path: str, seen: Mapping[str, int]) -> dict[str, Any]:
        reference = schema["$ref"]
        target = self._resolved(reference)
        count = seen.get(str(reference), 0)
        if target is None or count >= MAX_UNROLLED:
            self.lost.append(_join(path, "$ref"))
            return self._open(schema, target)
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        members = beside.get("allOf")
        beside["allOf"] = [target, *(members if isinstance(members, list) else ())]
        return self.node(self._all_of(beside, path), path, {**seen, str(reference): count + 1})

    def _open(self, schema: Mapping[str, Any], target: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is said of a schema whose inside is left open: its type and description."""
        result: dict[str, Any] = {}
        for source in (target or {}, schema):
            if isinstance(source.get("type"), str):
                result["type"] = source["type"].upper()
            if "description" in source:
                result["description"] = source["description"]
        return result

    def _resolved(self, reference: Any) -> Mapping[str, Any] | None:
        """A schema of this document by its JSON pointer (RFC 6901)."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found: Any = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            if not isinstance(found, Mapping):
                return None
            found = found.get(step.replace("~1", "/").replace("~0", "~"))
        return found if isinstance(found, Mapping) else None

    def _all_of(self, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        """One schema for all of them: properties and requirements together."""
        result = {name: value for name, value in schema.items() if name != "allOf"}
        for number, member in enumerate(schema["allOf"]):
            found = member
            if isinstance(member, Mapping) and "$ref" in member:
                target = self._resolved(member["$ref"])
                beside = {name: value for name, value in member.items() if name != "$ref"}
                found = None if target is None else {**target, **beside}
            if not isinstance(found, Mapping):
                if found is not True:
                    self.lost.append(f"{_join(path, 'allOf')}[{number}]")
                continue
            for name, value in found.items():
                present = result.get(name)
                if name == "properties" and isinstance(present, Mapping) and isinstance(value, Mapping):
                    result[name] = {**value, **present}
                elif name == "required" and isinstance(present, list) and isinstance(value, list):
                    result[name] = list(dict.fromkeys([*present, *value]))
                elif present is None:
                    result[name] = value
                elif present != value and name not in _NOTES:
                    self.lost.append(f"{_join(path, 'allOf')}[{number}].{name}")
        return result

    def _type(self, schema: Mapping[str, Any], result: dict[str, Any], path: str) -> None:
        kinds = schema.get("type")
        names = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
        known = [name.upper() for name in names if isinstance(name, str)]
        if schema.get("nullable") is True or ("NULL" in known and len(known) > 1):
            result["nullable"] = True
            known = [name for name in known if name != "NULL"]
        if len(known) == 1:
            result["type"] = known[0]
        elif known:
            result["anyOf"] = [{"type": name} for name in known]
            if len(schema.keys() - {"type", "title", "description", "default"}):
                self.lost.append(_join(path, "type"))
        elif isinstance(schema.get("properties"), Mapping):
            result["type"] = "OBJECT"

    def _values(self, schema: Mapping[str, Any], result: dict[str, Any], path: str) -> None:
        """``enum`` is for strings only; a number is told by its bounds."""
        if "const" in schema:
            values = [schema["const"]]
            if "enum" in schema:
                self.lost.append(_join(path, "enum"))
        elif isinstance(schema.get("enum"), list):
            values = list(schema["enum"])
        else:
            return
        kind, place = result.get("type"), _join(path, "const" if "const" in schema else "enum")
        if None in values:
            if kind is None:
                result["nullable"] = True
            values = [value for value in values if value is not None]
        else:
            result.pop("nullable", None)
        if values and kind in (None, "STRING") and all(isinstance(value, str) for value in values):
            result["type"] = "STRING"
            if all(values):
                result["enum"] = values
            else:  # "enum: cannot be empty"
                self.lost.append(place)
        elif values and kind in _NUMBERS and all(type(value) in (int, float) for value in values):
            result.pop("type", None)
            kinds = [kind or ("INTEGER" if isinstance(value, int) else "NUMBER") for value in values]
            choices = [
                {"type": kind, "minimum": value, "maximum": value}
                for kind, value in zip(kinds, values, strict=True)
            ]
            result.update(choices[0] if len(choices) == 1 else {"anyOf": choices})
        elif values:
            if kind is None and all(isinstance(value, bool) for value in values):
                result["type"] = kind = "BOOLEAN"
            if kind != "BOOLEAN" or set(map(repr, values)) != {"True", "False"}:
                self.lost.append(place)
        elif kind in (None, "NULL"):
            result["type"] = "NULL"
        else:
            self.lost.append(place)

    def _bounds(self, schema: Mapping[str, Any], result: dict[str, Any], path: str) -> None:
        for name, inclusive, step in (
            ("exclusiveMinimum", "minimum", 1),
            ("exclusiveMaximum", "maximum", -1),
        ):
            bound = schema.get(name)
            if schema.get("type") == "integer" and type(bound) is int:
                result.setdefault(inclusive, bound + step)
            elif bound is not None:
                self.lost.append(_join(path, name))

    def _format(self, schema: Mapping[str, Any], result: dict[str, Any], path: str) -> None:
        if (name := schema.get("format")) is not None and str(name) in _FORMATS:
            result["format"] = name
        elif "format" in schema:
            self.lost.append(_join(path, "format"))

    def _children(
        self, schema: Mapping[str, Any], result: dict[str, Any], path: str, seen: Mapping[str, int]
    ) -> None:
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            result["properties"] = {
                name: self.node(value, _join(_join(path, "properties"), str(name)), seen)
                for name, value in properties.items()
            }
        if isinstance(schema.get("prefixItems"), list) and schema["prefixItems"]:
            self._places(schema, result, path, seen)
        elif "items" in schema:
            result["items"] = self.node(schema["items"], _join(path, "items"), seen)

    def _places(
        self, schema: Mapping[str, Any], result: dict[str, Any], path: str, seen: Mapping[str, int]
    ) -> None:
        """An array's items one by one: any of them may then stand at any place."""
        places = list(schema["prefixItems"])
        rest = schema.get("items", True)
        most = schema.get("maxItems")
        if rest is False:
            result.setdefault("maxItems", len(places))
        elif not isinstance(most, int) or most > len(places):
            places.append(rest)
        items = [
            self.node(item, f"{_join(path, 'prefixItems')}[{at}]", seen) for at, item in enumerate(places)
        ]
        different = [item for at, item in enumerate(items) if item not in items[:at]]
        if {} in different:
            different = [{}]
        result["items"] = different[0] if len(different) == 1 else {"anyOf": different}
        if any(item != items[0] for item in items):
            self.lost.append(_join(path, "prefixItems"))

    def _alternatives(
        self, schema: Mapping[str, Any], result: dict[str, Any], path: str, seen: Mapping[str, int]
    ) -> None:
        name = "anyOf" if isinstance(schema.get("anyOf"), list) else "oneOf"
        if not isinstance(schema.get(name), list):
            return
        if name == "anyOf" and "oneOf" in schema:
            self.lost.append(_join(path, "oneOf"))
        choices = [choice for choice in schema[name] if choice != {"type": "null"}]
        if not choices and schema[name] and "type" not in result:
            result["type"] = "NULL"
        elif len(choices) < len(schema[name]) and "type" not in result:
            result["nullable"] = True
        adapted = [self.node(item, f"{_join(path, name)}[{at}]", seen) for at, item in enumerate(choices)]
        empty = len(choices) < len(schema[name]) or any(item.get("nullable") for item in adapted)
        if result.get("nullable") and not empty:
            self.lost.append(_join(path, name))
        if len(adapted) == 1:
            if any(result.get(key, value) != value for key, value in adapted[0].items() if key not in _NOTES):
                self.lost.append(_join(path, name))
            result.update({key: value for key, value in adapted[0].items() if key not in result})
        elif adapted and "anyOf" in result:
            self.lost.append(_join(path, name))
        elif adapted:
            result["anyOf"] = adapted


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
