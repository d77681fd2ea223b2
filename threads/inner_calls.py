"""What the calls within a tool call come to, kept in that call's row as they end.

Each result is written with its charge in one transaction, under the turn's lease: whoever takes the turn over
finds it and does not make that call again, so it is neither made nor paid twice. A call that left no
result is made again only if that is safe.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlmodel import Session

from broker.calls import ToolResult
from broker.dynamic.calls import call_record
from broker.metering import OpenCharge, Record
from broker.tool import BoundTool
from threads.approvals import Approvals
from threads.journal import Journal
from threads.model_client import LeaseLost
from threads.models import ToolCallRow
from threads.steps import TurnRun


class InnerCallRows:
    """Implements ``broker.tool.InnerCalls`` on the row of the call that they are within.

    While that call runs, its row's ``content`` has the results so far, by place; its ``record`` what a
    developer reads of them.
    """

    def __init__(
        self, journal: Journal, approvals: Approvals, run: TurnRun, call: ToolCallRow, *, resumed: bool
    ) -> None:
        self._journal = journal
        self._approvals = approvals
        self._run = run
        self._call = call
        self._resumed = resumed
        self._rows: dict[int, dict[str, Any]] = {}
        self._cost = call.cost_nanos
        self._lock = asyncio.Lock()
        if resumed:
            self._rows = {row["place"]: row for row in call.content or [] if "place" in row}

    @property
    def kept(self) -> Mapping[int, ToolResult]:
        return {
            place: ToolResult(row["output"], row["content"], row["is_error"], row["record"])
            for place, row in self._rows.items()
        }

    @property
    def resumed(self) -> bool:
        return self._resumed

    async def permitted(self, tool: BoundTool) -> bool:
        return self._call.approved or await self._approvals.of(self._run, tool) == "never"

    async def keep(self, place: int, name: str, result: ToolResult, charge: OpenCharge | None) -> None:
        """Raises LeaseLost, nothing charged."""
        async with self._lock:  # each writes what all have come to
            row = {
                "place": place,
                "name": name,
                "output": result.output,
                "content": result.content,
                "is_error": result.is_error,
                "record": result.record,
            }
            rows = {**self._rows, place: row}
            changes: dict[str, Any] = {"content": list(rows.values()), "record": _record(rows)}
            if charge is None:
                await self._journal.change_call(self._run.turn, self._call, **changes)
            else:
                await self._charge(changes, lambda record: charge.settle(result, record))
            self._rows = rows

    async def cut_off(self, charge: OpenCharge) -> None:
        """Paid if its owner stopped the turn, else called again by whoever goes on with it, or not at all."""
        if not self._run.cancelled_by_owner():
            await charge.cut_off(by_payer=False)
            return
        async with self._lock:
            with suppress(LeaseLost):
                await self._charge({}, lambda record: charge.cut_off(by_payer=True, record=record))

    async def _charge(self, changes: dict[str, Any], end: Callable[[Record], Awaitable[int]]) -> None:
        def record(session: Session, nanos: int) -> None:
            told = {**changes, "cost_nanos": (self._cost or 0) + nanos}
            self._journal.record_call(session, self._run.turn, self._call, told, nanos=nanos)

        cost = await end(record)
        self._cost = (self._cost or 0) + cost
        self._run.turn.cost_nanos += cost
        for name, value in {**changes, "cost_nanos": self._cost}.items():
            setattr(self._call, name, value)


def _record(rows: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    calls = [
        call_record(row["name"], ToolResult(None, [], row["is_error"], row["record"]))
        for _, row in sorted(rows.items())
    ]
    return {"kind": "dynamic", "status": "running", "calls": calls}
