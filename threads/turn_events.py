"""The events that say how a turn stands: that it waits, has failed, is done."""

from collections.abc import Mapping, Sequence
from typing import Any

from kit.money import micros
from threads.models import PendingAction, Turn
from threads.schemas import render_action


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


def required_event(prefix: str, turn: Turn, actions: Sequence[PendingAction]) -> dict[str, Any]:
    """Somebody is waited for; that the turn has parked is said by the ``done`` that follows then."""
    return {
        "type": f"{prefix}.requires_action",
        "turn_id": turn.id,
        "actions": [render_action(action) for action in actions],
    }


def error_event(prefix: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Why the turn failed (see ``failure.error_record``)."""
    named = {name: record[name] for name in ("message", "status", "code", "iteration") if name in record}
    return {"type": f"{prefix}.error", **named}
