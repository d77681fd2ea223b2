"""The first code a request meets: request id, authentication, and errors in the right form."""

import re
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.accounts.keys import ApiKeys
from gateway.errors import as_domain_error, send_error
from gateway.idempotency.idempotency import Idempotency
from gateway.idempotency.key import AGAIN
from kit.caller import Caller
from kit.errors import AuthenticationFailed
from kit.ids import new_uuid

PUBLIC_PATHS = frozenset(
    {"/v1/builtins", "/v1/mcp-catalog", "/v1/billing/stripe-webhook", "/v1/billing/credits"}
)
"""Paths below ``/v1`` without an API key: open, or with an authentication of their own."""

SIGNED_PATH = re.compile(r"/v1/tools/[^/]+/results/[^/]+")
"""What a webhook may post without an API key: its signature says who it is."""

MAX_SECRET_LENGTH = 512
_TEST_MODE = (b"x-heddle-mode", b"test")
"""On every answer to a test key, errors included."""


class FrontDoor:
    """Authenticates everything under ``/v1`` and hands it on with ``scope["caller"]`` set.

    ``hot_routes`` (exact POST paths) go straight to their plain ASGI endpoint; all else goes to ``app``. What
    has an idempotency key goes through ``idempotency``.
    """

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, idempotency: Idempotency, *, hot_routes: Mapping[str, ASGIApp]
    ) -> None:
        self._app = app
        self._keys = keys
        self._idempotency = idempotency
        self._hot_routes = dict(hot_routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = new_uuid()
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
                if _is_test(scope):
                    message["headers"].append(_TEST_MODE)
            await send(message)

        try:
            await self._enter(scope, receive, tagged_send)
        except Exception as error:
            shown = as_domain_error(error, scope)
            if not started:
                await send_error(shown, scope, tagged_send)
            elif shown is error:
                raise

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        idempotency_key = None
        if path.startswith("/v1/") and path not in PUBLIC_PATHS:
            secret, idempotency_key = credentials(scope)
            if secret is not None:
                scope["caller"] = await self._keys.authenticate(secret)
            elif SIGNED_PATH.fullmatch(path):
                idempotency_key = None  # it is the API key's
            else:
                raise AuthenticationFailed(
                    "an API key is needed: send it as x-api-key or as authorization: Bearer",
                    code="missing_key",
                )
        posted = scope["method"] == "POST"
        hot = self._hot_routes.get(path) if posted else None
        if hot is None and path.startswith("/v1/"):
            _read_as_json(scope)
        app = hot or self._app
        if idempotency_key is not None and posted:
            await self._idempotency.answer(app, idempotency_key, scope, receive, send)
        else:
            await app(scope, receive, send)


def _is_test(scope: Scope) -> bool:
    """Whether a test key calls, as far as that is known yet."""
    caller = scope.get("caller")
    return isinstance(caller, Caller) and caller.is_test


def _read_as_json(scope: Scope) -> None:
    """Take a body that names no type of its own for JSON: the API has no forms, but ``curl -d`` says so."""
    headers = scope["headers"]
    named = next((value for name, value in headers if name == b"content-type"), b"")
    if scope["method"] != "GET" and (not named or named.startswith(b"application/x-www-form-urlencoded")):
        kept = [(name, value) for name, value in headers if name != b"content-type"]
        scope["headers"] = [*kept, (b"content-type", b"application/json")]


def credentials(scope: Scope, *, max_length: int = MAX_SECRET_LENGTH) -> tuple[str | None, bytes | None]:
    """The key in ``x-api-key`` or ``authorization: Bearer``, and the ``idempotency-key``, if there are any.
    Raises AuthenticationFailed."""
    found = bearer = b""
    idempotency_key = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found = value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:]
        elif name == b"idempotency-key":
            idempotency_key = value if idempotency_key is None else idempotency_key + AGAIN + value
    secret = (found or bearer).strip()
    if not secret:
        return None, idempotency_key
    if len(secret) > max_length:
        raise AuthenticationFailed("this API key is not known", code="unknown_key")
    return secret.decode("latin-1"), idempotency_key
