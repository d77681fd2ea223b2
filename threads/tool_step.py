"""The tool step of a turn: run the calls that can run, open actions for those that need somebody.

A call's row says what is to be done with it. Whoever answers an action changes the row, whether the turn is
parked then or still runs here; so the step reads the rows again before it gives up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from sqlmodel import Session

from broker.broker import Broker
from broker.calls import AnswersLater, NeedsConnection, ToolCall, ToolResult, error_result
from broker.metering import OpenCharge, Payment, Record
from broker.policy import Approval
from broker.tool import BoundTool
from kit.clock import Clock
from kit.crash_points import reach
from kit.errors import HeddleError, PaymentRequired
from kit.to_its_end import to_its_end
from threads import needs
from threads.approvals import Approvals
from threads.inner_calls import InnerCallRows
from threads.journal import UNKNOWN_OUTCOME, Journal, Tell
from threads.live_turn import LastEvents
from threads.model_client import LeaseLost
from threads.models import PendingAction, ToolCallRow, ToolOutput, Turn
from threads.needs import FUNDS_CODES, Need
from threads.parking import park
from threads.steps import TurnRun, request_id_of

logger = logging.getLogger("heddle.threads")

MAX_CONCURRENT_CALLS = 16
LOOK_EVERY_S = 1.0
"""How often a turn that waits for its caller's tools reads its rows, should nobody wake it."""
READY = frozenset({"pending", "running", "answered"})


