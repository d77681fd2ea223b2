"""Reading Google's JSON, whose field names may be in camelCase or snake_case (ProtoJSON), and writing back
what the neutral form has no place for."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.neutral import Extra
from kit.errors import InvalidRequest


class Fields:
    """An object of an untrusted body. Fields are asked for in camelCase; null counts as absent.

    Every method raises InvalidRequest, which names the field's path, for a value of another type.
    """

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            raise invalid(path or "body", "an object")
        self._path = path
        self._left = dict(value)

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str) -> Any:
        """The field's value, whatever it is."""
        for spelling in (name, snake(name)):
            if spelling in self._left:
                return self._left.pop(spelling)
        return None

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise invalid(self.path(name), "a text")
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid(self.path(name), "a text that is not empty")
        return value

    def boolean(self, name: str) -> bool | None:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise invalid(self.path(name), "true or false")
        return value

    def integer(self, name: str) -> int | None:
        value = self.take(name)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise invalid(self.path(name), "an integer")
        return value

    def number(self, name: str) -> float | None:
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise invalid(self.path(name), "a number")
        return value

    def object(self, name: str) -> dict[str, Any] | None:
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise invalid(self.path(name), "an object")
        return value

    def items(self, name: str) -> list[Any]:
        value = self.take(name)
        if value is not None and not isinstance(value, list):
            raise invalid(self.path(name), "a list")
        return value or []

    def texts(self, name: str) -> list[str]:
        values = self.items(name)
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise invalid(f"{self.path(name)}[{number}]", "a text")
        return values

    def rest(self) -> dict[str, Any]:
        """What nobody has asked for."""
        return self._left


def invalid(path: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: expected {expected}", param=path)


def snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def camel(name: str) -> str:
    return re.sub(r"(?<=[A-Za-z0-9])_([a-z0-9])", lambda found: found.group(1).upper(), name)


def extra(fields: dict[str, Any]) -> Extra | None:
    return Extra(dialect=NAME, fields=fields) if fields else None


def own(kept: Extra | None) -> dict[str, Any]:
    """The fields that this dialect had kept."""
    return dict(kept.fields) if kept is not None and kept.dialect == NAME else {}


def merged(value: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` with kept fields: objects are merged, null takes a field away."""
    result = dict(value)
    for name, field in fields.items():
        present = result.get(name)
        if field is None:
            result.pop(name, None)
        elif isinstance(field, dict) and isinstance(present, dict):
            result[name] = merged(present, field)
        else:
            result[name] = field
    return result
