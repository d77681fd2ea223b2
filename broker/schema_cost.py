"""How much work it is to check arguments against a schema, counted before it is done.

Two references to one definition, repeated at every level, double the work with each level: a few hundred
bytes of schema would keep the process busy for years. The count follows every branch (as if nothing were
cut short) and remembers each pair of schema and value, so counting is cheap where checking would not be.
"""

from functools import cached_property
from typing import Any
from urllib.parse import unquote

MAX_STEPS = 1_000_000
MAX_PAIRS = 100_000
_SAME_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_PLACE = ("not", "if", "then", "else")
_EVERY_PROPERTY = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_EVERY_ITEM = ("items", "contains", "unevaluatedItems")
_REFERENCES = ("$ref", "$dynamicRef")


class TooCostly(ValueError):
    """Checking these arguments against this schema would take too long."""


class BadReference(ValueError):
    """A reference that does not stay within the schema, or leads nowhere."""


def check_references(schema: dict[str, Any]) -> None:
    """References must be local (``#…``), so that what they cost can be counted. Raises BadReference."""
    pending: list[tuple[Any, bool]] = [(schema, True)]
    while pending:
        node, is_root = pending.pop()
        if isinstance(node, list):
            pending.extend((item, False) for item in node)
        if not isinstance(node, dict):
            continue
        if not is_root and isinstance(node.get("$id"), str):
            raise BadReference("$id is supported at the root only")
        for keyword in _REFERENCES:
            target = node.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                raise BadReference(
                    f"{keyword} {target[:100]} is not local: expected a reference like #/$defs/x"
                )
        pending.extend((value, False) for value in node.values())


def weight_of(schema: dict[str, Any]) -> int | None:
    """How many schemas are tried on one value at most, with every reference put in place; None if that has no
    end, or is more than a million. A value of n parts takes no more steps than n times as many."""
    try:
        return _Weight(schema).of(schema)
    except (TooCostly, RecursionError):
        return None


def check_cost(schema: dict[str, Any], value: Any, weight: int | None = None) -> None:
    """Raises TooCostly if checking ``value`` could take more than a million steps. They are counted only
    where the schema's ``weight`` does not rule that out."""
    if weight is not None and weight * _parts(value) <= MAX_STEPS:
        return
    if _Count(schema).steps(schema, value) > MAX_STEPS:
        raise TooCostly("the arguments are too large or too deeply nested to be checked against the schema")


def _parts(value: Any) -> int:
    """How many values there are in a value, itself included. Raises RecursionError."""
    if isinstance(value, dict):
        return 1 + sum(map(_parts, value.values()))
    return 1 + sum(map(_parts, value)) if isinstance(value, list) else 1


class _Weight:
    def __init__(self, root: dict[str, Any]) -> None:
        self._references = _References(root)
        self._known: dict[int, int | None] = {}

    def of(self, node: Any) -> int:
        """Of whatever stands in a schema, keywords' values included. Raises TooCostly."""
        if not isinstance(node, dict | list):
            return 0
        known = self._known.get(id(node), 0)
        if known is None:
            raise TooCostly("a schema refers to itself")
        if known:
            return known
        self._known[id(node)] = None  # until it is known: a reference back to here has no end
        total = 1 + sum(map(self.of, node.values() if isinstance(node, dict) else node))
        if isinstance(node, dict):
            targets = [node[name] for name in _REFERENCES if isinstance(node.get(name), str)]
            total += sum(self.of(self._references.target(target)) for target in targets)
        if total > MAX_STEPS:
            raise TooCostly("a schema doubles too often")
        self._known[id(node)] = total
        return total


class _Count:
    def __init__(self, root: dict[str, Any]) -> None:
        self._references = _References(root)
        self._known: dict[tuple[int, int], int] = {}

    def steps(self, schema: Any, value: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        pair = (id(schema), id(value))
        known = self._known.get(pair)
        if known is not None:
            return known
        self._known[pair] = 0  # a reference back to here, at the same place, adds nothing
        if len(self._known) > MAX_PAIRS:
            raise TooCostly("the arguments are too large to be checked against the schema")
        total = 1 + self._same_place(schema, value)
        if isinstance(value, dict):
            total += self._properties(schema, value)
        elif isinstance(value, list):
            total += self._items(schema, value)
        self._known[pair] = total
        return total

    def _same_place(self, schema: dict[str, Any], value: Any) -> int:
        inner = [branch for name in _SAME_PLACE_LISTS for branch in _list(schema.get(name))]
        inner += [schema[name] for name in _SAME_PLACE if name in schema]
        inner += _dict(schema.get("dependentSchemas")).values()
        for name in _REFERENCES:
            if isinstance(schema.get(name), str):
                inner.append(self._references.target(schema[name]))
        return sum(self.steps(branch, value) for branch in inner)

    def _properties(self, schema: dict[str, Any], value: dict[str, Any]) -> int:
        named = _dict(schema.get("properties"))
        total = sum(self.steps(named[name], item) for name, item in value.items() if name in named)
        every = [schema[name] for name in _EVERY_PROPERTY if name in schema]
        every += _dict(schema.get("patternProperties")).values()
        return total + sum(self.steps(branch, item) for branch in every for item in value.values())

    def _items(self, schema: dict[str, Any], value: list[Any]) -> int:
        pairs = zip(_list(schema.get("prefixItems")), value, strict=False)
        total = sum(self.steps(branch, item) for branch, item in pairs)
        every = [schema[name] for name in _EVERY_ITEM if name in schema]
        return total + sum(self.steps(branch, item) for branch in every for item in value)


class _References:
    """What the references of a schema name; each is looked for once."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._targets: dict[str, Any] = {}

    def target(self, reference: str) -> Any:
        fragment = reference.removeprefix("#")
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        if fragment not in self._targets:
            self._targets[fragment] = _resolve(self._root, fragment)
        return self._targets[fragment]

    @cached_property
    def _anchors(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        pending: list[Any] = [self._root]
        while pending:
            node = pending.pop()
            if isinstance(node, dict):
                for name in ("$anchor", "$dynamicAnchor"):
                    if isinstance(node.get(name), str):
                        found[node[name]] = node
                pending.extend(node.values())
            elif isinstance(node, list):
                pending.extend(node)
        return found


def _resolve(root: dict[str, Any], fragment: str) -> Any:
    """What a JSON pointer (RFC 6901) names; None if nothing."""
    node: Any = root
    for part in unquote(fragment).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict):
            node = node.get(key)
        else:
            return None
    return node


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
