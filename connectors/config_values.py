"""Values that somebody typed in, checked against the ``config_schema`` that asked for them."""

import re
from typing import Any

from kit.errors import InvalidRequest

MAX_VALUE_LENGTH = 4096
_HEADER_SAFE = re.compile(r"[\x20-\x7e]*")


def check_values(schema: dict[str, Any], values: dict[str, str]) -> dict[str, str]:
    """Pasted values, checked against a ``config_schema``. Raises InvalidRequest naming the field."""
    checked: dict[str, str] = {}
    for name, described in schema.get("properties", {}).items():
        value = values.get(name, "").strip()
        title = described.get("title") or name
        if not value:
            if name in schema.get("required", ()):
                raise InvalidRequest(f"{title} is needed", param=name)
            continue
        if len(value) > MAX_VALUE_LENGTH or not _HEADER_SAFE.fullmatch(value):
            raise InvalidRequest(f"{title} has characters that a key cannot have, or is too long", param=name)
        pattern = described.get("pattern")
        if pattern and not re.search(pattern, value):
            raise InvalidRequest(f"{title} does not look right", param=name)
        choices = described.get("enum")
        if choices and value not in choices:
            raise InvalidRequest(f"{title}: expected one of {', '.join(choices)}", param=name)
        checked[name] = value
    return checked
