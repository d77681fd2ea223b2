"""An account whose calls are settled at chosen times, and the sums over its events done by hand."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from sqlmodel import select

from gateway.accounts.models import Account
from gateway.billing.billing import Billing
from gateway.billing.models import UsageEvent, Wallet
from gateway.billing.operations import CallOutcome, Payer
from gateway.billing.prices import Cost, TokenUsage
from gateway.usage.dimensions import GroupBy
from gateway.usage.filter import UsageFilter
from gateway.usage.periods import DAY_MS
from gateway.usage.reports import Report, Sums, UsageReports
from gateway.usage.roller import LAG_MS, Roller
from kit.clock import ManualClock
from kit.db import Database
from kit.ids import new_id
from kit.money import Nanos


@dataclass(frozen=True)
class Call:
    """A call as a test describes it."""

    key: str = "key_a"
    end_user: str | None = None
    model: str = "sim-small"
    provider: str = "sim"
    tool: str | None = None
    cost: int = 1_000
    usage: TokenUsage = field(default_factory=lambda: TokenUsage(input_tokens=3, output_tokens=5))


@dataclass
class Meter:
    """One account's usage. Each process has a clock of its own."""

    db: Database
    account_id: str
    clocks: Sequence[ManualClock]
    processes: Sequence[Billing]

    async def settle(self, call: Call, *, process: int = 0) -> None:
        payer = Payer(self.account_id, call.key, call.end_user)
        outcome = CallOutcome(
            call.provider, call.model, "ok", 200, call.usage, Cost(Nanos(call.cost), []), tool=call.tool
        )
        await self.processes[process].settle(new_id("r"), payer, outcome)

    async def roll(self, *, process: int = 0) -> None:
        await Roller(self.db, self.clocks[process]).roll()

    async def roll_everything(self) -> None:
        """Let the sums reach all that has happened."""
        self.clocks[0].advance(seconds=LAG_MS / 1000 + 0.001)
        await self.roll()

    def filter(self, from_ms: int = 0, to_ms: int = 2**52, **narrowed: str) -> UsageFilter:
        return UsageFilter(self.account_id, from_ms, to_ms, **narrowed)

    async def report(self, wanted: UsageFilter, *group_by: GroupBy) -> Report:
        return await UsageReports(self.db).report(wanted, group_by)

    async def events(self) -> list[UsageEvent]:
        async with self.db.session() as session:
            mine = UsageEvent.account_id == self.account_id
            return list((await session.exec(select(UsageEvent).where(mine))).all())

    async def rolled_until(self) -> int:
        async with self.db.session() as session:
            wallet = await session.get(Wallet, self.account_id)
        assert wallet is not None
        return wallet.usage_rolled_until


VALUES: dict[GroupBy, Callable[[UsageEvent], str]] = {
    "key": lambda event: event.key_id,
    "end_user": lambda event: event.end_user_id or "",
    "model": lambda event: event.model,
    "provider": lambda event: event.provider,
    "tool": lambda event: event.tool or "",
    "day": lambda event: str(event.created_at // DAY_MS * DAY_MS),
}


def wanted_events(events: Sequence[UsageEvent], wanted: UsageFilter) -> list[UsageEvent]:
    return [
        event
        for event in events
        if wanted.from_ms <= event.created_at < wanted.to_ms
        and all(VALUES[dimension](event) == value for dimension, value in wanted.narrowed.items())
    ]


def summed(events: Sequence[UsageEvent]) -> Sums:
    total = Sums()
    for event in events:
        total = Sums(
            cost_nanos=total.cost_nanos + event.cost_nanos,
            request_count=total.request_count + 1,
            input_tokens=total.input_tokens + event.input_tokens,
            output_tokens=total.output_tokens + event.output_tokens,
            cache_read_tokens=total.cache_read_tokens + event.cache_read_tokens,
            cache_write_tokens=total.cache_write_tokens + event.cache_write_tokens,
        )
    return total


def summed_by(events: Sequence[UsageEvent], by: GroupBy) -> dict[str, Sums]:
    groups: dict[str, list[UsageEvent]] = defaultdict(list)
    for event in events:
        value = VALUES[by](event)
        if value or by != "tool":
            groups[value].append(event)
    return {value: summed(members) for value, members in groups.items()}


@dataclass
class Meters:
    """Makes accounts."""

    db: Database
    made: list[Billing] = field(default_factory=list)

    async def new(self, start_ms: int = 1_800_000_000_000, *, processes: int = 1) -> Meter:
        account_id = new_id("acct")

        async def add(row: Account | Wallet) -> None:
            await self.db.write(lambda session: session.add(row))

        await add(Account(id=account_id, name="test", created_at=0))
        await add(Wallet(account_id=account_id))
        clocks = [ManualClock(start_ms) for _ in range(processes)]
        billings = [Billing(self.db, clock) for clock in clocks]
        self.made += billings
        await billings[0].credit(account_id, Nanos(10**15), kind="topup", entry_id="start", reference="test")
        return Meter(self.db, account_id, clocks, billings)


@pytest.fixture
async def meters(db: Database) -> AsyncIterator[Meters]:
    several = Meters(db)
    yield several
    for billing in several.made:
        await billing.close()


@pytest.fixture
async def meter(meters: Meters) -> Meter:
    return await meters.new()
