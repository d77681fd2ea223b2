"""One tool call of a turn: made or gone on with, finished, paid for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from broker.broker import Broker
from broker.calls import (
    AnswersLater,
    NeedsConnection,
    NeedsInput,
    Outcome,
    Resume,
    TaskUnderWay,
    ToolCall,
    ToolResult,
    error_result,
)
from broker.metering import OpenCharge, Payment, Record
from kit.clock import Clock
from kit.crash_points import reach
from kit.errors import HeddleError, PaymentRequired
from kit.to_its_end import to_its_end
from threads import needs
from threads.actions import PendingActions
from threads.approvals import Approvals
from threads.inner_calls import InnerCallRows
from threads.journal import Journal
from threads.live_turn import LastEvents
from threads.model_client import LeaseLost, ModelClient
from threads.models import ToolCallRow, ToolOutput, Turn
from threads.needs import FUNDS_CODES, Need
from threads.questions import CallQuestions
from threads.sampling import CallSampling
from threads.steps import TurnRun, request_id_of
from threads.tool_progress import ToolProgress
from threads.waits import Tell

logger = logging.getLogger("heddle.threads")


@dataclass(frozen=True)
class Waits:
    """What a call waits for, and with what it goes on then."""

    needs: tuple[Need, ...]
    suspended: dict[str, Any] | None = None


class ToolDispatch:
    def __init__(
        self,
        journal: Journal,
        actions: PendingActions,
        model: ModelClient,
        broker: Broker,
        approvals: Approvals,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._model = model
        self._actions = actions
        self._broker = broker
        self._approvals = approvals
        self._clock = clock

    async def forget(self, run: TurnRun, call: ToolCallRow) -> None:
        """Its process died while the call was under way: nobody waits for what its server asked then."""
        await self._actions.give_up_questions(run.turn.id, call.tool_use_id)

    async def _start(self, run: TurnRun, call: ToolCallRow, name: str) -> None:
        """From now on the call may have had an effect."""
        start = run.start_event(call, name)
        await run.live.conclude(
            lambda told: self._journal.change_call(
                run.turn, call, lambda session: told.log(session, start), status="running"
            )
        )

    async def dispatch(self, run: TurnRun, call: ToolCallRow, name: str) -> None:
        """Call the tool, and write down what comes of it. Raises LeaseLost."""
        payment = Payment(request_id_of(run.turn, _charged_as(call)), run.turn.key_id, run.budget)
        resumed = call.status == "running"
        inner = InnerCallRows(self._journal, self._approvals, run, call, resumed=resumed)
        if resumed:
            await self.forget(run, call)
        if resumed or call.suspended is not None:  # its stream has been told before
            await self._journal.change_call(run.turn, call, status="running")
        else:
            await self._start(run, call, name)
        reach("turn.tool.started")
        progress = ToolProgress(run, call)
        try:
            outcome = await self._outcome(run, call, name, payment, progress, inner)
            await progress.end()
        except asyncio.CancelledError:
            if payment.charge is not None:
                await to_its_end(self._cut_off(run, call, payment.charge))
            raise
        reach("turn.tool.answered")
        if isinstance(outcome, Waits):
            if payment.charge is not None:
                await payment.charge.cut_off(by_payer=False)
            await self._journal.open_actions(run.turn, call, outcome.needs, suspended=outcome.suspended)
        else:
            await to_its_end(self.finish(run, call, name, outcome, payment.charge))

    async def _outcome(
        self,
        run: TurnRun,
        call: ToolCallRow,
        name: str,
        payment: Payment,
        progress: ToolProgress,
        inner: InnerCallRows,
    ) -> ToolResult | Waits:
        """What the model is told, whatever happens, also of a price that is not covered; or whom the call
        needs."""
        turn = run.turn
        try:
            result = await self._broker.dispatch(
                run.scope,
                run.toolset,
                _request(call),
                payment,
                on_progress=progress,
                inner=inner,
                ask=CallQuestions(self._journal, self._actions, self._clock, run, call, name),
                sample=CallSampling(self._journal, self._model, run),
                resume=_resume(call),
            )
        except PaymentRequired as refusal:
            if may_wait_for_funds(turn, refusal):
                return Waits((needs.funds(turn, refusal, now_ms=self._clock.now_ms()),))
            return error_result(
                f"The tool {name} was not called: it costs money, and this call is not covered "
                f"({refusal.code}).",
                {"target": name, "status": refusal.code},
            )
        except HeddleError as error:
            return error_result(error.message)
        except LeaseLost:
            raise
        except Exception:
            logger.exception("dispatching a call of turn %s failed", turn.id)
            return error_result("The tool could not be called because of a fault on our side.")
        return result if isinstance(result, ToolResult) else self._waits(turn, name, result)

    def _waits(self, turn: Turn, name: str, outcome: Outcome) -> Waits:
        now = self._clock.now_ms()
        if isinstance(outcome, NeedsConnection):
            return Waits((needs.connection(outcome),))
        if isinstance(outcome, AnswersLater):
            return Waits((needs.webhook_result(turn, outcome, now_ms=now),))
        if isinstance(outcome, NeedsInput):
            until = now + turn.action_timeout_ms
            asked = [
                needs.elicitation(name, outcome.server, one, expires_at=until) for one in outcome.questions
            ]
            return Waits(tuple(asked), _suspended(outcome.state))
        assert isinstance(outcome, TaskUnderWay)
        return Waits((needs.task(turn, name, outcome, now_ms=now),), _suspended(outcome.state))

    async def finish(
        self,
        run: TurnRun,
        call: ToolCallRow,
        name: str,
        result: ToolResult,
        charge: OpenCharge | None = None,
        *,
        begun: bool = True,
    ) -> None:
        """Write the result, and charge for it in the same transaction; ``begun`` if the stream knows of the
        call. Raises LeaseLost, nothing charged."""
        changes: dict[str, Any] = {
            "status": "done",
            "output": result.output,
            "content": result.content,
            "is_error": result.is_error,
            "record": result.record,
            "for_client": result.for_client,
            "finished_at": self._clock.now_ms(),
        }
        if call.status != "answered":
            changes["suspended"] = None
        events = [] if begun else [run.start_event(call, name)]
        told = {"is_error": result.is_error, "output": result.output}
        if result.for_client is not None:
            told["mcp"] = {"result": result.for_client}
        events.append(run.call_event("tool_dispatch_done", call, name=name, **told))

        async def commit(told: LastEvents) -> None:
            def tell(session: Session) -> None:
                if result.full is not None:
                    session.add(ToolOutput(call_id=call.id, body=result.full))
                told.log(session, *events)

            if charge is None:
                await self._journal.change_call(run.turn, call, tell, **changes)
            else:
                await self._charge(run, call, changes, lambda record: charge.settle(result, record), tell)
            reach("turn.tool.committed")

        await run.live.conclude(commit)

    async def _charge(
        self,
        run: TurnRun,
        call: ToolCallRow,
        changes: dict[str, Any],
        end: Callable[[Record], Awaitable[int]],
        tell: Tell | None = None,
    ) -> None:
        """End a charge together with what the call's row and its turn's say of it."""

        def record(session: Session, nanos: int) -> None:
            told = {**changes, "cost_nanos": nanos}
            self._journal.record_call(session, run.turn, call, told, nanos=nanos)
            if tell is not None:
                tell(session)

        cost = await end(record)
        run.turn.cost_nanos += cost
        for name, value in {**changes, "cost_nanos": cost}.items():
            setattr(call, name, value)

    async def _cut_off(self, run: TurnRun, call: ToolCallRow, charge: OpenCharge) -> None:
        """The turn stops while the call is under way: paid if its owner stopped it, else called again by
        whoever goes on with the turn."""
        if not run.cancelled_by_owner():
            await charge.cut_off(by_payer=False)
            return
        with suppress(LeaseLost):
            await self._charge(run, call, {}, lambda record: charge.cut_off(by_payer=True, record=record))


def may_wait_for_funds(turn: Turn, refusal: PaymentRequired) -> bool:
    return turn.parks_for_funds and refusal.code in FUNDS_CODES


def _request(call: ToolCallRow) -> ToolCall:
    return ToolCall(call.tool_use_id, call.name, call.input, call.created_at, call.iteration)


def _charged_as(call: ToolCallRow) -> str:
    """Each time that a call goes on is a charge of its own: the one before has been settled, at nothing."""
    return call.id if call.suspended is None else f"{call.id}.{call.suspended['state']['round']}"


def _suspended(state: dict[str, Any]) -> dict[str, Any]:
    return {"state": state, "answers": {}}


def _resume(call: ToolCallRow) -> Resume | None:
    if call.suspended is None:
        return None
    return Resume(call.suspended["state"], call.suspended["answers"])
