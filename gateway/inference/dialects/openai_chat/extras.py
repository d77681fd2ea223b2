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
_CARRIED = {
    "cache_control",
    "prompt_cache_breakpoint",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "include_reasoning",
    "reasoning_format",
    "top_k",
    "index",
}
"""Fields whose meaning the neutral form has, kept only for their spelling: no other dialect drops anything by
leaving them out."""


def extra(fields: Mapping[str, Any], **form: Any) -> Extra | None:
    """None if there is nothing to keep; a spelling of None or False is the usual one."""
    kept = {name: value for name, value in fields.items() if name != FORM and name not in _CARRIED}
    unusual = {name: value for name, value in form.items() if value is not None and value is not False}
    if spelled := {name: value for name, value in fields.items() if name in _CARRIED}:
        unusual["fields"] = spelled
    if unusual:
        kept[FORM] = unusual
    return Extra(dialect=DIALECT, fields=kept) if kept else None


def own_fields(kept: Extra | None) -> dict[str, Any]:
    """The fields to write as they were, if they are this dialect's."""
    if kept is None or kept.dialect != DIALECT:
        return {}
    rest = {name: value for name, value in kept.fields.items() if name != FORM}
    return {**rest, **kept.fields.get(FORM, {}).get("fields", {})}


def form(kept: Extra | None, name: str) -> Any:
    """How something was spelled; None for the usual way."""
    if kept is None or kept.dialect != DIALECT:
        return None
    return kept.fields.get(FORM, {}).get(name)


def is_own_origin(origin: str) -> bool:
    """Whether thoughts are from a provider of this dialect (``openai-chat/deepseek``, say)."""
    return origin == DIALECT or origin.startswith(DIALECT + "/")
