"""How a stream of OpenAI Responses tells that it has failed (API reference: Responses, Streaming events)."""

from typing import Any

from gateway.inference.dialects.error_types import openai_type
from gateway.inference.dialects.events import Failed
from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.openai_responses.envelope import envelope, response_id
from gateway.inference.dialects.openai_responses.stream_writers import Frames

NEVER_STARTED = "failed"
"""The id of a response that failed before its provider had named it."""


def tell_failure(frames: Frames, response: dict[str, Any], failed: Failed) -> None:
    """An ``error``, whose code may be any, and the response that failed, whose code is one of the few of
    ``openai.types.responses.ResponseError``."""
    _, code = openai_type(failed.type)
    frames.emit("error", {"code": failed.code or code, "message": failed.message, "param": None})
    error = {"code": code, "message": failed.message}
    frames.emit("response.failed", {"response": {**response, "status": "failed", "error": error}})


def never_started(model: str) -> dict[str, Any]:
    """What stands for a response of which nothing is known: the SDK wants to see every response begin."""
    known = {"id": response_id(NEVER_STARTED), "created_at": 0, "model": model}
    return {**envelope(Request(model=model, messages=[])), **known}
