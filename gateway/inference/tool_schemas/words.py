"""What a provider's subset of JSON Schema cannot say, told to the model in a description."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MAX_VALUE_CHARS = 120
MAX_WORDS_CHARS = 800


def told(schema: Mapping[str, Any], names: Iterable[str], description: Any) -> str | None:
    """``description`` with those keywords that the schema has, as ``(minLength: 3)``. Long values are left
    out: their tool still checks them."""
    said = []
    for name in names:
        if name in schema and schema[name] is not None:
            value = brief(schema[name])
            if value is not None:
                said.append(f"{name}: {value}")
    return joined(description, f"({', '.join(said)})" if said else None)


def joined(description: Any, note: str | None) -> str | None:
    """A description with a note at its end."""
    own = description if isinstance(description, str) and description else None
    if note is None:
        return own
    note = note[:MAX_WORDS_CHARS]
    return note if own is None else f"{own} {note}"


def brief(value: Any) -> str | None:
    """A value as JSON, if it is short."""
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except (RecursionError, TypeError, ValueError):
        return None
    return text if len(text) <= MAX_VALUE_CHARS else None
