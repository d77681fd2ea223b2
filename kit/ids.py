"""Sortable identifiers: UUID version 7 (RFC 9562), plain or behind a type prefix."""

import uuid_utils


def new_uuid() -> str:
    """A plain UUIDv7 in its canonical 36-character form (threads, API keys, requests)."""
    return str(uuid_utils.uuid7())


def new_id(prefix: str) -> str:
    """A prefixed identifier such as ``turn_0198f0…`` (prefix, underscore, 32 hex digits)."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"
