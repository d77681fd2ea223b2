"""What all JSON request bodies have in common."""

from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError, model_validator

from kit.errors import InvalidRequest, TooLarge
from kit.json import NOT_JSON, unstorable_place

BodyT = TypeVar("BodyT", bound=BaseModel)

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


async def read_bounded(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLarge beyond ``limit`` bytes, without reading on."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


async def read_json(request: Request, limit: int) -> Any:
    """The body as JSON. Raises TooLarge, InvalidRequest."""
    try:
        return msgspec.json.decode(await read_bounded(request, limit))
    except NOT_JSON as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None


async def read_model(request: Request, model: type[BodyT], *, limit: int) -> BodyT:
    """A body of a route that decides who may send one before it reads it (FastAPI reads it first).

    Raises TooLarge, InvalidRequest, RequestValidationError.
    """
    try:
        return model.model_validate(await read_json(request, limit))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
