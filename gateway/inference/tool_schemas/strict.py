"""OpenAI's strict function schemas (guide: Structured outputs, Supported schemas).

Every object is closed and names all its properties as required; what was optional may be null instead, and
such a null is taken out of the arguments again. A schema that the subset cannot say without taking
something away from the tool is not strict: free-form objects, patterns of names, conditions, and optional
parameters that take null without having it as their default: there null says something ("clear it"), and
nobody could tell it from what was left out.
"""

from collections.abc import Mapping
from typing import Any

from gateway.inference.tool_schemas.conjunction import NOTES, Conjunction, Unmergeable, resolve
from gateway.inference.tool_schemas.kinds import of_kind
from gateway.inference.tool_schemas.restoration import (
    WRAPPER,
    Branch,
    BranchesPlan,
    ItemsPlan,
    ObjectPlan,
    Plan,
    ReferencePlan,
    Restoration,
)
from gateway.inference.tool_schemas.strict_limits import NotStrict, check_limits
from gateway.inference.tool_schemas.strict_values import (
    accepts_null,
    kinds_of,
    nullable,
    scalar,
    with_description,
)

MAX_DEPTH = 48
MAX_NODES = 10_000
_REFUSED = frozenset((
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "patternProperties",
    "propertyNames", "unevaluatedProperties", "unevaluatedItems", "contains", "minContains", "maxContains",
    "prefixItems", "additionalItems", "$dynamicRef", "$recursiveRef",
))  # fmt: skip
"""Keywords that the subset lacks and that no description could stand for."""
_TOLD_OF_OBJECTS = ("minProperties", "maxProperties", "default")
_TOLD_OF_ARRAYS = ("uniqueItems", "default")


def strict_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], Restoration]:
    """The schema in the strict subset, and the way back. Raises NotStrict."""
    try:
        return _Strict(schema).fitted()
    except (Unmergeable, RecursionError) as problem:
        raise NotStrict(f"{problem} cannot be said in the strict subset") from None


