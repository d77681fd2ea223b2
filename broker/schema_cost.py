"""How much work it is to check arguments against a schema, counted before it is done.

Two references to one definition, repeated at every level, double the work with each level: a few hundred
bytes of schema would keep the process busy for years. The count follows every branch (as if nothing were
cut short) and remembers each pair of schema and value, so counting is cheap where checking would not be.
"""

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


def check_cost(schema: dict[str, Any], value: Any) -> None:
    """Raises TooCostly if checking ``value`` could take more than a million steps."""
    if _Count(schema).steps(schema, value) > MAX_STEPS:
        raise TooCostly("the arguments are too large or too deeply nested to be checked against the schema")


class _Count:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}
        self._targets: dict[str, Any] = {}

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
                inner.append(self._target(schema[name]))
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

    def _target(self, reference: str) -> Any:
        if reference not in self._targets:
            self._targets[reference] = _resolve(self._root, reference.removeprefix("#"))
        return self._targets[reference]


def _resolve(root: dict[str, Any], fragment: str) -> Any:
    """What a JSON pointer (RFC 6901) or an anchor names; None if nothing."""
    if fragment and not fragment.startswith("/"):
        return _anchored(root, fragment)
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


def _anchored(root: dict[str, Any], anchor: str) -> Any:
    pending: list[Any] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if anchor in (node.get("$anchor"), node.get("$dynamicAnchor")):
                return node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
