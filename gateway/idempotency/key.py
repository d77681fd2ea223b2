"""Reading the header, and naming a request by it.

The header is that of draft-ietf-httpapi-idempotency-key-header. Its value is taken as it is, quotes and all:
the draft has it quoted, most clients do not.
"""

import hashlib

from gateway.idempotency.refusals import MAX_KEY_CHARS, BadIdempotencyKey

AGAIN = b"\n"
"""What the front door puts between the values of a header that came twice: no value can hold it."""


def read_key(value: bytes) -> str:
    """Raises BadIdempotencyKey."""
    key = value.strip(b" \t").decode("latin-1")
    if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise BadIdempotencyKey
    return key


def record_id(key_id: str, idempotency_key: str) -> str:
    """The name of a request: keys of different API keys never meet, and what clients put into theirs is not
    stored."""
    return hashlib.sha256(f"{key_id}\n{idempotency_key}".encode()).hexdigest()
