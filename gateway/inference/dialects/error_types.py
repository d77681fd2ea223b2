"""What a failure within a stream is called in each dialect.

The neutral form has Anthropic's types (docs: Errors). OpenAI's dialects have a type and a code, of which the
code says more (``openai.types.responses.ResponseError``; docs: Error codes); OpenRouter and vLLM put an HTTP
status there.
"""

NEUTRAL_TYPES = frozenset(
    {
        "api_error",
        "authentication_error",
        "billing_error",
        "conflict_error",
        "invalid_request_error",
        "not_found_error",
        "overloaded_error",
        "permission_error",
        "rate_limit_error",
        "request_too_large",
        "timeout_error",
    }
)
_FROM_OPENAI = {
    "rate_limit_exceeded": "rate_limit_error",
    "requests": "rate_limit_error",
    "tokens": "rate_limit_error",
    "server_is_overloaded": "overloaded_error",
    "slow_down": "overloaded_error",
    "context_length_exceeded": "invalid_request_error",
    "invalid_prompt": "invalid_request_error",
    "400": "invalid_request_error",
    "408": "timeout_error",
    "413": "request_too_large",
    "422": "invalid_request_error",
    "429": "rate_limit_error",
    "503": "overloaded_error",
    "504": "timeout_error",
    "529": "overloaded_error",
}
"""By code or by type."""
_TO_OPENAI = {
    "invalid_request_error": ("invalid_request_error", "invalid_prompt"),
    "request_too_large": ("invalid_request_error", "invalid_prompt"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
}
_OPENAI_ELSE = ("server_error", "server_error")


def neutral_type(kind: object, code: object = None) -> str:
    """A provider's ``type`` and ``code`` as one of NEUTRAL_TYPES; what nobody knows is an ``api_error``."""
    for said in (code, kind):
        if isinstance(said, str) and said in _FROM_OPENAI:
            return _FROM_OPENAI[said]
    return kind if isinstance(kind, str) and kind in NEUTRAL_TYPES else "api_error"


def openai_type(kind: str) -> tuple[str, str]:
    """The ``type`` and the ``code`` by which OpenAI's clients know a neutral type."""
    return _TO_OPENAI.get(kind, _OPENAI_ELSE)
