"""One schema for several that must all hold: ``allOf``, and a reference with keywords beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

MAX_STEPS = 50_000
"""Keywords merged for one schema: references that double at every level end here."""
NOTES = frozenset((
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "$comment", "$schema", "$id", "$anchor", "$defs", "definitions", "x-mcp-header",
))  # fmt: skip
"""Keywords that refuse no value: of two, the outer one stays."""
_LARGER = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"))
_SMALLER = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"))
_ALL_OF_BOTH = frozenset(("items", "additionalProperties", "propertyNames"))


class Unmergeable(ValueError):
    """The schemas cannot be said as one; the message names the keyword that is in the way."""


def resolve(root: Mapping[str, Any], reference: Any) -> Any:
    """What a JSON pointer (RFC 6901) names in this document; None if nothing, or if it is none."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for step in unquote(reference.removeprefix("#")).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping):
            found = found.get(key)
        else:
            return None
    return None if reference.lstrip("#") and not reference.startswith("#/") else found


@dataclass
class Conjunction:
    """Merges schemas of one document. ``lenient``: of two keywords that cannot be said as one, the first
    stays, so that the outcome accepts more than both together."""

    root: Mapping[str, Any]
    lenient: bool = False
    steps: int = 0

    def whole(self, schema: Mapping[str, Any], within: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The schema without ``$ref`` and ``allOf`` at its own level. Raises Unmergeable."""
        result = dict(schema)
        while "$ref" in result or "allOf" in result:
            reference = result.pop("$ref", None)
            members = result.pop("allOf", None) or []
            if reference is not None:
                if str(reference) in within:
                    raise Unmergeable("$ref")
                within |= {str(reference)}
                members = [resolve(self.root, reference), *members]
            for member in members:
                found = self.whole(member, within) if isinstance(member, Mapping) else member
                result = self.both(result, found)
        return result

    def both(self, first: Mapping[str, Any], second: Any) -> dict[str, Any]:
        """Raises Unmergeable."""
        if second is True:
            return dict(first)
        if not isinstance(second, Mapping):
            raise Unmergeable("$ref" if second is None else "false")
        result = dict(first)
        for name, value in second.items():
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise Unmergeable("allOf")
            if name not in result:
                result[name] = value
            elif name not in NOTES and result[name] != value:
                result[name] = self._one(name, result[name], value)
        if "properties" in result:
            result["properties"] = _not_refused(result["properties"], first, second)
        return result

    def _one(self, name: str, first: Any, second: Any) -> Any:
        if name == "properties":
            return self._properties(first, second)
        if name == "required":
            return list(dict.fromkeys([*first, *second]))
        if name == "type":
            return _types(first, second)
        if name == "enum":
            common = [value for value in first if value in second]
            if not common:
                raise Unmergeable(name)
            return common
        if name in _LARGER:
            return max(first, second)
        if name in _SMALLER:
            return min(first, second)
        if name in _ALL_OF_BOTH:
            return _nested(first, second)
        if name == "allOf":
            return [*first, *second]
        if name == "uniqueItems" or self.lenient:
            return first or second if name == "uniqueItems" else first
        raise Unmergeable(name)

    def _properties(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
        self.steps += len(second)
        result = dict(first)
        for name, value in second.items():
            same = name not in result or result[name] == value
            result[name] = value if same else _nested(result[name], value)
        return result


def _not_refused(properties: Mapping[str, Any], *schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those that none of the schemas refuses because it is closed and does not name them."""
    for schema in schemas:
        if schema.get("additionalProperties") is False and "patternProperties" not in schema:
            named = schema.get("properties") or {}
            properties = {name: value for name, value in properties.items() if name in named}
    return properties


def _nested(first: Any, second: Any) -> Any:
    if first is True or second is True:
        return second if first is True else first
    if first is False or second is False:
        return False
    return {"allOf": [first, second]}


def _types(first: Any, second: Any) -> Any:
    """Raises Unmergeable if no value has both."""
    one, other = ([kinds] if isinstance(kinds, str) else list(kinds) for kinds in (first, second))
    common = [kind for kind in one if kind in other or (kind == "integer" and "number" in other)]
    if "number" in one and "integer" in other and "integer" not in common:
        common.append("integer")
    if not common:
        raise Unmergeable("type")
    return common[0] if len(common) == 1 else common
