"""What MCP servers ask end users (``elicitation`` actions): taking answers, asking while a call is under way.

A call that has been suspended goes on when the last of its questions is answered; one that has become a task
stays one, and its server gets the answers as they come; one that is under way waits for its answer itself.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from broker.elicitation import Question
from kit.clock import Clock
from kit.to_its_end import to_its_end
from threads import needs
from threads.models import PendingAction, ToolCallRow
from threads.rows import call_of
from threads.turn_events import required_event

if TYPE_CHECKING:
    from threads.actions import PendingActions
    from threads.journal import Journal
    from threads.steps import TurnRun

CANCEL = {"action": "cancel"}
LOOK_EVERY_S = 1.0
"""How often a question that is waited for is read, should nobody wake its turn."""


def response_of(action: PendingAction | None) -> dict[str, Any]:
    """What the server is told of a question that is not open any more."""
    response: dict[str, Any] = CANCEL if action is None else action.payload.get("response", CANCEL)
    return response


def take_answer(session: Session, action: PendingAction, response: dict[str, Any], *, now_ms: int) -> None:
    """Within a transaction that has locked the turn."""
    assert action.tool_use_id is not None and action.input_key is not None
    action.payload = {**action.payload, "response": response}
    session.add(action)
    session.flush()
    call = call_of(session, action.turn_id, action.tool_use_id)
    if call.status != "waiting" or call.suspended is None:
        return  # it is under way, and looks for the answer
    answers = {**call.suspended["answers"], action.input_key: response}
    call.suspended = {**call.suspended, "answers": answers}
    waiting = _open_of(session, action.turn_id, action.tool_use_id)
    task = next((one for one in waiting if one.kind == "task"), None)
    if task is not None:
        task.due_at = now_ms
        session.add(task)
    elif not waiting:
        call.status = "pending"
    session.add(call)


def close_questions(
    session: Session, turn_id: str, tool_use_id: str, *, now_ms: int, only: str | None = None
) -> None:
    """Nobody waits for the answers any more. Within a transaction that has locked the turn."""
    for action in _open_of(session, turn_id, tool_use_id):
        if action.kind == "elicitation" and only in {None, action.id}:
            action.status, action.outcome, action.resolved_at = "expired", "cancel", now_ms
            session.add(action)
    session.flush()


def _open_of(session: Session, turn_id: str, tool_use_id: str) -> list[PendingAction]:
    query = select(PendingAction).where(
        PendingAction.turn_id == turn_id,
        PendingAction.tool_use_id == tool_use_id,
        PendingAction.status == "open",
    )
    return list(session.exec(query.order_by(col(PendingAction.created_at))).all())


class CallQuestions:
    """Asks the end user of a turn while one of its calls is under way, where somebody listens to the turn."""

    def __init__(
        self,
        journal: "Journal",
        actions: "PendingActions",
        clock: Clock,
        run: "TurnRun",
        call: ToolCallRow,
        name: str,
    ) -> None:
        self._journal = journal
        self._actions = actions
        self._clock = clock
        self._run = run
        self._call = call
        self._name = name

    @property
    def patience_s(self) -> float:
        return self._run.turn.client_tool_wait_ms / 1000

    async def __call__(self, question: Question) -> dict[str, Any]:
        """Raises LeaseLost."""
        if not self.patience_s:
            return CANCEL
        action_id = await self._open(question)
        deadline = asyncio.get_running_loop().time() + self.patience_s
        turn_id, tool_use_id = self._run.turn.id, self._call.tool_use_id
        try:
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                response = await self._actions.response(action_id)
                if response is not None:
                    return response
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._run.woken.wait(), min(left, LOOK_EVERY_S))
                self._run.woken.clear()  # whoever waits for the turn's other calls reads all rows before
        except asyncio.CancelledError:  # the server does not want to know any more, or the turn ends
            await to_its_end(self._actions.give_up_questions(turn_id, tool_use_id, action_id))
            raise
        return await self._actions.give_up_questions(turn_id, tool_use_id, action_id)

    async def _open(self, question: Question) -> str:
        run = self._run
        expires_at = self._clock.now_ms() + run.turn.client_tool_wait_ms
        server = self._name.partition("/")[0]
        need = needs.elicitation(self._name, server, question, expires_at=expires_at)
        return await run.live.conclude(
            lambda told: self._journal.ask(
                run.turn,
                self._call,
                need,
                lambda session, actions: told.log(
                    session, required_event(run.event_prefix, run.turn, actions)
                ),
            )
        )
