"""Errors of the domain: raised where they are known, rendered once per wire dialect at the edge."""

from collections.abc import Mapping
from typing import Any


class HeddleError(Exception):
    """Something the caller must know.

    ``status`` is the HTTP status, ``type`` the Anthropic-style error type, ``code`` the machine-readable
    reason, ``param`` the offending field if there is one, ``details`` further facts for the JSON error.
    The message is shown to callers: it must never hold a secret.
    """

    status = 500
    type = "api_error"
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        if code is not None:
            self.code = code


class InvalidRequest(HeddleError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class AuthenticationFailed(HeddleError):
    status, type, code = 401, "authentication_error", "authentication"


class PaymentRequired(HeddleError):
    """``needed_nanos``: the least that must be free, in nano-USD."""

    status, type, code = 402, "billing_error", "wallet_empty"
    needed_nanos = 0


class PermissionDenied(HeddleError):
    status, type, code = 403, "permission_error", "permission"


class NotFound(HeddleError):
    status, type, code = 404, "not_found_error", "not_found"


class Conflict(HeddleError):
    status, type, code = 409, "conflict_error", "conflict"


class TooLarge(HeddleError):
    status, type, code = 413, "request_too_large", "too_large"


class Unsupported(HeddleError):
    status, type, code = 422, "invalid_request_error", "unsupported"


class RateLimited(HeddleError):
    status, type, code = 429, "rate_limit_error", "rate_limit"


class UpstreamFailed(HeddleError):
    """A provider, vendor or tool endpoint failed; ``details`` name it and its status."""

    status, type, code = 502, "api_error", "upstream"


class UpstreamUnavailable(UpstreamFailed):
    status = 503


class UpstreamTimeout(UpstreamFailed):
    status, type = 504, "timeout_error"
