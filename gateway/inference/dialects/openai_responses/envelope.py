"""The ``response`` object around the output, and how it ends."""

from collections.abc import Sequence
from typing import Any

from gateway.inference.dialects.codec import Target
from gateway.inference.dialects.neutral import (
    Block,
    Refusal,
    Request,
    StopReason,
)
from gateway.inference.dialects.openai_responses.encoding import Encoding
from gateway.inference.dialects.openai_responses.input_encoding import encode_system
from gateway.inference.dialects.openai_responses.reading import NAME, own
from gateway.inference.dialects.openai_responses.settings import encode_output, encode_reasoning_options
from gateway.inference.dialects.openai_responses.tools import encode_choice, encode_tools

_ECHOED = (
    "background",
    "conversation",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "truncation",
    "user",
)
"""Fields of the request that the response repeats as they were."""

Ending = tuple[str, dict[str, Any] | None, dict[str, Any] | None]
"""``status``, ``incomplete_details`` and ``error``."""


def envelope(request: Request) -> dict[str, Any]:
    """All fields of a response in progress but its id, model and time, as the request has them."""
    encoding = Encoding(Target("", request.model, NAME), own=True)
    asked = own(request.extra)
    options = asked.get("text") or asked.get("_text") or {}
    said = {name: value for name, value in options.items() if value is not None}
    text = {"format": {"type": "text"}} | said
    if request.output is not None:
        text["format"] = encode_output(request.output, encoding)
    reasoning = encode_reasoning_options(request.reasoning, encoding) if request.reasoning else None
    choice = request.tool_choice
    return {
        "object": "response",
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": encode_system(request.system, encoding)[0],
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": None,
        "metadata": asked.get("metadata") or {},
        "output": [],
        "parallel_tool_calls": request.parallel_tools is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None} | (reasoning or {}),
        "safety_identifier": None,
        "service_tier": request.service_tier or "default",
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": text,
        "tool_choice": "auto" if choice is None else encode_choice(choice, request.tools, encoding),
        "tools": encode_tools(request.tools, encoding),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        **_repeated(request, asked),
    }


def _repeated(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
    repeated = {name: asked[name] for name in _ECHOED if asked.get(name) is not None}
    if request.user is not None:
        repeated[asked.get("_user", "safety_identifier")] = request.user
    return repeated


def ending(stop: StopReason | None, *, refused: bool) -> Ending:
    """``refused``: the model said its refusal in words, so the answer is complete."""
    if stop in ("max_tokens", "context_window", "pause_turn"):
        return "incomplete", {"reason": "max_output_tokens"}, None
    if stop == "refusal" and not refused:
        return "incomplete", {"reason": "content_filter"}, None
    if stop == "error":
        return (
            "failed",
            None,
            {"code": "server_error", "message": "the model did not end its answer properly"},
        )
    return "completed", None, None


def stop_of(response: dict[str, Any], *, refused: bool, called: bool) -> StopReason | None:
    """None for a response that has not ended."""
    status = response.get("status")
    details = response.get("incomplete_details")
    if status == "incomplete":
        reason = details.get("reason") if isinstance(details, dict) else None
        if reason == "content_filter":
            return "refusal"
        return "max_tokens" if reason in (None, "max_output_tokens") else "end_turn"
    if status in ("failed", "cancelled"):
        return "error"
    if status in ("queued", "in_progress"):
        return None
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def has_refusal(content: Sequence[Block]) -> bool:
    return any(isinstance(block, Refusal) for block in content)


def response_id(given: str) -> str:
    """OpenAI's clients know a response by the prefix of its id."""
    return given if given.startswith("resp_") else f"resp_{given}"
