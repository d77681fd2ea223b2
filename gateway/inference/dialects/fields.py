"""Reading single fields of an untrusted JSON body."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from kit.errors import InvalidRequest

MAX_TOKENS_LIMIT = 10_000_000

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
"""A provider's count; anything else is not believed, as it would be billed."""
Count64 = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
Usd = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
"""A provider's charge for one call."""


def text_field(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > 200:
        raise InvalidRequest(f"{name}: expected a text of 1 to 200 characters", param=name)
    return value


def optional_bool(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name}: expected true or false", param=name)
    return value


def positive_int(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_TOKENS_LIMIT:
        raise InvalidRequest(f"{name}: expected a positive integer", param=name)
    return value
