"""What the answer to a pending action does: to the tool call that waited, or to the turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from broker.calls import ToolResult, error_result, json_result
from broker.elicitation import response_to
from kit.errors import InvalidRequest, TooLarge
from threads.models import PendingAction

MAX_OUTPUT_BYTES = 1024 * 1024

DECLINED = "The end user did not connect the account that this tool needs."
NOT_APPROVED = "This call was not approved."
NOBODY_APPROVED = "Nobody approved this call in time."
NOT_RUN = "This call was given up."
NO_ANSWER = "The tool did not answer in time. Whether it took effect is not known."

ANSWERS = {
    "connect": ("connected", "approve", "deny"),
    "approval": ("approve", "deny"),
    "client_tool": ("tool_output", "deny"),
    "webhook": ("deny",),
    "elicitation": ("elicitation", "deny"),
    "task": ("deny",),
    "funds": ("funds", "deny"),
}
"""Who may see the turn may give these answers, by kind. A webhook's output must come from the webhook, a
task's from its server."""


@dataclass(frozen=True)
class Answer:
    """``type`` is one of ``ANSWERS``, or what has become of an action that nobody answered: ``error``,
    ``cancel``, ``fail``. Of an ``elicitation``, ``action`` and ``content`` are what was said, ``response`` is
    what the server is told. ``result`` is what a call came to that went on elsewhere."""

    type: str
    reason: str | None = None
    output: Any = None
    is_error: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)
    """What the call's record says beside."""
    action: str | None = None
    content: Any = None
    response: dict[str, Any] | None = None
    result: ToolResult | None = None


def checked_answer(action: PendingAction, answer: Answer, *, param: str) -> Answer:
    """The answer as it is applied. Raises InvalidRequest if the action cannot be answered so, TooLarge."""
    allowed = ANSWERS[action.kind]
    if answer.type not in allowed:
        raise InvalidRequest(
            f"{param}.type: a {action.kind} action expects {' or '.join(allowed)}, got {answer.type}",
            param="actions",
        )
    check_output(answer)
    if action.kind != "elicitation":
        return answer
    said = "decline" if answer.type == "deny" else answer.action
    response = response_to(action.payload, said, answer.content, param=param)
    return replace(answer, type=response["action"], response=response)


def check_output(answer: Answer) -> None:
    """Raises TooLarge."""
    if len(msgspec.json.encode(answer.output)) > MAX_OUTPUT_BYTES:
        raise TooLarge(f"output: larger than {MAX_OUTPUT_BYTES} bytes", param="output")


def result_of(action: PendingAction, answer: Answer, *, expired: bool) -> ToolResult | None:
    """What the model is told of the call that waited; None if it is to be called now."""
    if answer.result is not None:
        return answer.result
    if answer.type in {"connected", "approve", "funds"}:
        return None
    if answer.type == "tool_output":
        record = {"kind": action.kind, "target": action.subject, "status": "answered", **answer.record}
        return json_result(answer.output, is_error=answer.is_error, record=record)
    record = {"kind": action.kind, "target": action.subject, "status": "expired" if expired else answer.type}
    return error_result(_words(action.kind, answer, expired=expired), record)


def _words(kind: str, answer: Answer, *, expired: bool) -> str:
    if kind == "connect":
        return DECLINED
    if expired:
        return NOBODY_APPROVED if kind == "approval" else NO_ANSWER
    said = NOT_APPROVED if kind == "approval" else NOT_RUN
    return f"{said} Reason: {answer.reason}" if answer.reason else said
