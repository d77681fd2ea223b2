"""Parking a turn: it waits for somebody, and its stream says so, in one transaction."""

from collections.abc import Sequence

from sqlmodel import Session

from threads.journal import Journal
from threads.live_turn import LastEvents
from threads.models import PendingAction
from threads.needs import Need
from threads.steps import TurnRun
from threads.turn_events import done_event, required_event


async def park(journal: Journal, run: TurnRun, needs: Sequence[Need] = ()) -> list[PendingAction]:
    """See ``Journal.park``. Raises LeaseLost."""
    turn, prefix = run.turn, run.event_prefix

    async def transaction(last: LastEvents) -> list[PendingAction]:
        def tell(session: Session, actions: Sequence[PendingAction]) -> None:
            last.log(
                session, required_event(prefix, turn, actions), done_event(prefix, turn, incomplete=True)
            )

        return await journal.park(turn, tell, needs)

    return await run.live.conclude(transaction)
