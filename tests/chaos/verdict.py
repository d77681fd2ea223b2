"""What must hold after everything."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from sqlmodel import Session, func, select

from gateway.billing.models import Hold, UsageEvent
from kit.db import parse_database_url, sync_engine
from tests.chaos.clients import CLIENTS, Clients
from tests.chaos.fleet import Fleet
from tests.crash.books import Books, read_books
from tests.crash.provider import CALL_NANOS
from tests.crash.test_calls import KINDS
from threads.models import Turn


@dataclass
class Verdict:
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def told(self) -> str:
        return "\n".join([*self.lines, *(f"FAULT: {fault}" for fault in self.faults)])


async def judge(fleet: Fleet, clients: Clients, patience_s: float) -> Verdict:
    """Wait until nothing is under way any more, then look at everything."""
    verdict = Verdict()
    started = time.monotonic()
    while time.monotonic() - started < patience_s:
        under_way = await asyncio.to_thread(_under_way, fleet.database_url)
        if not any(under_way):
            break
        await asyncio.sleep(0.5)
    else:
        verdict.faults.append(f"{under_way[0]} holds and {under_way[1]} turns are under way for ever")
    verdict.lines.append(f"at rest {time.monotonic() - started:.0f} s after the last death")
    try:
        books = await asyncio.to_thread(read_books, fleet.database_url)
    except AssertionError as contradiction:
        verdict.faults.append(f"the books contradict each other: {contradiction}")
        return verdict
    _judge_answers(verdict, clients, books)
    _judge_unpaid(verdict, fleet, books)
    _judge_turns(verdict, fleet.database_url)
    verdict.lines.append(f"answers: {dict(sorted(clients.statuses.items()))}")
    verdict.lines.append(f"deaths: {fleet.deaths}; {dict(fleet.happened.most_common())}")
    return verdict


def _under_way(database_url: str) -> tuple[int, int]:
    engine = sync_engine(parse_database_url(database_url), writing=False)
    try:
        with Session(engine) as session:
            holds = session.exec(select(func.count()).select_from(Hold)).one()
            turns = session.exec(select(func.count()).where(Turn.status == "running")).one()
            return int(holds), int(turns)
    finally:
        engine.dispose()


def _judge_answers(verdict: Verdict, clients: Clients, books: Books) -> None:
    """Whoever got an answer to its end has paid for it, in full."""
    for request_id, nanos in clients.complete.items():
        event = books.events.get(request_id)
        if event is None or event.cost_nanos != nanos:
            paid = None if event is None else event.cost_nanos
            verdict.faults.append(f"{request_id} was answered and should cost {nanos}, paid is {paid}")
    prices = {kind.nanos for kind in KINDS.values()} | {CALL_NANOS}
    odd = [
        event.id for event in books.events.values() if event.status == "ok" and event.cost_nanos not in prices
    ]
    if odd:
        verdict.faults.append(f"calls at prices that do not exist: {odd[:5]}")
    statuses = Counter(event.error_code or event.status for event in books.events.values())
    verdict.lines.append(f"{len(clients.complete)} complete answers; calls on record: {dict(statuses)}")


def _judge_unpaid(verdict: Verdict, fleet: Fleet, books: Books) -> None:
    """Unpaid are at most the calls that were under way in a process that died: one for each client, and one
    for each turn that was being taken over."""
    unpaid = fleet.upstream.asked - len(books.events)
    most = fleet.deaths * 2 * CLIENTS
    verdict.lines.append(f"{fleet.upstream.asked} calls at the provider, {unpaid} of them without a record")
    if unpaid > most:
        verdict.faults.append(f"{unpaid} calls are unpaid, {fleet.deaths} deaths explain {most}")


def _judge_turns(verdict: Verdict, database_url: str) -> None:
    """A turn says that it cost what its calls did."""
    engine = sync_engine(parse_database_url(database_url), writing=False)
    with Session(engine) as session:
        costs = {turn.id: turn.cost_nanos for turn in session.exec(select(Turn)).all()}
        events = session.exec(select(UsageEvent).where(UsageEvent.turn_id != None)).all()  # noqa: E711
    engine.dispose()
    paid: Counter[str] = Counter()
    for event in events:
        paid[event.turn_id or ""] += event.cost_nanos
    wrong = [turn_id for turn_id, cost in costs.items() if paid[turn_id] != cost]
    verdict.lines.append(f"{len(costs)} turns, {len(wrong)} whose cost is not that of their calls")
    if wrong:
        verdict.faults.append(f"turns that do not cost what their calls did: {wrong[:5]}")
