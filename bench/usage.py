"""How fast usage reports are with very many events: ``python -m bench.usage``.

Fills a database of its own with events of one month (in bulk, with their sums made by the same code as in
``heddle serve``), then measures ``GET /v1/usage`` of a real ``heddle serve`` from the month's start until
now, and other periods and groups beside it. Every measured answer's totals are checked against the events
themselves. Nothing stays behind.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from sqlalchemy import Engine, func, select

from bench.databases import database
from bench.processes import Cores, running
from bench.under_test import heddle_environ, machine
from bench.usage_events import ACCOUNT, MONTH_MS, NOW_MS, TAIL_EVENTS, Filling, fill
from gateway.migrations import migrate
from gateway.usage.filter import UsageFilter
from gateway.usage.tables import EVENT
from kit.db import parse_database_url, sync_engine

err = Console(stderr=True, highlight=False)
ADMIN_KEY = "ak_live_" + "be" * 32
REPORTS = 40
WARM_UP = 3


@dataclass(frozen=True)
class Question:
    """A report to measure: ``wanted`` as the route understands ``more`` and the period."""

    name: str
    wanted: UsageFilter
    more: Mapping[str, Any]


def questions() -> list[Question]:
    middle = MONTH_MS + (NOW_MS - MONTH_MS) // 2 + 1_234_567
    to_date = UsageFilter(ACCOUNT, MONTH_MS, NOW_MS)
    everything = {"group_by": "key,end_user,model,provider,tool,day"}
    return [
        Question("month to date, default groups", to_date, {}),
        Question("month to date, all six groups", to_date, everything),
        Question("month to date, the 100 dearest of each default group", to_date, {"top": 100}),
        Question("from any instant until now", UsageFilter(ACCOUNT, middle, NOW_MS), {}),
        Question("between any two instants", UsageFilter(ACCOUNT, middle, NOW_MS - 98_765_432), {}),
        Question(
            "month to date of one key, by model and day",
            UsageFilter(ACCOUNT, MONTH_MS, NOW_MS, key_id="key_7"),
            {"group_by": "model,day"},
        ),
        Question(
            "month to date of one model, by key",
            UsageFilter(ACCOUNT, MONTH_MS, NOW_MS, model="model_3"),
            {"group_by": "key"},
        ),
    ]


async def measure(database_url: str, cores: Cores) -> list[str]:
    """Rows of the table, one per question. Raises RuntimeError if a report is not what the events say."""
    engine = sync_engine(parse_database_url(database_url), writing=False)
    lines = []
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        environ = heddle_environ(folder, "http://127.0.0.1:9", ADMIN_KEY)
        environ["HEDDLE_DATABASE_URL"] = database_url
        async with running("gateway.cli", "serve", cores=cores.server, environ=environ) as heddle:
            headers = {"x-api-key": ADMIN_KEY}
            async with httpx.AsyncClient(base_url=heddle.url, headers=headers, timeout=600) as client:
                for question in questions():
                    lines.append(await _asked(client, heddle.pid, engine, question))
                    err.print(lines[-1])
    engine.dispose()
    return lines


async def _asked(client: httpx.AsyncClient, pid: int, engine: Engine, question: Question) -> str:
    wanted = question.wanted
    narrowed = {"key_id": wanted.key_id, "model": wanted.model}
    params: dict[str, Any] = {"from_ms": wanted.from_ms, "to_ms": wanted.to_ms, **question.more}
    params |= {name: value for name, value in narrowed.items() if value is not None}
    took_ms: list[float] = []
    for number in range(WARM_UP + REPORTS):
        if number == WARM_UP:
            cpu_before = _cpu_s(pid)
        began = time.perf_counter()
        answer = (await client.get("/v1/usage", params=params)).raise_for_status()
        took_ms.append((time.perf_counter() - began) * 1000)
    cpu_ms = (_cpu_s(pid) - cpu_before) / REPORTS * 1000
    totals = select(func.count(), func.sum(EVENT.c.cost_nanos)).where(wanted.events())
    with engine.connect() as connection:
        count, cost_nanos = connection.execute(totals).one()
    reported = answer.json()
    if (reported["request_count"], reported["total_cost_micros"]) != (count, (int(cost_nanos) + 500) // 1000):
        raise RuntimeError(f"{question.name}: the report is not the sum of its {count:,} events")
    of_twenty = quantiles(took_ms[WARM_UP:], n=20)
    size = len(answer.content) / 1000
    figures = f"{of_twenty[9]:.1f} | {of_twenty[18]:.1f} | {cpu_ms:.1f}"
    return f"| {question.name} | {count:,} | {size:,.0f} KB | {figures} |"


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def run(kind: str, filling: Filling) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    cores = Cores.choose()
    with database(kind) as url:
        migrate(parse_database_url(url))
        began = time.perf_counter()
        engine = sync_engine(parse_database_url(url))
        fill(engine, filling)
        engine.dispose()
        took_s = time.perf_counter() - began
        lines = asyncio.run(measure(url, cores))
    name = "SQLite" if kind == "sqlite" else "PostgreSQL"
    return "\n".join(
        [
            f"{name}, {filling.events:,} events of one month, {filling.people:,} end users with a key each "
            f"(made in {took_s:.0f} s); the last {TAIL_EVENTS:,} of them not summed up yet. "
            f"{REPORTS} reports each, one at a time; the server on a core of its own. "
            f"{machine()}.",
            "",
            "| `GET /v1/usage` | events covered | answer | p50 ms | p95 ms | CPU ms |",
            "|---|--:|--:|--:|--:|--:|",
            *lines,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.usage", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many events (1,000,000)")
    parser.add_argument("--end-users", type=int, default=1_000, help="of how many end users (1,000)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    if options.events < 10 * TAIL_EVENTS or options.end_users < 10:
        parser.error(f"--events must be at least {10 * TAIL_EVENTS:,} and --end-users 10")
    sys.stdout.write(run(options.database, Filling(options.events, options.end_users)))


if __name__ == "__main__":
    main()
