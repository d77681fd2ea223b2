"""Telling whether a tool is still what it was."""

import hashlib
from typing import Any

import msgspec


def definition_digest(name: str, description: str, input_schema: dict[str, Any], retry_safe: bool) -> str:
    """SHA-256 over everything of a definition that a model or a retry relies on."""
    definition: list[Any] = [name, description, input_schema, retry_safe]
    return hashlib.sha256(msgspec.json.encode(definition, order="sorted")).hexdigest()
