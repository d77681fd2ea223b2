"""What of this dialect has no neutral place, and which of several spellings a client or provider used.

``Extra.fields`` holds unknown fields as they were. One name in it is ours: ``FORM``, whose value notes the
spelling (content as a list although one text, ``max_tokens`` for ``max_completion_tokens``, …), so that
encoding gives back what was decoded.
"""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.neutral import Extra

DIALECT = "openai-chat"
FORM = "_form"


def extra(fields: Mapping[str, Any], **form: Any) -> Extra | None:
    """None if there is nothing to keep; a spelling of None or False is the usual one."""
    kept = {name: value for name, value in fields.items() if name != FORM}
    unusual = {name: value for name, value in form.items() if value is not None and value is not False}
    if unusual:
        kept[FORM] = unusual
    return Extra(dialect=DIALECT, fields=kept) if kept else None


def own_fields(kept: Extra | None) -> dict[str, Any]:
    """The unknown fields, if they are this dialect's."""
    if kept is None or kept.dialect != DIALECT:
        return {}
    return {name: value for name, value in kept.fields.items() if name != FORM}


def form(kept: Extra | None, name: str) -> Any:
    """How something was spelled; None for the usual way."""
    if kept is None or kept.dialect != DIALECT:
        return None
    return kept.fields.get(FORM, {}).get(name)


def is_own_origin(origin: str) -> bool:
    """Whether thoughts are from a provider of this dialect (``openai-chat/deepseek``, say)."""
    return origin == DIALECT or origin.startswith(DIALECT + "/")
