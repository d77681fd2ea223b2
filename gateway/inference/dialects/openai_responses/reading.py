"""Reading an untrusted request field by field, and keeping what was not read."""

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.inference.dialects.neutral import Extra
from kit.errors import InvalidRequest

NAME = "openai-responses"


class Reader:
    """One object of a request at ``path``. A null counts as absent. What nobody takes is the ``rest``.

    Every method raises InvalidRequest naming the field and what was expected.
    """

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            refuse(path, "an object")
        self.path = path
        self._fields = dict(value)

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def peek(self, name: str) -> Any:
        """A field's value; it stays in the rest."""
        return self._fields.get(name)

    def take(self, name: str) -> Any:
        """A field's value of any type, None if it is absent or null."""
        return self._fields.pop(name) if self._fields.get(name) is not None else None

    def text(self, name: str) -> str:
        value = self.maybe_text(name)
        return value if value is not None else refuse(self.at(name), "a text")

    def maybe_text(self, name: str) -> str | None:
        value = self.take(name)
        return value if value is None or isinstance(value, str) else refuse(self.at(name), "a text")

    def flag(self, name: str) -> bool | None:
        value = self.take(name)
        return value if value is None or isinstance(value, bool) else refuse(self.at(name), "true or false")

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self.take(name)
        if value is None or (type(value) is int and low <= value <= high):
            return value
        return refuse(self.at(name), f"an integer from {low} to {high}")

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.take(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
        if value is None:
            return None
        return refuse(self.at(name), f"a number from {low} to {high}")

    def maybe_list(self, name: str) -> list[Any] | None:
        value = self.take(name)
        return value if value is None or isinstance(value, list) else refuse(self.at(name), "a list")

    def maybe_object(self, name: str) -> dict[str, Any] | None:
        value = self.take(name)
        return value if value is None or isinstance(value, dict) else refuse(self.at(name), "an object")

    def keep(self, name: str, value: Any) -> None:
        """Put a field into the rest."""
        self._fields[name] = value

    def fields(self) -> dict[str, Any]:
        """The rest."""
        return self._fields

    def rest(self) -> Extra | None:
        return extra(self._fields)


def refuse(path: str, expected: str) -> NoReturn:
    name = path or "body"
    raise InvalidRequest(f"{name}: expected {expected}", param=name)


def extra(fields: dict[str, Any]) -> Extra | None:
    return Extra(dialect=NAME, fields=fields) if fields else None


def own(kept: Extra | None) -> dict[str, Any]:
    """The fields of this dialect among those kept, as a new dict."""
    return dict(kept.fields) if kept is not None and kept.dialect == NAME else {}
