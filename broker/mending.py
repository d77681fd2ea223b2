"""Arguments of the wrong type, mended where only one thing can be meant.

Models write an object as its JSON text, a number as text, an id that is text as a number, and null for what
they mean to leave out. A value is changed only where the tool's schema refuses it, and only if the schema
then accepts the arguments as a whole; arguments that fit are never touched.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import msgspec

from kit.json import NOT_JSON

MAX_ROUNDS = 3
"""A text that becomes an object may have wrong types inside."""
MAX_MENDS = 50
MAX_TOLD = 20
Path = tuple[str | int, ...]
_GONE = object()


@dataclass(frozen=True, slots=True)
class Mended:
    """``places`` tells what was mended, as ``count: text to integer``."""

    arguments: dict[str, Any]
    places: list[str]


def mend(
    arguments: dict[str, Any],
    validator: jsonschema_rs.Draft202012Validator,
    check_cost: Callable[[dict[str, Any]], None],
) -> Mended | None:
    """None if there is more wrong with the arguments than types, or no single way to mend them. Raises what
    ``check_cost`` raises for arguments that would take too long to check."""
    current, places = arguments, list[str]()
    for _ in range(MAX_ROUNDS):
        check_cost(current)
        mends = _mends(validator.iter_errors(current))
        if mends is None:
            return None
        if not mends:
            return Mended(current, places[:MAX_TOLD])
        for path, value in mends.items():
            places.append(f"{'/'.join(map(str, path))}: {_change(value)}")
            current = _with(current, path, value)
    check_cost(current)
    return Mended(current, places[:MAX_TOLD]) if validator.is_valid(current) else None


def _mends(errors: Iterable[jsonschema_rs.ValidationError]) -> dict[Path, Any] | None:
    """A new value for each place at fault; None if one of them has none."""
    found: dict[Path, Any] = {}
    for error in errors:
        mends = _of_error(error)
        if mends is None or len(found) > MAX_MENDS:
            return None
        for path, value in mends.items():
            if path in found and not _same(found[path], value):
                return None
            found[path] = value
    return found


def _of_error(error: jsonschema_rs.ValidationError) -> dict[Path, Any] | None:
    branches = getattr(error.kind, "context", None)
    if branches is not None:
        return _of_branches(branches)
    path = tuple(error.instance_path)
    if error.kind.name == "type":
        return _of_value(path, error.instance, frozenset(getattr(error.kind, "types", ())))
    return _of_value(path, error.instance, None) if error.kind.name in ("enum", "const") else None


def _of_branches(branches: Any) -> dict[Path, Any] | None:
    """What mends one of several alternatives, if there is only one such."""
    ways: list[dict[Path, Any]] = []
    for errors in branches:
        mends = _mends(errors)
        if mends and not any(_same(mends, way) for way in ways):
            ways.append(mends)
    return ways[0] if len(ways) == 1 else None


def _of_value(path: Path, value: Any, wanted: frozenset[str] | None) -> dict[Path, Any] | None:
    """``wanted``: the types that would do; None where the values themselves are listed."""
    if isinstance(value, str):
        parsed = _parsed(value)
        kinds = _kinds(parsed)
        if "string" not in kinds and (wanted is None or kinds & wanted):
            return {path: parsed}
    elif type(value) is int and (wanted is None or "string" in wanted):
        return {path: str(value)}  # of other numbers the text is not known: 1.10, 1e3
    elif value is None and path and isinstance(path[-1], str) and wanted is not None:
        return {path: _GONE}
    return None


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except NOT_JSON:
        return text


def _kinds(value: Any) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset(("boolean",))
    if isinstance(value, int):
        return frozenset(("integer", "number"))
    if isinstance(value, float):
        return frozenset(("number", "integer") if value.is_integer() else ("number",))
    names = {str: "string", dict: "object", list: "array", type(None): "null"}
    return frozenset((names[type(value)],))


def _same(one: Any, other: Any) -> bool:
    """Equal, and of equal types: ``1`` is not ``True``."""
    return one is other or (type(one) is type(other) and repr(one) == repr(other))


def _change(new: Any) -> str:
    if new is _GONE:
        return "null left out"
    if isinstance(new, str):
        return "integer to text"
    return f"text to {min(_kinds(new))}"


def _with(value: Any, path: Path, new: Any) -> Any:
    """A copy in which another value stands at the path."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is _GONE:
        del copy[path[0]]
    else:
        copy[path[0]] = _with(copy[path[0]], path[1:], new)
    return copy
