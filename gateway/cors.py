"""Cross-origin access for browsers (WHATWG Fetch, section 3.2)."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

ALLOWED_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
EXPOSED_HEADERS = (
    "x-request-id",
    "mcp-session-id",
    "www-authenticate",
    "idempotent-replayed",
    "x-qlaud-thread-id",
    "x-qlaud-assistant-seq",
    "x-heddle-turn-id",
    "x-heddle-cost-micros",
    "x-heddle-dropped",
    "x-heddle-estimated",
    "x-heddle-max-tokens",
    "x-heddle-mode",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
)
PREFLIGHT_LIFETIME_S = 86_400


class CrossOrigin:
    """Answers preflights and marks responses for the allowed origins.

    A request without an ``Origin`` comes from no browser page and goes straight on: that is the hot path.
    """

    def __init__(self, app: ASGIApp, *, origins: list[str]) -> None:
        self._app = app
        self._for_browsers = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=ALLOWED_METHODS,
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_LIFETIME_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from_page = any(name == b"origin" for name, _ in scope.get("headers", ()))
        await (self._for_browsers if from_page else self._app)(scope, receive, send)
