"""Reading vendors' answers, and putting values into their addresses."""

from typing import Any
from urllib.parse import quote

from broker.builtins.failures import BuiltinFailed


def at(value: Any, place: str) -> Any:
    """What stands at a place like ``data.items.0.name`` in a JSON value; None if nothing."""
    for step in filter(None, place.split(".")):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 7:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def picked(source: Any, **places: str) -> dict[str, Any]:
    """The parts of a vendor's answer that matter, under our names; those that are not there are left out."""
    found = {name: at(source, place) for name, place in places.items()}
    return {name: value for name, value in found.items() if value is not None}


def listed(value: Any) -> list[Any]:
    """The objects of a list in a vendor's answer; none of what is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def segment(value: str) -> str:
    """One segment of a URL's path, whatever the value. Raises BuiltinFailed for one that changes the path."""
    if value in {"", ".", ".."}:
        raise BuiltinFailed(f'"{value}" cannot be part of the address.', status="invalid_arguments")
    return quote(value, safe="")
