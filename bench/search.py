"""How fast search is among very many messages: ``python -m bench.search``.

Fills a database of its own, then asks ``GET /v1/search`` of a real ``heddle serve``, one query at a time, and
runs the statements of the same queries by themselves beside it (the floor). Nothing stays behind.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from sqlalchemy import Engine, event, text

from bench.databases import database
from bench.processes import Cores, running
from bench.search_messages import PEOPLE, PER_THREAD, SEED, Library, fill
from bench.under_test import heddle_environ, machine
from gateway.migrations import migrate
from kit.caller import Caller
from kit.db import Database, parse_database_url, sync_engine
from threads.search import Search

err = Console(stderr=True, highlight=False)
ADMIN_KEY = "ak_live_" + "be" * 32
QUERIES = 60
WARM_UP = 5
FREQUENT, MIDDLING, RARE = (20, 300), (300, 5_000), (5_000, 50_000)
"""Words by rank."""


@dataclass(frozen=True)
class Kind:
    """Queries of one kind: how one is made, and where it is asked."""

    name: str
    query: Callable[[random.Random, Library], str]
    where: Callable[[random.Random], Mapping[str, str]] = lambda _rng: {}


def _word(rng: random.Random, library: Library, ranks: tuple[int, int]) -> str:
    return library.words[rng.randrange(*ranks)]


def _words(*ranks: tuple[int, int]) -> Callable[[random.Random, Library], str]:
    """Whole words: the last one is followed by one that is in most messages, which may be begun only."""
    return lambda rng, library: " ".join(_word(rng, library, one) for one in ranks)


def kinds(threads: int) -> list[Kind]:
    middling = _words(MIDDLING, FREQUENT)

    def somebody(rng: random.Random) -> Mapping[str, str]:
        return {"end_user_id": f"user_{rng.randrange(PEOPLE)}"}

    def thread(rng: random.Random) -> Mapping[str, str]:
        return {"thread_id": f"00000000-0000-7000-8000-{rng.randrange(threads):012d}"}

    return [
        Kind("one frequent word", _words(FREQUENT)),
        Kind("one middling word", _words(MIDDLING)),
        Kind("one rare word", _words(RARE)),
        Kind("a rare and a frequent word", _words(RARE, FREQUENT)),
        Kind("two middling words", _words(MIDDLING, MIDDLING)),
        Kind("three words", _words(FREQUENT, MIDDLING, FREQUENT)),
        Kind("the first three letters of a word", lambda rng, library: _word(rng, library, MIDDLING)[:3]),
        Kind("the first five letters of a word", lambda rng, library: _word(rng, library, RARE)[:5]),
        Kind("two words, of one end user", middling, somebody),
        Kind("two words, in one thread", middling, thread),
    ]


async def measure(url: str, account_id: str, messages: int, cores: Cores) -> list[str]:
    """Rows of the table, one per kind of query, and one for all."""
    library, rng = Library.make(), random.Random(SEED + 1)
    db, engine = Database(url), sync_engine(parse_database_url(url), writing=False)
    all_ms: list[float] = []
    all_floor_ms: list[float] = []
    all_cpu_s = 0.0
    lines = []
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        environ = heddle_environ(folder, "http://127.0.0.1:9", ADMIN_KEY)
        environ["HEDDLE_DATABASE_URL"] = url
        async with running("gateway.cli", "serve", cores=cores.server, environ=environ) as heddle:
            headers = {"x-api-key": ADMIN_KEY}
            async with httpx.AsyncClient(base_url=heddle.url, headers=headers, timeout=600) as client:
                for kind in kinds(messages // PER_THREAD):
                    took_ms, floor_ms, found, cpu_s = [], [], 0, 0.0
                    for number in range(WARM_UP + QUERIES):
                        query, where = kind.query(rng, library), dict(kind.where(rng))
                        cpu_before = _cpu_s(heddle.pid)
                        took, hits = await _asked(client, query, where)
                        if number >= WARM_UP:
                            cpu_s += _cpu_s(heddle.pid) - cpu_before
                        floor = await _floor(db, engine, account_id, query, where)
                        if number >= WARM_UP:
                            took_ms.append(took)
                            floor_ms.append(floor)
                            found += hits
                    all_ms += took_ms
                    all_floor_ms += floor_ms
                    all_cpu_s += cpu_s
                    lines.append(_row(kind.name, f"{found / QUERIES:.0f}", took_ms, cpu_s, floor_ms))
                    err.print(lines[-1])
    await db.close()
    engine.dispose()
    return [*lines, _row("**all**", "", all_ms, all_cpu_s, all_floor_ms)]


async def _asked(client: httpx.AsyncClient, query: str, where: dict[str, str]) -> tuple[float, int]:
    """How long an answer took, in ms, and how many hits were in it."""
    params = {"q": query, "limit": "20", **where}
    thread_id = params.pop("thread_id", None)
    path = f"/v1/threads/{thread_id}/search" if thread_id else "/v1/search"
    began = time.perf_counter()
    answer = (await client.get(path, params=params)).raise_for_status()
    return (time.perf_counter() - began) * 1000, len(answer.json()["data"])


async def _floor(db: Database, engine: Engine, account_id: str, query: str, where: dict[str, str]) -> float:
    """How long the statements of a search take by themselves, in ms: those that give the candidates."""
    seen: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "search_entry" in statement and "message.content" not in statement:
            seen.append((statement, parameters))

    listened = db._read_engine.sync_engine
    event.listen(listened, "before_cursor_execute", note)
    caller = Caller(account_id, "key", "admin")
    asked: dict[str, Any] = {"end_user_id": None, "thread_id": None, "limit": 20, **where}
    await Search(db).find(caller, query, **asked)
    event.remove(listened, "before_cursor_execute", note)
    with engine.connect() as connection:
        if db.dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        began = time.perf_counter()
        for statement, parameters in seen:
            connection.exec_driver_sql(statement, parameters).all()
        return (time.perf_counter() - began) * 1000


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _row(name: str, hits: str, took_ms: list[float], cpu_s: float, floor_ms: list[float]) -> str:
    of_twenty, floor = quantiles(took_ms, n=20), quantiles(floor_ms, n=20)
    return (
        f"| {name} | {hits} | {of_twenty[9]:.1f} | {of_twenty[18]:.1f} | {max(took_ms):.0f} "
        f"| {cpu_s * 1000 / len(took_ms):.1f} | {floor[9]:.1f} | {floor[18]:.1f} |"
    )


def run(kind: str, messages: int) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    with database(kind) as url:
        parsed = parse_database_url(url)
        migrate(parsed)
        engine = sync_engine(parsed)
        began = time.perf_counter()
        account_id = asyncio.run(_first_account(url))
        fill(engine, Library.make(), account_id, messages)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE" if kind == "sqlite" else "VACUUM ANALYZE"))
        engine.dispose()
        took_s = time.perf_counter() - began
        lines = asyncio.run(measure(url, account_id, messages, Cores.choose()))
    name = "SQLite" if kind == "sqlite" else "PostgreSQL"
    return "\n".join(
        [
            f"{name}, {messages:,} messages of one account (made in {took_s:.0f} s). {QUERIES} different "
            f"queries each, one at a time; the server on a core of its own. {machine()}.",
            "",
            "| `GET /v1/search` | found | p50 ms | p95 ms | longest | CPU ms | SQL alone: p50 | p95 |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
            *lines,
            "",
        ]
    )


async def _first_account(url: str) -> str:
    """The account that ``heddle serve`` makes at its first start, made by starting it."""
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        environ = heddle_environ(folder, "http://127.0.0.1:9", ADMIN_KEY)
        environ["HEDDLE_DATABASE_URL"] = url
        async with running("gateway.cli", "serve", cores=Cores.choose().server, environ=environ):
            pass
    engine = sync_engine(parse_database_url(url), writing=False)
    with engine.connect() as connection:
        account_id = connection.execute(text("SELECT id FROM account")).scalars().first()
    engine.dispose()
    return str(account_id)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="how many messages (1,000,000)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    if options.messages < 10 * PER_THREAD:
        parser.error(f"--messages must be at least {10 * PER_THREAD:,}")
    sys.stdout.write(run(options.database, options.messages))


if __name__ == "__main__":
    main()
