"""Models that a turn's MCP servers have called (sampling), where their developer allows it.

They are calls of the turn like any other: with its model, by its key and for its end user, within its budget
and its models; settled together with what they add to its cost. Their answers go to the server that asked,
not into the thread.
"""

import asyncio
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from kit.errors import PermissionDenied
from kit.ids import new_id
from kit.to_its_end import to_its_end
from threads.accumulate import MessageAccumulator, StreamOutOfOrder
from threads.journal import Journal
from threads.model_client import ModelClient, ModelStep, ModelStream, ModelStreamBroke, StepCost
from threads.steps import TurnRun, request_id_of

MAX_PER_CALL = 5


class CallSampling:
    """For one tool call. One model at a time for a whole turn, so that its budget holds."""

    def __init__(self, journal: Journal, model: ModelClient, run: TurnRun) -> None:
        self._journal = journal
        self._model = model
        self._run = run
        self._count = 0

    async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        """Raises HeddleError."""
        self._count += 1
        if self._count > MAX_PER_CALL:
            raise PermissionDenied(f"at most {MAX_PER_CALL} for one call", code="too_many_samples")
        async with self._run.sampling:
            return await self._sample({"model": self._run.turn.params["model"], "stream": True, **body})

    async def _sample(self, body: dict[str, Any]) -> dict[str, Any]:
        turn, held = self._run.turn, self._run.budget.held if self._run.budget is not None else 0
        step = ModelStep.of(turn, request_id_of(turn, new_id("smp")), body)
        step = replace(step, spent_nanos=step.spent_nanos + held)
        stream = await self._model.open(step, self._record)
        try:
            accumulator = MessageAccumulator(set())
            async for event in stream.events():
                accumulator.feed(event)
            if not accumulator.complete:
                raise ModelStreamBroke("the provider broke off its answer")
            content = accumulator.content()
        except StreamOutOfOrder as error:
            await to_its_end(self._abandon(stream))
            raise ModelStreamBroke(f"the provider's stream made no sense: {error}") from None
        except (asyncio.CancelledError, Exception):
            await to_its_end(self._abandon(stream))
            raise
        turn.cost_nanos += await to_its_end(stream.commit(self._settled))
        return {"content": content, "model": accumulator.model, "stop_reason": accumulator.stop_reason}

    async def _abandon(self, stream: ModelStream) -> None:
        self._run.turn.cost_nanos += await stream.abandon(self._record)

    def _settled(self, session: Session, cost: StepCost) -> int:
        self._record(session, cost.nanos)
        return cost.nanos

    def _record(self, session: Session, nanos: int) -> None:
        self._journal.record_cost(session, self._run.turn, nanos)
