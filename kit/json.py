"""JSON that somebody else wrote: what can be wrong with it, and what of it a database can keep."""

import re
from typing import Any

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON: bad syntax, bad UTF-8, too deep a nesting."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """The JSON value with U+FFFD for what PostgreSQL cannot keep: NUL characters and lone surrogates."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def unstorable_place(value: Any) -> str | None:
    """Where in a JSON value, like ``content.0.text``, stands a text that ``storable`` would change."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, str) and not _is_storable(item):
            return place
        if isinstance(item, list):
            waiting.extend((f"{place}.{number}", entry) for number, entry in enumerate(item))
        elif isinstance(item, dict):
            for name, entry in item.items():
                if isinstance(name, str) and not _is_storable(name):
                    return f"{place}.(a field's name)".removeprefix(".")
                waiting.append((f"{place}.{name}".removeprefix("."), entry))
    return None


def _is_storable(text: str) -> bool:
    return ("\0" not in text) if text.isascii() else _UNSTORABLE.search(text) is None
