"""One process that admits and settles calls of one hot wallet, nothing else: no HTTP, no provider.

``python -m bench.admission_load`` reads a ``WalletLoad`` as JSON from its first argument and writes a
``WalletMeasured`` as JSON. Every call is billed as in ``heddle serve``: a hold, a debit, a ledger entry, a
usage event, and the key's cap and the counted spending of its end user.
"""

import asyncio
import sys
import time
from decimal import Decimal

import msgspec
import uvloop

from gateway.billing.billing import Billing
from gateway.billing.operations import CallOutcome, Payer
from gateway.billing.prices import Cost, CostBound, TokenUsage
from kit.clock import SystemClock
from kit.db import Database
from kit.ids import new_uuid
from kit.money import Nanos

BOUND = CostBound(Nanos(1_000), Decimal("0.00001"), 1_000)
COST = Nanos(12_345)
OUTCOME = CallOutcome(
    "anthropic",
    "claude-haiku-4-5",
    "ok",
    200,
    TokenUsage(100, 100),
    Cost(
        COST,
        [
            {"unit": "input", "count": 100, "unit_price_usd": "0.000001"},
            {"unit": "output", "count": 100, "unit_price_usd": "0.000005"},
            {"unit": "markup", "rate": "0.07"},
        ],
    ),
)


class WalletLoad(msgspec.Struct, frozen=True):
    """Who pays, how many calls are under way at a time, and when to begin (Unix seconds)."""

    database_url: str
    account_id: str
    key_id: str
    end_user_id: str
    concurrency: int
    warm_up: int
    seconds: float
    starts_at: float = 0.0


class WalletMeasured(msgspec.Struct, frozen=True):
    """``cpu_s``: of this process, all threads, user and system. Times of admission and settlement in ms."""

    calls: int
    """Measured and warm-up."""
    measured: int
    seconds: float
    cpu_s: float
    admit_p50_ms: float
    settle_p50_ms: float
    both_p99_ms: float


async def measure(load: WalletLoad) -> WalletMeasured:
    """Apply the load. Raises HeddleError if the wallet does not afford it."""
    db = Database(load.database_url)
    billing = Billing(db, SystemClock())
    payer = Payer(load.account_id, load.key_id, load.end_user_id)
    timed: list[tuple[float, float]] = []
    calls = 0

    async def call() -> tuple[float, float]:
        nonlocal calls
        request_id = new_uuid()
        began = time.perf_counter()
        await billing.admit(request_id, payer, BOUND)
        admitted = time.perf_counter()
        await billing.settle(request_id, payer, OUTCOME)
        calls += 1
        return admitted - began, time.perf_counter() - admitted

    async def warm_up() -> None:
        for _ in range(-(-load.warm_up // load.concurrency)):
            await call()

    async def until(end: float) -> None:
        while time.perf_counter() < end:
            timed.append(await call())

    try:
        await asyncio.gather(*(warm_up() for _ in range(load.concurrency)))
        await asyncio.sleep(max(0.0, load.starts_at - time.time()))
        started, cpu_before = time.perf_counter(), time.process_time()
        await asyncio.gather(*(until(started + load.seconds) for _ in range(load.concurrency)))
        took, cpu_s = time.perf_counter() - started, time.process_time() - cpu_before
    finally:
        await billing.close()
        await db.close()
    return _summary(calls, timed, took, cpu_s)


def _summary(calls: int, timed: list[tuple[float, float]], took: float, cpu_s: float) -> WalletMeasured:
    middle, late = len(timed) // 2, min(len(timed) - 1, len(timed) * 99 // 100)
    return WalletMeasured(
        calls=calls,
        measured=len(timed),
        seconds=took,
        cpu_s=cpu_s,
        admit_p50_ms=sorted(admit for admit, _ in timed)[middle] * 1000,
        settle_p50_ms=sorted(settle for _, settle in timed)[middle] * 1000,
        both_p99_ms=sorted(admit + settle for admit, settle in timed)[late] * 1000,
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(measure(msgspec.json.decode(sys.argv[1].encode(), type=WalletLoad)))
    sys.stdout.buffer.write(msgspec.json.encode(result))
