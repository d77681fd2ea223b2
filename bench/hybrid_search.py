"""How fast search by words and meaning is: ``python -m bench.hybrid_search``.

Fills a database with messages and vectors of its own, then searches it within this process, one query at a
time: by words alone, and by both. A query's vector is there at once: what its provider takes comes on top.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import Any

from rich.console import Console
from sqlalchemy import text
from sqlmodel import Session

from bench.databases import database
from bench.search_messages import PEOPLE, PER_THREAD, SEED, Library, fill
from bench.under_test import machine
from gateway.migrations import migrate
from kit.caller import Caller
from kit.db import Database, parse_database_url, sync_engine
from threads.embedding_model import EmbeddingPayer, Purpose, Vector, VectorRecorder
from threads.models import Thread
from threads.search import Search
from threads.search_scope import Scope
from threads.vector_schema import switch_on
from threads.vectors import MOST_COMPARED, add_vectors, nearest

err = Console(stderr=True, highlight=False)
QUERIES, WARM_UP = 40, 5
ROWS_AT_ONCE = 2_000
BASES = 1_000
CALLER = Caller("acct_bench", "key", "standard")
Where = Mapping[str, str | None]


class Vectors:
    """Dense vectors; each leans on two of a thousand directions, so that some are near each other."""

    space = "bench/vectors"

    def __init__(self, dimensions: int) -> None:
        self._rng = random.Random(SEED)
        self._bases = [[self._rng.gauss(0, 1) for _ in range(dimensions)] for _ in range(BASES)]
        self._noise = [[self._rng.gauss(0, 0.7) for _ in range(dimensions)] for _ in range(BASES)]

    def make(self) -> list[float]:
        one, other = self._rng.choice(self._bases), self._rng.choice(self._bases)
        noise = self._rng.choice(self._noise)
        return [a + 0.6 * b + c for a, b, c in zip(one, other, noise, strict=True)]

    async def embed(
        self,
        payer: EmbeddingPayer,  # noqa: ARG002 - nobody pays for a benchmark
        purpose: Purpose,  # noqa: ARG002
        texts: Sequence[str],
        record: VectorRecorder | None = None,  # noqa: ARG002
    ) -> Sequence[Vector]:
        return [self.make() for _ in texts]


@dataclass(frozen=True)
class Filled:
    db: Database
    vectors: Vectors
    messages: int


def _add(session: Session, vectors: Vectors, start: int, end: int) -> None:
    threads = {
        number: Thread(
            id=f"00000000-0000-7000-8000-{number:012d}",
            account_id=CALLER.account_id,
            key_id="key",
            end_user_id=f"user_{number % PEOPLE}",
            created_at=0,
            last_active_at=0,
        )
        for number in range(start // PER_THREAD, end // PER_THREAD + 1)
    }
    of_threads = [(number + 1, threads[number // PER_THREAD]) for number in range(start, end)]
    add_vectors(session, vectors.space, of_threads, [vectors.make() for _ in of_threads])


async def fill_vectors(db: Database, vectors: Vectors, messages: int) -> None:
    await switch_on(db, vectors.space)
    for start in range(0, messages, ROWS_AT_ONCE):
        end = min(messages, start + ROWS_AT_ONCE)
        await db.write(partial(_add, vectors=vectors, start=start, end=end))
    await db.write(lambda session: session.connection().execute(text("DELETE FROM embedding_backlog")))


async def measure(filled: Filled) -> list[str]:
    library, rng = Library.make(), random.Random(SEED + 1)
    thread = filled.messages // PER_THREAD // 2
    kinds: dict[str, Where] = {
        "all of the account": {},
        "of one end user": {"end_user_id": f"user_{thread % PEOPLE}"},
        "in one thread": {"thread_id": f"00000000-0000-7000-8000-{thread:012d}"},
    }
    lines = []
    for name, where in kinds.items():
        for mode, model in {"words": None, "words and meaning": filled.vectors}.items():
            search = Search(filled.db, model)
            took_ms, cpu_ms = [], []
            for number in range(WARM_UP + QUERIES):
                query = f"{library.words[rng.randrange(300, 5_000)]} {library.words[rng.randrange(20, 300)]} "
                began, cpu = time.perf_counter(), time.process_time()
                asked: dict[str, Any] = {"end_user_id": None, "thread_id": None, "limit": 20, **where}
                found = await search.find(CALLER, query, **asked)
                assert (found.mode == "hybrid") == (model is not None)
                if number >= WARM_UP:
                    took_ms.append((time.perf_counter() - began) * 1000)
                    cpu_ms.append((time.process_time() - cpu) * 1000)
            of_twenty = quantiles(took_ms, n=20)
            lines.append(
                f"| {name} | {mode} | {of_twenty[9]:.1f} | {of_twenty[18]:.1f} | {max(took_ms):.0f} "
                f"| {sum(cpu_ms) / len(cpu_ms):.1f} |"
            )
            err.print(lines[-1])
    return lines


async def recall(filled: Filled) -> float:
    """How many of the twenty nearest are among the twenty that are found, on SQLite."""
    scope = await Scope.of(filled.db, CALLER, None, None)
    shared = 0
    for _ in range(20):
        vector = filled.vectors.make()
        async with filled.db.session() as session:
            found = await nearest(session, scope, filled.vectors.space, vector)
            literal = "[" + ",".join(map(repr, vector)) + "]"
            exact = await (await session.connection()).execute(
                text(
                    "SELECT entry_id FROM message_vector "
                    "ORDER BY vec_distance_cosine(embedding, vec_f32(:vector)) LIMIT 20"
                ),
                {"vector": literal},
            )
        shared += len({row.entry_id for row in exact.all()} & set(found[:20]))
    return shared / 400


async def run(kind: str, messages: int, dimensions: int) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    with database(kind) as url:
        migrate(parse_database_url(url))
        engine = sync_engine(parse_database_url(url))
        began = time.perf_counter()
        fill(engine, Library.make(), CALLER.account_id, messages, different=5_000)
        db = Database(url, vector_functions=True)
        filled = Filled(db, Vectors(dimensions), messages)
        await fill_vectors(db, filled.vectors, messages)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE" if kind == "sqlite" else "VACUUM ANALYZE"))
        engine.dispose()
        took_s = time.perf_counter() - began
        lines = await measure(filled)
        if kind == "sqlite" and messages <= MOST_COMPARED:
            lines += ["", f"Of the 20 nearest {await recall(filled):.0%} were found (a whole account's)."]
        await db.close()
    name = "SQLite" if kind == "sqlite" else "PostgreSQL"
    return "\n".join(
        [
            f"{name}, {messages:,} messages of one account with vectors of {dimensions} numbers (made in "
            f"{took_s:.0f} s), {QUERIES} queries of each kind. {machine()}.",
            "",
            "| searched | by | p50 ms | p95 ms | longest | CPU ms of this process |",
            "|---|---|--:|--:|--:|--:|",
            *lines,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hybrid_search", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="how many messages (100,000)")
    parser.add_argument("--dimensions", type=int, default=256, help="numbers in a vector (256)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    if options.messages < 10 * PER_THREAD:
        parser.error(f"--messages must be at least {10 * PER_THREAD:,}")
    sys.stdout.write(asyncio.run(run(options.database, options.messages, options.dimensions)))


if __name__ == "__main__":
    main()
