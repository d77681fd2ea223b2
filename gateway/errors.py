"""Rendering domain errors once, in the form the route's clients expect."""

import logging
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope, Send

from kit.errors import AuthenticationFailed, HeddleError, InvalidRequest, NotFound

logger = logging.getLogger("heddle.http")

OPENAI_PATHS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/conversations",
    "/v1/embeddings",
    "/v1/audio/",
    "/v1/images/",
)


class MethodNotAllowed(HeddleError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class InternalError(HeddleError):
    """A fault of ours: the log has the details under the request id, the caller does not."""

    def __init__(self) -> None:
        super().__init__("something went wrong on our side; quote the request id when you report it")


def error_body(error: HeddleError, path: str, request_id: str) -> bytes:
    """The JSON of an error: OpenAI's form on OpenAI's routes, Anthropic's everywhere else."""
    if path.startswith(OPENAI_PATHS):
        inner: dict[str, Any] = {
            "message": error.message,
            "type": error.type,
            "code": error.code,
            "param": error.param,
        }
        return msgspec.json.encode({"error": {**inner, **error.details}})
    inner = {"type": error.type, "message": error.message, "code": error.code}
    if error.param is not None:
        inner["param"] = error.param
    return msgspec.json.encode(
        {"type": "error", "error": {**inner, **error.details}, "request_id": request_id}
    )


def error_headers(error: HeddleError) -> dict[str, str]:
    headers = {"content-type": "application/json", **error.headers}
    if isinstance(error, AuthenticationFailed):
        headers.setdefault("www-authenticate", "Bearer")
    return headers


def render_error(request: Request, error: HeddleError) -> Response:
    request_id = request.scope.get("request_id", "")
    body = error_body(error, request.url.path, request_id)
    return Response(body, status_code=error.status, headers=error_headers(error))


def as_domain_error(error: Exception, scope: Scope) -> HeddleError:
    """What a client may hear of ``error``. What is a fault of ours is logged."""
    if isinstance(error, HeddleError):
        return error
    logger.error(
        "request %s %s %s failed", scope["request_id"], scope["method"], scope["path"], exc_info=error
    )
    return InternalError()


async def send_error(error: HeddleError, scope: Scope, send: Send) -> None:
    """Send ``error`` as the answer to the request."""
    body = error_body(error, scope["path"], scope["request_id"])
    headers = [(name.encode(), value.encode("latin-1")) for name, value in error_headers(error).items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def from_validation(error: RequestValidationError) -> InvalidRequest:
    """The first violation, naming its field and what was expected; the others are counted."""
    problems = error.errors()
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
    if first["type"] == "json_invalid":
        return InvalidRequest(
            f"the body is not valid JSON: {first['ctx'].get('error', '')}", code="invalid_json"
        )
    message = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidRequest(f"{place or 'body'}: {message}{more}", param=place or None)


def from_data_error(error: DataError) -> InvalidRequest:
    """PostgreSQL refuses a NUL character, which can only have come from the request's URL (bodies are
    checked). Raises any other DataError: it is a fault of ours."""
    if "NUL" not in str(error.orig):
        raise error
    return InvalidRequest("the URL holds the character U+0000, which no id or filter has")


def from_http(error: HTTPException, path: str) -> HeddleError:
    """Starlette's own refusals (no such route, wrong method) as domain errors."""
    if error.status_code == 404:
        return NotFound(f"there is no route {path}", code="no_such_route")
    if error.status_code == 405:
        return MethodNotAllowed(f"{path} does not take this method", headers=dict(error.headers or {}))
    refusal = InvalidRequest(str(error.detail))
    refusal.status = error.status_code
    return refusal


def render_errors(api: FastAPI) -> None:
    """Have the routes of ``api`` answer with errors in our forms."""

    @api.exception_handler(HeddleError)
    async def heddle_error(request: Request, error: HeddleError) -> Response:
        return render_error(request, error)

    @api.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return render_error(request, from_validation(error))

    @api.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return render_error(request, from_http(error, request.url.path))

    @api.exception_handler(DataError)
    async def data_error(request: Request, error: DataError) -> Response:
        return render_error(request, from_data_error(error))

    @api.exception_handler(Exception)
    async def unexpected(request: Request, _error: Exception) -> Response:
        return render_error(request, InternalError())  # the front door logs it
