"""Reading an untrusted JSON object field by field, so that every complaint names the field's path."""

from collections.abc import Mapping
from typing import Any

from kit.errors import InvalidRequest


def wrong(path: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: expected {expected}", param=path)


class Fields:
    """The JSON object at ``path``. Each method takes a field's name, gives None where the field is absent or
    null, and raises InvalidRequest for another type; ``rest`` is what no method was asked for."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise wrong(path, "an object")
        self.path = path
        self._values = value
        self._taken: set[str] = set()

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Any:
        self._taken.add(name)
        return self._values.get(name)

    def peek(self, name: str) -> Any:
        """The value, which stays in the rest."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise wrong(self.at(name), "a text")
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise wrong(self.at(name), "a text")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.at(name), "true or false")
        return value

    def number(self, name: str) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(self.at(name), "a number")
        return value

    def whole(self, name: str, *, least: int | None = None, most: int | None = None) -> int | None:
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(self.at(name), "an integer")
        if (least is not None and value < least) or (most is not None and value > most):
            span = f"from {least}" if most is None else f"from {least} to {most}"
            raise wrong(self.at(name), f"an integer {span}")
        return value

    def object(self, name: str) -> "Fields | None":
        value = self.take(name)
        return None if value is None else Fields(value, self.at(name))

    def required_object(self, name: str) -> "Fields":
        return Fields(self.take(name), self.at(name))

    def raw_object(self, name: str) -> dict[str, Any] | None:
        """An object whose fields are nobody's business here, like a JSON Schema."""
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise wrong(self.at(name), "an object")
        return value

    def items(self, name: str) -> list[tuple[str, Any]] | None:
        """A list's values, each with its path."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise wrong(self.at(name), "a list")
        return [(f"{self.at(name)}[{number}]", item) for number, item in enumerate(value)]

    def rest(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self._values.items()
            if name not in self._taken and value is not None
        }
