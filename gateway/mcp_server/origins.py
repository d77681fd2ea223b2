"""Which web pages may speak to ``/mcp``: a page must not reach a local server by rebinding its own name.

The specification (Streamable HTTP, Security Warning) has servers check ``Origin``. What comes from no page
has none, and its API key speaks for it.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request

from kit.errors import PermissionDenied

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Origins:
    def __init__(self, allowed: Sequence[str], *, public_url: str, host: str) -> None:
        """``allowed``: the CORS setting. ``host``: what the server listens on."""
        self._allowed = frozenset(allowed)
        public = urlsplit(public_url)
        self._own = f"{public.scheme}://{public.netloc}"
        self._names = LOOPBACK | {public.hostname} if host in LOOPBACK else None

    def check(self, request: Request) -> None:
        """Raises PermissionDenied for a page of an origin that is not allowed, and for one that reached a
        server of this machine under a name which is not this machine's."""
        origin = request.headers.get("origin")
        if origin is None:
            return
        if "*" not in self._allowed and origin not in self._allowed and origin != self._own:
            raise PermissionDenied(
                f"pages of {origin[:200]} may not call this server; HEDDLE_CORS_ORIGINS names those that may",
                code="origin_not_allowed",
            )
        if self._names is not None and _name(request.headers.get("host", "")) not in self._names:
            raise PermissionDenied(
                "pages reach this server as localhost, or under the name in HEDDLE_PUBLIC_URL",
                code="host_not_allowed",
            )


def _name(host: str) -> str | None:
    """The name of a ``Host`` header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
