"""Why an answer ended, and errors."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.events import Failed
from gateway.inference.dialects.neutral import StopReason

_STOPS: dict[str, StopReason] = {
    "STOP": "end_turn",
    "MAX_TOKENS": "max_tokens",
    "SAFETY": "refusal",
    "RECITATION": "refusal",
    "LANGUAGE": "refusal",
    "BLOCKLIST": "refusal",
    "PROHIBITED_CONTENT": "refusal",
    "SPII": "refusal",
    "MODEL_ARMOR": "refusal",
    "IMAGE_SAFETY": "refusal",
    "IMAGE_PROHIBITED_CONTENT": "refusal",
    "IMAGE_RECITATION": "refusal",
}
"""Any other reason (MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, OTHER, …) is an error."""
_REASONS: dict[StopReason, str] = {
    "end_turn": "STOP",
    "tool_use": "STOP",
    "stop_sequence": "STOP",
    "pause_turn": "STOP",
    "max_tokens": "MAX_TOKENS",
    "context_window": "MAX_TOKENS",
    "refusal": "SAFETY",
    "error": "OTHER",
}
_ERRORS = {
    "INVALID_ARGUMENT": "invalid_request_error",
    "FAILED_PRECONDITION": "invalid_request_error",
    "OUT_OF_RANGE": "invalid_request_error",
    "UNAUTHENTICATED": "authentication_error",
    "PERMISSION_DENIED": "permission_error",
    "NOT_FOUND": "not_found_error",
    "RESOURCE_EXHAUSTED": "rate_limit_error",
    "UNAVAILABLE": "overloaded_error",
    "DEADLINE_EXCEEDED": "timeout_error",
}
_STATUSES = {kind: status for status, kind in reversed(_ERRORS.items())}
_NUMBERS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def stop_of(reason: str, *, calls: bool) -> StopReason:
    """``calls`` says whether the answer holds function calls, for which Google has no reason of its own."""
    stop = _STOPS.get(reason, "error")
    return "tool_use" if stop == "end_turn" and calls else stop


def reason_of(stop: StopReason) -> str:
    return _REASONS[stop]


def failure(error: Any) -> Failed:
    """From the ``error`` of a body or of a stream."""
    found: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    status = found.get("status")
    message = found.get("message")
    return Failed(
        message=message if isinstance(message, str) else "the provider failed",
        type=_ERRORS.get(status, "api_error") if isinstance(status, str) else "api_error",
        code=status if isinstance(status, str) else None,
    )


def error_body(failed: Failed) -> dict[str, Any]:
    status = failed.code or _STATUSES.get(failed.type, "INTERNAL")
    return {"error": {"code": _NUMBERS.get(status, 500), "message": failed.message, "status": status}}
