"""What a webhook's answer means: an output, an error, or a promise to bring it later."""

from typing import Any

import msgspec

from broker.calls import (
    MAX_OUTPUT_BYTES,
    AnswersLater,
    ToolResult,
    error_result,
    json_result,
    large_json_result,
)

_NOT_JSON = (ValueError, RecursionError)
"""msgspec's errors for bytes that are not JSON, or not UTF-8, or too deep."""


class _LargeAnswer(msgspec.Struct):
    """The envelope of a large body, whose values stay bytes: objects can take fifty times the room."""

    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    is_error: msgspec.Raw = msgspec.Raw(b"false")


def read_answer(
    tool_id: str, name: str, status: int, body: bytes, record: dict[str, Any]
) -> ToolResult | AnswersLater:
    """``{output, is_error?}``; a JSON body without ``output`` is itself the output. 202 ``{"pending": true}``
    says that the output comes later."""
    try:
        if len(body) > MAX_OUTPUT_BYTES:
            return _large(body, record)
        answer = msgspec.json.decode(body)
    except _NOT_JSON:
        what = "an empty body" if not body.strip() else "something that is not JSON"
        return error_result(f"The tool {name} answered with {what}.", record)
    if isinstance(answer, dict) and "output" in answer:
        return json_result(answer["output"], is_error=answer.get("is_error") is True, record=record)
    if status == 202 and isinstance(answer, dict) and answer.get("pending") is True:
        return AnswersLater(tool_id, name, {**record, "status": "pending"})
    return json_result(answer, is_error=False, record=record)


def _large(body: bytes, record: dict[str, Any]) -> ToolResult:
    body.decode()  # a raw value is not checked for being UTF-8
    whole = bytes(msgspec.json.decode(body, type=msgspec.Raw))
    if not whole.lstrip().startswith(b"{"):
        return large_json_result(whole, is_error=False, record=record)
    answer = msgspec.json.decode(body, type=_LargeAnswer)
    if isinstance(answer.output, msgspec.UnsetType):
        return large_json_result(whole, is_error=False, record=record)
    failed = bytes(answer.is_error).strip() == b"true"
    return large_json_result(bytes(answer.output), is_error=failed, record=record)
