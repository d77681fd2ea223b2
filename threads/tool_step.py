"""The tool step of a turn: run the calls that can run, open actions for those that need somebody.

A call's row says what is to be done with it. Whoever answers an action changes the row, whether the turn is
parked then or still runs here; so the step reads the rows again before it gives up.
"""

import asyncio
from contextlib import suppress

from broker.broker import Broker
from broker.calls import ToolCall, ToolResult, error_result
from broker.policy import Approval
from broker.tool import BoundTool
from kit.clock import Clock
from threads import needs
from threads.actions import PendingActions
from threads.approvals import Approvals
from threads.journal import UNKNOWN_OUTCOME, Journal
from threads.model_client import ModelClient
from threads.models import PendingAction, ToolCallRow
from threads.parking import park
from threads.steps import TurnRun
from threads.tool_dispatch import ToolDispatch

MAX_CONCURRENT_CALLS = 16
LOOK_EVERY_S = 1.0
"""How often a turn that waits for its caller's tools reads its rows, should nobody wake it."""
READY = frozenset({"pending", "running", "answered"})


class ToolStepRunner:
    """Runs an iteration's tool calls concurrently; each result is written when it arrives."""

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
        self._broker = broker
        self._approvals = approvals
        self._clock = clock
        self._calls = ToolDispatch(journal, actions, model, broker, approvals, clock)

    async def run(self, run: TurnRun) -> list[PendingAction]:
        """Returns what the turn is parked for; nothing, and the results are in the thread."""
        while True:
            await self._run_ready(run)
            if all(call.status == "done" for call in run.calls):
                message = await self._journal.append_results(run.turn, run.calls)
                run.history.append(message)
                run.tools_outdated |= any(self._brought_tools(run, call) for call in run.calls)
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
            result = ToolResult(
                call.output, call.content or [], call.is_error, call.record or {}, for_client=call.for_client
            )
            await self._calls.finish(run, call, name, result)
        elif call.status == "running" and not self._retry_safe(run, call):
            await self._calls.forget(run, call)
            await self._calls.finish(run, call, name, error_result(UNKNOWN_OUTCOME))
        elif self._by_client(run, call):
            await self._hand_over(run, call)
        else:
            await self._dispatch_or_ask(run, call, name)

    async def _dispatch_or_ask(self, run: TurnRun, call: ToolCallRow, name: str) -> None:
        reached = await self._broker.reached_by(run.scope, run.toolset, _asked(call))
        missing, askers = await self._approvals.missing(run, call, reached)
        if missing == "never":
            await self._calls.dispatch(run, call, name)
        elif (invalid := self._invalid(run, call)) is not None:
            await self._calls.finish(run, call, name, invalid)
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
        await self._journal.open_actions(run.turn, call, [need])

    async def _hand_over(self, run: TurnRun, call: ToolCallRow) -> None:
        """The caller is to run this one: the event tells it so, once its answer can be taken."""
        invalid = self._invalid(run, call)
        if invalid is not None:
            await self._calls.finish(run, call, call.name, invalid, begun=False)
            return
        need = needs.client_tool(run.turn, call, now_ms=self._clock.now_ms())
        start = run.start_event(call, call.name)
        await run.live.conclude(
            lambda told: self._journal.open_actions(
                run.turn, call, [need], lambda session: told.log(session, start)
            )
        )
        wait_s = run.turn.client_tool_wait_ms / 1000
        run.client_tools_until = asyncio.get_running_loop().time() + wait_s

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
    def _brought_tools(run: TurnRun, call: ToolCallRow) -> bool:
        bound = run.toolset.find(call.name)
        return bound is not None and bound.connects and not call.is_error

    @staticmethod
    def _retry_safe(run: TurnRun, call: ToolCallRow) -> bool:
        bound = run.toolset.find(call.name)
        return bound is not None and bound.retry_safe


def _asked(call: ToolCallRow) -> ToolCall:
    return ToolCall(call.tool_use_id, call.name, call.input, call.created_at, call.iteration)
