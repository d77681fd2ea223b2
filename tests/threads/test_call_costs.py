"""What the tools of a turn cost, in the turn's own row."""

from typing import Any

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from threads.journal import Journal
from threads.model_client import StepCost
from threads.models import ToolCallRow
from threads.store import ThreadStore
from threads.turn_request import parse_turn

CALLER = Caller("acct_1", "key_1", "standard")


async def test_calls_that_end_side_by_side_all_count(db: Database, clock: ManualClock) -> None:
    """Each of them knows the turn as it was before the others had ended."""
    store, journal = ThreadStore(db, clock), Journal(db, clock, "one")
    thread = await store.create(CALLER, end_user_id=None, metadata={}, thread_id=None)
    turn = await journal.begin(CALLER, thread.id, parse_turn({"model": "sim-small", "content": "hi"}))
    asked: list[dict[str, Any]] = [
        {"type": "tool_use", "id": name, "name": "search", "input": {}} for name in ("a", "b")
    ]
    await db.write(
        lambda session: journal.record_step(
            session,
            turn,
            iteration=1,
            request_id="r",
            content=asked,
            model="sim",
            stop_reason="tool_use",
            cost=StepCost(3, {}),
        )
    )
    turn.iteration, turn.cost_nanos = 1, 3

    async def end(call: ToolCallRow, nanos: int) -> None:
        told = {"status": "done", "cost_nanos": nanos}
        await db.write(lambda session: journal.record_call(session, turn, call, told, nanos=nanos))

    first, second = await journal.calls_of(turn)
    await end(first, 5)
    await end(second, 7)
    assert (await journal.get(CALLER, thread.id, turn.id)).cost_nanos == 3 + 5 + 7
    calls = await journal.calls_of(turn)
    assert [call.cost_nanos for call in calls] == [5, 7]
    turn.cost_nanos = 3 + 5 + 7
    results = await journal.append_results(turn, calls)
    assert results.cost_nanos == 12
