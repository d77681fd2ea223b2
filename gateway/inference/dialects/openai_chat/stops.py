"""Reasons to stop: ``finish_reason`` with the words of other providers."""

from typing import Any

from gateway.inference.dialects.neutral import StopReason

_DECODED: dict[str, StopReason] = {
    "stop": "end_turn",
    "end_turn": "end_turn",
    "eos": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "context_window",  # Mistral
    "model_context_window_exceeded": "context_window",  # Z.ai
    "tool_calls": "tool_use",
    "tool_use": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "sensitive": "refusal",  # Z.ai
}
_ENCODED: dict[str, str] = {
    "max_tokens": "length",
    "context_window": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def decode_stop(reason: Any, *, called: bool, refused: bool) -> StopReason:
    """``called``, ``refused``: whether the answer holds a tool call or a refusal. Providers say ``stop`` also
    for a call that was forced, and OpenAI for a refusal; ``error`` is for reasons that nobody knows."""
    stop = _DECODED.get(reason, "error") if isinstance(reason, str) else "error"
    if stop == "end_turn" and (called or refused):
        return "tool_use" if called else "refusal"
    return "tool_use" if stop == "error" and not reason and called else stop


def encode_stop(stop: StopReason | None, *, called: bool) -> str:
    if called and stop in {None, "end_turn", "tool_use"}:
        return "tool_calls"
    return _ENCODED.get(stop or "", "stop")
