"""Token answers read, in RFC 6749's shape or a vendor's own, as the catalogue describes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.token_target import TokenTarget

_SEPARATORS = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint gave out. ``expires_in`` in seconds; None: until it is revoked, or not known."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_in: int | None = None
    scopes: tuple[str, ...] = ()
    api_url: str | None = None
    account_name: str | None = None


def read_tokens(body: Mapping[str, Any], target: TokenTarget) -> Tokens | None:
    """The tokens in an answer; None if it has no access token where the vendor puts it."""
    paths = target.answer
    access_token = _text(at_path(body, paths.access_token))
    if access_token is None:
        return None
    refresh_token = _text(at_path(body, paths.refresh_token)) if target.refreshes else None
    return Tokens(
        access_token,
        refresh_token,
        _lifetime(at_path(body, paths.expires_in), target),
        _scopes(at_path(body, paths.scope)),
        _text(at_path(body, paths.api_url)) if paths.api_url else None,
        _text(at_path(body, paths.account_name)) if paths.account_name else None,
    )


def at_path(value: Any, path: str) -> Any:
    """What is at ``path`` in a JSON value, such as ``team.name`` or ``data.0.login``; None if nothing is."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _lifetime(value: Any, target: TokenTarget) -> int | None:
    """Seconds. Some vendors send them as text, some say 0 of what does not expire."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return int(value)
    return target.token_lifetime_s if target.tokens_expire else None


def _scopes(value: Any) -> tuple[str, ...]:
    """Some vendors separate them by commas, some send a list."""
    listed = value if isinstance(value, list) else _SEPARATORS.split(value) if isinstance(value, str) else []
    return tuple(scope for scope in listed if isinstance(scope, str) and scope)
