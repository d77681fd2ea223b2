"""A tool call's arguments: an object in this dialect, the model's own JSON text in the neutral form."""

from typing import Any

import msgspec

from kit.json import NOT_JSON

_BROKEN = "INVALID_JSON"
"""How Anthropic wants a call's broken JSON to be told (docs: fine-grained tool streaming)."""
FREE_FORM = "input"
"""The only field of a free-form call's arguments."""
FREE_FORM_SCHEMA = {"type": "object", "properties": {FREE_FORM: {"type": "string"}}, "required": [FREE_FORM]}


def input_of(arguments: str, *, custom: bool = False) -> dict[str, Any]:
    """The ``input`` of a ``tool_use``; text that is no JSON object is told as such, not lost."""
    if custom:
        return {FREE_FORM: arguments}
    if not arguments.strip():
        return {}
    found = _object(arguments)
    return {_BROKEN: arguments} if found is None else found


def arguments_of(value: dict[str, Any]) -> str:
    """The JSON text; the broken text itself where ``input_of`` had to wrap it."""
    broken = value.get(_BROKEN)
    if len(value) == 1 and isinstance(broken, str) and broken.strip() and _object(broken) is None:
        return broken
    return msgspec.json.encode(value).decode()


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text)
    except NOT_JSON:
        return None
    return found if isinstance(found, dict) else None
