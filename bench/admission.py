"""What admission and settlement of a call cost, without HTTP and without a provider.

``python -m bench.admission`` measures one hot wallet: on SQLite (``synchronous=FULL``) with 1, 8 and 64 calls
at a time in one process, and on PostgreSQL (fsync on) with one process and with four. Each takes turns with
the bare statements of the same database, as many calls to a transaction (**the floor**). It prints Markdown,
and checks that every wallet has paid exactly the calls that were made. Nothing stays behind.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
from rich.console import Console

from bench.admission_floor import FloorLoad, FloorMeasured
from bench.admission_load import COST, WalletLoad, WalletMeasured
from bench.databases import database
from bench.processes import run_json
from bench.under_test import machine
from gateway.accounts.keys import ApiKeys, NewKey
from gateway.accounts.models import Account
from gateway.billing.billing import Billing
from gateway.billing.ledger import verify_account
from gateway.billing.models import Wallet
from gateway.migrations import migrate
from kit.clock import SystemClock
from kit.db import Database, parse_database_url
from kit.ids import new_id
from kit.money import Nanos

err = Console(stderr=True, highlight=False)
PURSE = Nanos(10**17)
WARM_UP = 100
FLOOR_BATCH = 32
"""Calls to a transaction at most; a group of 64 that wait is usually half admissions, half settlements."""
AHEAD_S = 6.0
"""How long several processes take to get ready, so that they begin together."""


@dataclass(frozen=True)
class Purse:
    """A wallet with money, and who pays from it."""

    database_url: str
    account_id: str
    key_id: str


@dataclass(frozen=True)
class Case:
    database: str
    processes: int
    concurrency: int
    """Of each process."""

    @property
    def floor_batch(self) -> int:
        return min(self.concurrency, FLOOR_BATCH)


CASES = (
    Case("SQLite", 1, 1),
    Case("SQLite", 1, 8),
    Case("SQLite", 1, 64),
    Case("PostgreSQL", 1, 1),
    Case("PostgreSQL", 1, 64),
    Case("PostgreSQL", 4, 64),
)


async def new_purse(database_url: str) -> Purse:
    """An account with a full wallet and a key with a monthly cap, in a database that has our tables."""
    db, clock = Database(database_url), SystemClock()
    account = Account(id=new_id("acct"), name="bench", created_at=clock.now_ms())
    keys = ApiKeys(db, clock, key_prefix="ak_live_")
    billing = Billing(db, clock)
    try:
        await db.write(lambda session: session.add(account.model_copy()))
        await db.write(lambda session: session.add(Wallet(account_id=account.id)))
        spec = NewKey("bench", "standard", cap_nanos=PURSE, cap_period="month")
        row, _ = await keys.mint(account.id, spec)
        await billing.credit(account.id, PURSE, kind="topup", entry_id="bench", reference="bench")
    finally:
        await billing.close()
        await db.close()
    return Purse(database_url, account.id, row.id)


async def spend(purse: Purse, case: Case, seconds: float) -> list[WalletMeasured]:
    """Each process's measurement."""
    load = WalletLoad(
        database_url=purse.database_url,
        account_id=purse.account_id,
        key_id=purse.key_id,
        end_user_id="user_bench",
        concurrency=case.concurrency,
        warm_up=WARM_UP,
        seconds=seconds,
        starts_at=time.time() + AHEAD_S if case.processes > 1 else 0.0,
    )
    text = msgspec.json.encode(load).decode()
    outputs = await asyncio.gather(
        *(run_json("bench.admission_load", [text], cores=None) for _ in range(case.processes))
    )
    return [msgspec.json.decode(output, type=WalletMeasured) for output in outputs]


async def floor(database: str, case: Case, seconds: float) -> FloorMeasured:
    text = msgspec.json.encode(FloorLoad(database, case.floor_batch, seconds)).decode()
    output = await run_json("bench.admission_floor", [text], cores=None)
    return msgspec.json.decode(output, type=FloorMeasured)


async def check(purse: Purse, calls: int) -> None:
    """Raises RuntimeError unless the wallet has paid exactly ``calls``."""
    db = Database(purse.database_url)
    try:
        async with db.session() as session:
            wallet = await session.get(Wallet, purse.account_id)
        assert wallet is not None
        faults = await db.write(lambda session: list(verify_account(session, purse.account_id)))
    finally:
        await db.close()
    wanted = PURSE - calls * COST
    if wallet.balance_nanos != wanted or wallet.held_nanos or faults:
        raise RuntimeError(
            f"{calls} calls were made: balance {wallet.balance_nanos}, expected {wanted}; "
            f"held {wallet.held_nanos}; faults of the ledger: {[fault.problem for fault in faults]}"
        )


async def measured(
    case: Case, database_url: str, floor_database: str, rounds: int, seconds: float
) -> tuple[str, int]:
    """The case's row, and how many calls were made for it."""
    purse = await new_purse(database_url)
    runs: list[list[WalletMeasured]] = []
    floors: list[FloorMeasured] = []
    for number in range(rounds):
        err.print(f"round {number + 1}/{rounds}: {case.database}, {case.processes} × {case.concurrency}")
        floors.append(await floor(floor_database, case, seconds))
        runs.append(await spend(purse, case, seconds))
    calls = sum(one.calls for run in runs for one in run)
    await check(purse, calls)
    return _row(case, runs, floors), calls


def _row(case: Case, runs: Sequence[Sequence[WalletMeasured]], floors: Sequence[FloorMeasured]) -> str:
    rate = [sum(one.measured / one.seconds for one in run) for run in runs]
    cpu = [sum(one.cpu_s for one in run) / sum(one.measured for one in run) * 1000 for run in runs]
    least = [one.cpu_s / one.calls * 1000 for one in floors]
    latencies = [
        f"{median(one.admit_p50_ms for run in runs for one in run):.2f}",
        f"{median(one.settle_p50_ms for run in runs for one in run):.2f}",
        f"{median(one.both_p99_ms for run in runs for one in run):.1f}",
    ]
    cells = [
        case.database,
        str(case.processes),
        str(case.concurrency),
        _spread(rate, ",.0f"),
        *latencies,
        _spread(cpu, ".3f"),
        _spread(least, ".3f"),
        f"{median(cpu) / median(least):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


async def run(rounds: int, seconds: float) -> list[str]:
    lines, calls = [], 0
    with (
        tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder,
        database("sqlite") as sqlite,
        database("postgresql") as postgres,
    ):
        for url in (sqlite, postgres):
            migrate(parse_database_url(url))
        for case in CASES:
            url, bare = (sqlite, folder) if case.database == "SQLite" else (postgres, postgres)
            row, made = await measured(case, url, bare, rounds, seconds)
            lines.append(row)
            calls += made
    return [
        f"{rounds} runs of {seconds:g} s each, median (lowest to highest); nothing pinned. {machine()}.",
        "",
        "| database | processes | calls at a time, each | calls/s | admission p50 ms | settlement p50 ms "
        "| both p99 ms | CPU ms per call | floor | × floor |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *lines,
        "",
        f"{calls:,} calls were made and exactly as many paid; nothing is held any more.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="the length of one measurement (3)")
    options = parser.parse_args()
    sys.stdout.write("\n".join(asyncio.run(run(options.rounds, options.seconds))) + "\n")


if __name__ == "__main__":
    main()
