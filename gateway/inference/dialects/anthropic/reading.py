"""Reading the objects of a request that anyone may have sent, with the path of what is wrong."""

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.inference.dialects.neutral import Cache, Extra
from kit.errors import InvalidRequest

DIALECT = "anthropic"


def wrong(path: str, expected: str) -> NoReturn:
    raise InvalidRequest(f"{path}: expected {expected}", param=path)


class Fields:
    """One JSON object; what was never asked for is the ``rest``. A null field counts as absent.

    Raises InvalidRequest naming the field's path, like ``messages[2].content[0].source``.
    """

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            wrong(path or "body", "an object")
        self.path = path
        self._value = value
        self._seen: set[str] = set()

    def place(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def raw(self, name: str) -> Any:
        self._seen.add(name)
        return self._value.get(name)

    def text(self, name: str) -> str:
        value = self.raw(name)
        if not isinstance(value, str):
            wrong(self.place(name), "a string")
        return value

    def name(self, name: str) -> str:
        """A text that may not be empty."""
        value = self.raw(name)
        if not isinstance(value, str) or not value:
            wrong(self.place(name), "a string that is not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.raw(name) is None else self.text(name)

    def flag(self, name: str) -> bool | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            wrong(self.place(name), "true or false")
        return value

    def count(self, name: str) -> int | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            wrong(self.place(name), "an integer that is not negative")
        return value

    def number(self, name: str) -> float | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            wrong(self.place(name), "a number")
        return value

    def items(self, name: str) -> list[Any]:
        """The list's entries, none if it is absent."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            wrong(self.place(name), "a list")
        return value

    def object(self, name: str) -> dict[str, Any] | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, dict):
            wrong(self.place(name), "an object")
        return value

    def fields(self, name: str) -> "Fields | None":
        value = self.object(name)
        return None if value is None else Fields(value, self.place(name))

    def rest(self) -> dict[str, Any]:
        return {name: value for name, value in self._value.items() if name not in self._seen}

    def extra(self, **more: Any) -> Extra | None:
        """The rest, with what else is to be kept; a name with ``_`` before it is a note on the form."""
        kept = {**self.rest(), **{name: value for name, value in more.items() if value is not None}}
        return Extra(dialect=DIALECT, fields=kept) if kept else None


def read_cache(block: Fields) -> Cache | None:
    """``cache_control``: ``{"type": "ephemeral", "ttl": "5m" | "1h"}``."""
    control = block.fields("cache_control")
    if control is None:
        return None
    if control.text("type") != "ephemeral":
        wrong(control.place("type"), '"ephemeral"')
    return Cache(ttl=control.optional_text("ttl"))


def cache_control(cache: Cache | None) -> dict[str, Any]:
    """The field to merge into a block."""
    if cache is None:
        return {}
    control = {"type": "ephemeral"} if cache.ttl is None else {"type": "ephemeral", "ttl": cache.ttl}
    return {"cache_control": control}


def own(extra: Extra | None) -> dict[str, Any]:
    """The fields that this dialect kept for itself."""
    return extra.fields if extra is not None and extra.dialect == DIALECT else {}
