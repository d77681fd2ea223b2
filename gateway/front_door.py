"""The first code a request meets: request id, authentication, and errors in the right form."""

import logging
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.accounts.keys import ApiKeys
from gateway.errors import InternalError, error_body, error_headers
from kit.errors import AuthenticationFailed, HeddleError
from kit.ids import new_uuid

logger = logging.getLogger("heddle.http")

PUBLIC_PATHS = frozenset({"/v1/mcp-catalog", "/v1/billing/stripe-webhook", "/v1/billing/credits"})
"""Paths below ``/v1`` without an API key: open, or with an authentication of their own."""

MAX_SECRET_LENGTH = 512


class FrontDoor:
    """Authenticates everything under ``/v1`` and hands it on with ``scope["caller"]`` set.

    ``hot_routes`` (exact POST paths) go straight to their plain ASGI endpoint; all else goes to ``app``.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, *, hot_routes: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._keys = keys
        self._hot_routes = dict(hot_routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = new_uuid()
        path: str = scope["path"]
        started = False

        async def tagged_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"request-id", request_id.encode()),
                ]
            await send(message)

        try:
            if path.startswith("/v1/") and path not in PUBLIC_PATHS:
                scope["caller"] = await self._keys.authenticate(_secret(scope))
            hot = self._hot_routes.get(path) if scope["method"] == "POST" else None
            if hot is None and path.startswith("/v1/"):
                _read_as_json(scope)
            await (hot or self._app)(scope, receive, tagged_send)
        except HeddleError as error:
            if started:
                raise
            await _send_error(error, path, request_id, tagged_send)
        except Exception:
            logger.exception("request %s %s %s failed", request_id, scope["method"], path)
            if not started:
                await _send_error(InternalError(), path, request_id, tagged_send)


def _read_as_json(scope: Scope) -> None:
    """Take a body that names no type of its own for JSON: the API has no forms, but ``curl -d`` says so."""
    headers = scope["headers"]
    named = next((value for name, value in headers if name == b"content-type"), b"")
    if scope["method"] != "GET" and (not named or named.startswith(b"application/x-www-form-urlencoded")):
        kept = [(name, value) for name, value in headers if name != b"content-type"]
        scope["headers"] = [*kept, (b"content-type", b"application/json")]


def _secret(scope: Scope) -> str:
    """The key in ``x-api-key`` or ``authorization: Bearer``. Raises AuthenticationFailed."""
    found = bearer = b""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found = value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:]
    secret = (found or bearer).strip()
    if not secret:
        raise AuthenticationFailed(
            "an API key is needed: send it as x-api-key or as authorization: Bearer", code="missing_key"
        )
    if len(secret) > MAX_SECRET_LENGTH:
        raise AuthenticationFailed("this API key is not known", code="unknown_key")
    return secret.decode("latin-1")


async def _send_error(error: HeddleError, path: str, request_id: str, send: Send) -> None:
    body = error_body(error, path, request_id)
    headers = [(name.encode(), value.encode("latin-1")) for name, value in error_headers(error).items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