class ToolStepRunner:
    """Runs an iteration's tool calls concurrently; each result is written when it arrives."""

    def __init__(self, journal: Journal, broker: Broker, approvals: Approvals, clock: Clock) -> None:
        self._journal = journal
        self._broker = broker
        self._approvals = approvals
        self._clock = clock

    async def run(self, run: TurnRun) -> list[PendingAction]:
        """Returns what the turn is parked for; nothing, and the results are in the thread."""
        while True:
            await self._run_ready(run)
            if all(call.status == "done" for call in run.calls):
                message = await self._journal.append_results(run.turn, run.calls)
                run.history.append(message)
                run.calls = []
                return []
            run.woken.clear()
            run.calls = await self._journal.calls_of(run.turn)
            if any(call.status in READY for call in run.calls) or await self._client_answers(run):
                continue
            actions = await park(self._journal, run)
            if actions:
                return actions
            run.calls = await self._journal.calls_of(run.turn)

    async def _run_ready(self, run: TurnRun) -> None:
        limit = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

        async def one(call: ToolCallRow) -> None:
            async with limit:
                await self._call(run, call)

        try:
            async with asyncio.TaskGroup() as group:
                for call in run.calls:
                    if call.status in READY:
                        group.create_task(one(call))
        except ExceptionGroup as failures:  # a lost lease, or a fault of ours: the first says enough
            raise failures.exceptions[0] from None

    async def _client_answers(self, run: TurnRun) -> bool:
        """Wait for the caller's tools, if nothing else is waited for; False if it is time to park."""
        waiting = [call for call in run.calls if call.status == "waiting"]
        if run.client_tools_until is None or not all(self._by_client(run, call) for call in waiting):
            return False
        left = run.client_tools_until - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        with suppress(TimeoutError):
            await asyncio.wait_for(run.woken.wait(), min(left, LOOK_EVERY_S))
        return True

    async def _call(self, run: TurnRun, call: ToolCallRow) -> None:
        name = run.display_name(call)
        if call.status == "answered":
            result = ToolResult(call.output, call.content or [], call.is_error, call.record or {})
            await self._finish(run, call, name, result)
        elif call.status == "running" and not self._retry_safe(run, call):
            await self._finish(run, call, name, error_result(UNKNOWN_OUTCOME))
        elif self._by_client(run, call):
            await self._hand_over(run, call)
        else:
            await self._dispatch_or_ask(run, call, name)

    async def _dispatch_or_ask(self, run: TurnRun, call: ToolCallRow, name: str) -> None:
        reached = await self._broker.reached_by(run.scope, run.toolset, _asked(call))
        missing, askers = await self._approvals.missing(run, call, reached)
        if missing == "never":
            await self._dispatch(run, call, name)
        elif (invalid := self._invalid(run, call)) is not None:
            await self._finish(run, call, name, invalid)
        else:
            await self._ask(run, call, name, missing, askers)

    async def _ask(
        self, run: TurnRun, call: ToolCallRow, name: str, missing: Approval, askers: list[BoundTool]
    ) -> None:
        """``askers``: the tools that ask for it, the call's own or such as it calls in its turn."""
        definitions = {tool.display_name: tool.definition_sha256 for tool in askers}
        now = self._clock.now_ms()
        if askers == [run.toolset.find(call.name)]:
            trusted = definitions[name] if missing == "first_use" else None
            need = needs.approval(run.turn, call, name, first_use_of=trusted, now_ms=now)
        else:
            need = needs.batch_approval(
                run.turn, call, name, definitions, first_use=missing == "first_use", now_ms=now
            )
        await self._journal.open_action(run.turn, call, need)

    async def _hand_over(self, run: TurnRun, call: ToolCallRow) -> None:
        """The caller is to run this one: the event tells it so, once its answer can be taken."""
        invalid = self._invalid(run, call)
        if invalid is not None:
            await self._finish(run, call, call.name, invalid, begun=False)
            return
        need = needs.client_tool(run.turn, call, now_ms=self._clock.now_ms())
        start = run.call_event("tool_dispatch_start", call, call.name)
        await run.live.conclude(
            lambda told: self._journal.open_action(
                run.turn, call, need, lambda session: told.log(session, start)
            )
        )
        wait_s = run.turn.client_tool_wait_ms / 1000
        run.client_tools_until = asyncio.get_running_loop().time() + wait_s

    async def _start(self, run: TurnRun, call: ToolCallRow, name: str) -> None:
        """From now on the call may have had an effect."""
        start = run.call_event("tool_dispatch_start", call, name)
        await run.live.conclude(
            lambda told: self._journal.change_call(
                run.turn, call, lambda session: told.log(session, start), status="running"
            )
        )

    async def _dispatch(self, run: TurnRun, call: ToolCallRow, name: str) -> None:
        payment = Payment(request_id_of(run.turn, call.id), run.turn.key_id, run.budget)
        resumed = call.status == "running"
        inner = InnerCallRows(self._journal, self._approvals, run, call, resumed=resumed)
        if resumed:  # its stream has been told by the process that left it
            await self._journal.change_call(run.turn, call, status="running")
        else:
            await self._start(run, call, name)
        reach("turn.tool.started")
        try:
            outcome = await self._outcome(run, _asked(call), name, payment, inner)
        except asyncio.CancelledError:
            if payment.charge is not None:
                await to_its_end(self._cut_off(run, call, payment.charge))
            raise
        reach("turn.tool.answered")
        if isinstance(outcome, Need):
            if payment.charge is not None:
                await payment.charge.cut_off(by_payer=False)
            await self._journal.open_action(run.turn, call, outcome)
        else:
            await to_its_end(self._finish(run, call, name, outcome, payment.charge))

    async def _outcome(
        self, run: TurnRun, request: ToolCall, name: str, payment: Payment, inner: InnerCallRows
    ) -> ToolResult | Need:
        """What the model is told, whatever happens, also of a price that is not covered; or whom the call
        needs."""
        turn, now = run.turn, self._clock.now_ms()
        try:
            result = await self._broker.dispatch(run.scope, run.toolset, request, payment, inner=inner)
        except PaymentRequired as refusal:
            if may_wait_for_funds(turn, refusal):
                return needs.funds(turn, refusal, now_ms=now)
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
        if isinstance(result, NeedsConnection):
            return needs.connection(result)
        if isinstance(result, AnswersLater):
            return needs.webhook_result(turn, result, now_ms=self._clock.now_ms())
        return result

    async def _finish(
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
            "finished_at": self._clock.now_ms(),
        }
        events = [] if begun else [run.call_event("tool_dispatch_start", call, name)]
        done = run.call_event("tool_dispatch_done", call, name)
        events.append({**done, "is_error": result.is_error, "output": result.output})

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

    def _invalid(self, run: TurnRun, call: ToolCallRow) -> ToolResult | None:
        """What is wrong with the arguments: nobody is to be asked about a call that cannot be made."""
        bound = run.toolset.find(call.name)
        assert bound is not None
        return self._broker.check_arguments(
            bound.display_name,
            bound.input_schema,
            _asked(call),
            mendable=not bound.by_client,  # the caller has read its arguments off the stream already
        )

    @staticmethod
    def _by_client(run: TurnRun, call: ToolCallRow) -> bool:
        bound = run.toolset.find(call.name)
        return bound is not None and bound.by_client

    @staticmethod
    def _retry_safe(run: TurnRun, call: ToolCallRow) -> bool:
        bound = run.toolset.find(call.name)
        return bound is not None and bound.retry_safe


def _asked(call: ToolCallRow) -> ToolCall:
    return ToolCall(call.tool_use_id, call.name, call.input, call.created_at, call.iteration)


def may_wait_for_funds(turn: Turn, refusal: PaymentRequired) -> bool:
    return turn.parks_for_funds and refusal.code in FUNDS_CODES
