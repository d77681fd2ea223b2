"""The events that end a turn's stream."""

from collections.abc import Mapping
from typing import Any

from kit.money import micros
from threads.models import Turn


def done_event(prefix: str, turn: Turn, *, incomplete: bool) -> dict[str, Any]:
    """The last event, whatever happened; ``incomplete`` if there is more to come, or will never be."""
    event: dict[str, Any] = {
        "type": f"{prefix}.done",
        "turn_id": turn.id,
        "thread_id": turn.thread_id,
        "seq": turn.last_seq,
        "iterations": turn.iteration,
        "hit_max_iterations": turn.hit_max_iterations,
        "cost_micros": micros(turn.cost_nanos),
    }
    if incomplete:
        event["incomplete"] = True
    return event


def error_event(prefix: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Why the turn failed (see ``failure.error_record``)."""
    named = {name: record[name] for name in ("message", "status", "code", "iteration") if name in record}
    return {"type": f"{prefix}.error", **named}
