"""Whether long threads and long lists are read as fast as short ones: ``python -m bench.threads_store``.

Fills a database of its own with a thread of very many messages beside a short one, and an account of very
many threads beside one of few, and times the store's reads in this process. Nothing stays behind.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles
from typing import Any

from rich.console import Console
from sqlalchemy import Engine, text

from bench.databases import database
from bench.under_test import machine
from gateway.migrations import migrate
from kit.caller import Caller
from kit.clock import SystemClock
from kit.db import Database, parse_database_url, sync_engine
from threads.fork import Forks
from threads.store import ThreadStore

err = Console(stderr=True, highlight=False)
READS = 200
WARM_UP = 10
SHORT, FEW = 100, 100
BIG, SMALL = Caller("acct_big", "key_big", "standard"), Caller("acct_small", "key_small", "standard")
Read = Callable[[], Awaitable[Any]]


def fill(engine: Engine, messages: int, threads: int) -> None:
    for account, count in (("acct_big", threads), ("acct_small", FEW)):
        _add_threads(engine, account, count)
    for thread, count in (("acct_big-0", messages), ("acct_small-0", SHORT)):
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO message (id, account_id, thread_id, seq, role, content, cost_nanos, "
                    "created_at) VALUES (:id, 'a', :thread, :seq, 'user', :content, 0, :seq)"
                ),
                [
                    {"id": f"{thread}-{seq}", "thread": thread, "seq": seq, "content": f'"{seq} {"x" * 400}"'}
                    for seq in range(1, count + 1)
                ],
            )
            connection.execute(
                text("UPDATE thread SET last_seq = :count WHERE id = :id"), {"id": thread, "count": count}
            )


def _add_threads(engine: Engine, account: str, count: int) -> None:
    """One in a hundred has ``"app": "rare"`` in its metadata, the others ``"common"``."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO thread (id, account_id, key_id, end_user_id, meta, last_seq, created_at, "
                "last_active_at) VALUES (:id, :account, :key, :user, :meta, 1, :at, :at)"
            ),
            [
                {
                    "id": f"{account}-{number}",
                    "account": account,
                    "key": account.replace("acct", "key"),
                    "user": f"user_{number % 1000}",
                    "meta": f'{{"app": "{"common" if number % 100 else "rare"}", "n": {number}}}',
                    "at": number,
                }
                for number in range(count)
            ],
        )


def reads(store: ThreadStore, messages: int, threads: int) -> dict[str, tuple[Read, Read]]:
    """What is read, in the long one and in the short one."""

    def page(caller: Caller, thread: str, *, ascending: bool, at: int) -> Read:
        return lambda: store.messages(
            caller,
            thread,
            limit=20,
            ascending=ascending,
            after_seq=at if ascending else None,
            before_seq=None if ascending else at,
        )

    def listed(caller: Caller, *, at: int, **where: Any) -> Read:
        asked = {"end_user_id": None, "metadata": {}, "limit": 20, "before": (at, "~"), **where}
        return lambda: store.page(caller, **asked)

    def both(make: Callable[..., Read], big: int, small: int, **where: Any) -> tuple[Read, Read]:
        return make(BIG, at=big, **where), make(SMALL, at=small, **where)

    middle = (messages // 2, SHORT // 2)
    first_page, last_page = (threads, FEW), (30, 30)
    return {
        "messages, ascending, from the middle": (
            page(BIG, "acct_big-0", ascending=True, at=middle[0]),
            page(SMALL, "acct_small-0", ascending=True, at=middle[1]),
        ),
        "messages, descending, from the end": (
            page(BIG, "acct_big-0", ascending=False, at=messages + 1),
            page(SMALL, "acct_small-0", ascending=False, at=SHORT + 1),
        ),
        "threads, first page": both(listed, *first_page),
        "threads, last page": both(listed, *last_page),
        "threads of one end user": both(listed, *first_page, end_user_id="user_0"),
        "threads by metadata that most have": both(listed, *first_page, metadata={"app": "common"}),
        "threads by metadata that 1 % have": both(listed, *first_page, metadata={"app": "rare"}),
        "threads by metadata that none has": both(listed, *first_page, metadata={"app": "none"}),
        "`DELETE /v1/threads/empty`": (lambda: store.delete_empty(BIG), lambda: store.delete_empty(SMALL)),
    }


async def measure(url: str, messages: int, threads: int) -> list[str]:
    db, clock = Database(url), SystemClock()
    lines = []
    for name, (long, short) in reads(ThreadStore(db, clock), messages, threads).items():
        figures = " | ".join([await _timed(short), await _timed(long)])
        lines.append(f"| {name} | {figures} |")
        err.print(lines[-1])
    began = time.perf_counter()
    await Forks(db, clock).fork(BIG, "acct_big-0", at_seq=None)
    lines.append(f"\nForking the long thread took {time.perf_counter() - began:.1f} s.")
    await db.close()
    return lines


async def _timed(read: Read) -> str:
    took_ms = []
    for _ in range(WARM_UP + READS):
        began = time.perf_counter()
        await read()
        took_ms.append((time.perf_counter() - began) * 1000)
    of_twenty = quantiles(took_ms[WARM_UP:], n=20)
    return f"{of_twenty[9]:.1f} | {of_twenty[18]:.1f}"


def run(kind: str, messages: int, threads: int) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    with database(kind) as url:
        migrate(parse_database_url(url))
        engine = sync_engine(parse_database_url(url))
        fill(engine, messages, threads)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE" if kind == "sqlite" else "VACUUM ANALYZE"))
        engine.dispose()
        lines = asyncio.run(measure(url, messages, threads))
    name = "SQLite" if kind == "sqlite" else "PostgreSQL"
    return "\n".join(
        [
            f"{name}: a thread of {messages:,} messages beside one of {SHORT}, an account of {threads:,} "
            f"threads beside one of {FEW}; {READS} reads each of up to 20 rows, in the process. {machine()}.",
            "",
            "| read | short: p50 ms | p95 | long: p50 ms | p95 |",
            "|---|--:|--:|--:|--:|",
            *lines,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.threads_store", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of the long thread (100,000)")
    parser.add_argument("--threads", type=int, default=100_000, help="of the large account (100,000)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    if options.messages < SHORT or options.threads < FEW:
        parser.error(f"--messages must be at least {SHORT} and --threads {FEW}")
    sys.stdout.write(run(options.database, options.messages, options.threads))


if __name__ == "__main__":
    main()