class _Strict:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._merge = Conjunction(root)
        self._definitions: dict[str, Any] = {}
        self._plans: dict[str, Plan] = {}
        self._names: dict[str, str] = {}
        self._nodes = 0
        self._optional = False

    def fitted(self) -> tuple[dict[str, Any], Restoration]:
        root = self._merge.whole(self._root)
        _check_keywords(root)
        wrapped = "anyOf" in root or "oneOf" in root
        if wrapped:
            inner, plan = self._node(root, 1)
            result = _closed({WRAPPER: inner})
        else:
            result, plan = self._object(root, 0)
        if self._definitions:
            result["$defs"] = self._definitions
        check_limits(result)
        if not self._optional:
            return result, Restoration(wrapped=wrapped)
        return result, Restoration(plan, self._plans, wrapped=wrapped)

    def _node(self, schema: Any, depth: int) -> tuple[dict[str, Any], Plan]:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise NotStrict("it is too large or too deeply nested")
        if not isinstance(schema, Mapping):
            raise NotStrict("a place may have any value, or none")
        if "$ref" in schema:
            return self._reference(schema, depth)
        if "allOf" in schema:
            schema = self._merge.whole(schema)
        _check_keywords(schema)
        if "anyOf" in schema or "oneOf" in schema:
            return self._alternatives(schema, depth)
        kinds = kinds_of(schema)
        if len(kinds) > 1 and (kinds & {"object", "array"} or len(kinds - {"null"}) > 1):
            return self._by_kind(schema, sorted(kinds), depth)
        if kinds & {"object", "array"} and not {"enum", "const"}.isdisjoint(schema):
            raise NotStrict("an object or array must be one of given values")
        if "object" in kinds:
            return self._object(schema, depth)
        if "array" in kinds:
            return self._array(schema, depth)
        return scalar(schema, kinds), None

    def _reference(self, schema: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], Plan]:
        """A reference stands alone in the subset: what is said beside it is merged with what it names."""
        if any(name not in NOTES and name != "$ref" for name in schema):
            return self._node(self._merge.whole(schema), depth + 1)
        name = self._definition(schema["$ref"], depth)
        reference: dict[str, Any] = {"$ref": f"#/$defs/{name}"}
        if "description" in schema:
            reference = with_description({"anyOf": [reference]}, schema, ())
        return reference, ReferencePlan(name)

    def _definition(self, reference: Any, depth: int) -> str:
        pointer = str(reference)
        if pointer in self._names:
            return self._names[pointer]
        target = resolve(self._root, reference)
        if target is None:
            raise NotStrict(f"{pointer[:100]} is not a JSON pointer into the schema")
        last = pointer.rsplit("/", 1)[-1][:64]
        name = last if last.isidentifier() and last.isascii() else "root"
        if name in self._definitions:
            name = f"{name}_{len(self._names)}"
        self._names[pointer] = name
        self._definitions[name] = {}  # its place, for references from within it
        self._definitions[name], self._plans[name] = self._node(target, depth + 1)
        return name

    def _alternatives(self, schema: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], Plan]:
        """``oneOf`` becomes ``anyOf``; what stands beside them goes into each branch."""
        if "anyOf" in schema and "oneOf" in schema:
            raise NotStrict("anyOf beside oneOf is not in the strict subset")
        name = "anyOf" if "anyOf" in schema else "oneOf"
        beside = {key: value for key, value in schema.items() if key != name and key not in NOTES}
        merged = [
            self._merge.both(self._merge.whole(branch), beside)
            if beside and isinstance(branch, Mapping)
            else branch
            for branch in schema[name]
        ]
        return self._branches(schema, merged, depth)

    def _by_kind(
        self, schema: Mapping[str, Any], kinds: list[str], depth: int
    ) -> tuple[dict[str, Any], Plan]:
        """A list of types as alternatives of one type each."""
        inner = {name: value for name, value in schema.items() if name not in NOTES}
        if "enum" in schema or "const" in schema:
            by_kind = [{**inner, "type": kind} for kind in kinds if kind not in ("object", "array")]
        else:
            by_kind = [of_kind(inner, kind) for kind in kinds]
        return self._branches(schema, by_kind, depth)

    def _branches(
        self, schema: Mapping[str, Any], branches: list[Any], depth: int
    ) -> tuple[dict[str, Any], Plan]:
        found = [self._node(branch, depth + 1) for branch in branches if branch is not False]
        if not found:
            raise NotStrict("no value fits one of its places")
        adapted = with_description({"anyOf": [inner for inner, _ in found]}, schema, ("default",))
        if all(plan is None for _, plan in found):
            return adapted, None
        return adapted, BranchesPlan(tuple(Branch(inner, self._definitions, plan) for inner, plan in found))

    def _object(self, schema: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], Plan]:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties", False) is not False:
            raise NotStrict("an object may have properties that the schema does not name")
        if not properties and "additionalProperties" not in schema and depth:
            raise NotStrict("an object's properties are not named")
        required = set(schema.get("required") or ())
        if not required <= properties.keys():
            raise NotStrict("a required property is not among the properties")
        adapted: dict[str, Any] = {}
        inner: dict[str, Plan] = {}
        optional = set()
        for name, value in properties.items():
            if value is False and name not in required:
                continue
            adapted[name], plan = self._node(value, depth + 1)
            if plan is not None:
                inner[name] = plan
            if name in required:
                continue
            if not accepts_null(value, self._root):
                adapted[name] = nullable(adapted[name])
                optional.add(name)
            elif not (isinstance(value, Mapping) and "default" in value and value["default"] is None):
                raise NotStrict(f"null means something else than leaving {name[:64]} out")
        self._optional = self._optional or bool(optional)
        result = with_description(_closed(adapted), schema, _TOLD_OF_OBJECTS)
        return result, ObjectPlan(frozenset(optional), inner) if optional or inner else None

    def _array(self, schema: Mapping[str, Any], depth: int) -> tuple[dict[str, Any], Plan]:
        if "items" not in schema:
            raise NotStrict("an array's items have no schema")
        items, plan = self._node(schema["items"], depth + 1)
        result: dict[str, Any] = {"type": "array", "items": items}
        result |= {name: schema[name] for name in ("minItems", "maxItems") if name in schema}
        return with_description(result, schema, _TOLD_OF_ARRAYS), plan and ItemsPlan(plan)


def _check_keywords(schema: Mapping[str, Any]) -> None:
    for name in schema:
        if name in _REFUSED:
            raise NotStrict(f"{name} is not in the strict subset")


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
