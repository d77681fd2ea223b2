"""What all JSON request bodies have in common."""

from typing import Any

from pydantic import BaseModel, model_validator

from kit.errors import InvalidRequest
from kit.json import unstorable_place

UNSTORABLE = "text may not hold the character U+0000 or half of a surrogate pair"


def check_storable(body: Any) -> None:
    """Refuse what PostgreSQL cannot keep, on every database alike. Raises InvalidRequest with the place."""
    place = unstorable_place(body)
    if place is not None:
        raise InvalidRequest(f"{place or 'body'}: {UNSTORABLE}", param=place.split(".")[0] or None)


class RequestBody(BaseModel):
    """The base of every request's schema. Unknown fields are ignored."""

    @model_validator(mode="before")
    @classmethod
    def _is_storable(cls, body: Any) -> Any:
        if isinstance(body, dict):
            check_storable(body)
        return body
