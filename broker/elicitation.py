"""What an MCP server wants to know from an end user (elicitation), by a form or behind a URL.

Source: MCP specification 2026-07-28, client/elicitation. A URL is only ever shown: nothing here opens it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import mcp_types

from broker.forms import UnusableForm, check_form, fitting_content
from kit.errors import InvalidRequest
from kit.json import storable

MAX_MESSAGE_CHARS = 10_000
MAX_URL_CHARS = 8_000
ACTIONS = ("accept", "decline", "cancel")


class UnusableQuestion(ValueError):
    """A question that cannot be put before an end user; the message says where and why."""


@dataclass(frozen=True)
class Question:
    """One question of a server's. ``key`` is the server's name for it, empty where a request waits for it."""

    key: str
    message: str
    mode: Literal["form", "url"]
    requested_schema: dict[str, Any] | None = None
    url: str | None = None
    domain: str | None = None
    """The URL's host as it is resolved (punycode where it is international)."""

    @property
    def shown(self) -> dict[str, Any]:
        """What an end user is to see of it."""
        if self.mode == "form":
            return {"message": self.message, "mode": "form", "requested_schema": self.requested_schema}
        return {"message": self.message, "mode": "url", "url": self.url, "domain": self.domain}


def read_question(key: str, params: mcp_types.ElicitRequestParams) -> Question:
    """Raises UnusableQuestion."""
    message = storable(params.message)[:MAX_MESSAGE_CHARS]
    if isinstance(params, mcp_types.ElicitRequestURLParams):
        return Question(key, message, "url", url=params.url, domain=_domain(params.url))
    schema = storable(params.requested_schema)
    try:
        check_form(schema)
    except UnusableForm as problem:
        raise UnusableQuestion(str(problem)) from None
    return Question(key, message, "form", requested_schema=schema)


def response_to(shown: Mapping[str, Any], action: str | None, content: Any, *, param: str) -> dict[str, Any]:
    """The result that the server gets for an answer to what was ``shown``. Raises InvalidRequest."""
    if action not in ACTIONS:
        raise InvalidRequest(f"{param}.action: expected {', '.join(ACTIONS)}", param="actions")
    if action == "accept" and shown["mode"] == "form":
        return {
            "action": action,
            "content": fitting_content(shown["requested_schema"], content, param=f"{param}.content"),
        }
    if content:
        raise InvalidRequest(
            f"{param}.content: only an accepted form has content, which the server gets", param="actions"
        )
    return {"action": action}


def _domain(url: str) -> str:
    """Raises UnusableQuestion unless a browser can be sent there (http and https only)."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        domain = (host or "").encode("idna").decode()
    except (ValueError, UnicodeError):
        raise UnusableQuestion("url: its host or port cannot be") from None
    if parts.scheme not in {"http", "https"} or not domain:
        raise UnusableQuestion("url: expected an http or https URL")
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise UnusableQuestion("url: too long, or it has spaces or control characters")
    if parts.username is not None or parts.password is not None:
        raise UnusableQuestion("url: it must not hold credentials")
    return domain
