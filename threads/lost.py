"""What an attempt at a turn had delivered of a model step when its process died: read off its log."""

import json


def delivered_of(log: bytes, iteration: int, event_prefix: str) -> bytes:
    """The frames of the step ``iteration``, which the attempt did not finish; empty if it delivered none.

    ``log`` is what the attempt logged. The first step of a turn has no mark of its own; each later one
    begins with ``iteration_start``, and no step begins before the one before it has been committed.
    """
    frames = log
    if iteration > 1:
        frames = _after_mark(log, iteration, f"{event_prefix}.iteration_start".encode())
    return frames if b"event: message_start\n" in frames else b""


def _after_mark(log: bytes, iteration: int, mark: bytes) -> bytes:
    """What follows the last mark, if it is this iteration's."""
    _, found, rest = log.rpartition(b"event: " + mark + b"\n")  # data has no raw line ends
    if not found:
        return b""
    head, _, frames = rest.partition(b"\n\n")
    event = json.loads(head.partition(b"\ndata: ")[2])
    return frames if event["iteration"] == iteration else b""
