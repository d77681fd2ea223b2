"""What a dead attempt had delivered of the step that it did not finish, told from its log."""

from typing import Any

import pytest

from threads.event_log import encode_frame
from threads.lost import delivered_of

START: dict[str, Any] = {"type": "message_start", "message": {"usage": {"input_tokens": 3}}}
TOOL = {"type": "qlaud.tool_dispatch_done", "name": "event: qlaud.iteration_start\n"}
ACTION = {"type": "qlaud.requires_action", "actions": []}


def mark(iteration: int) -> dict[str, Any]:
    return {"type": "qlaud.iteration_start", "iteration": iteration}


def text(words: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "delta": {"type": "text_delta", "text": words}}


@pytest.mark.parametrize(
    ("events", "iteration", "lost"),
    [
        ([], 1, []),
        ([ACTION], 1, []),
        ([START, text("a")], 1, [START, text("a")]),
        ([START, text("a"), TOOL], 2, []),
        ([START, text("a"), TOOL, mark(2)], 2, []),
        ([START, text("a"), TOOL, mark(2), START, text("b")], 2, [START, text("b")]),
        ([START, text("a"), TOOL, mark(2), START, text("b"), TOOL], 3, []),
        ([mark(2), START, TOOL, mark(3), START, text(str(TOOL))], 3, [START, text(str(TOOL))]),
    ],
)
def test_only_the_frames_of_the_unfinished_step_count(
    events: list[dict[str, Any]], iteration: int, lost: list[dict[str, Any]]
) -> None:
    frames = [encode_frame(number, event) for number, event in enumerate(events, 1)]
    found = delivered_of(b"".join(frames), iteration, "qlaud")
    assert found == b"".join(frames[len(frames) - len(lost) :])
