"""A database with very many messages to search, made in bulk: words by Zipf's law, lengths as in chats."""

import math
import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec
from rich.console import Console
from sqlalchemy import Connection, Engine, text

from threads.search_terms import account_term, end_user_term, index_terms, thread_term

err = Console(stderr=True, highlight=False)
SEED = 20_260_101
VOCABULARY = 50_000
TEXTS = 100_000
"""So many different texts are made; each is stored several times, in different threads."""
PER_THREAD = 100
PEOPLE = 1_000
NOW_MS = 4_107_542_400_000
ROWS_AT_ONCE = 5_000
_SYLLABLES = [
    a + b for a in "bdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "or", "us")
]


@dataclass(frozen=True)
class Library:
    """The words by falling frequency."""

    words: list[str]
    weights: list[float]

    @classmethod
    def make(cls) -> "Library":
        rng = random.Random(SEED)
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            length = 1 + min(4, int(math.log2(len(words) + 2) / 4) + rng.randrange(2))
            words["".join(rng.choices(_SYLLABLES, k=length))] = None
        weights = accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY))
        return cls(list(words), list(weights))

    def text(self, rng: random.Random, *, answer: bool) -> str:
        """About 20 words asked and 110 answered, in the middle; a few are very much longer."""
        count = min(3_000, max(1, round(rng.lognormvariate(math.log(110 if answer else 20), 0.9))))
        return " ".join(rng.choices(self.words, cum_weights=self.weights, k=count))


def fill(engine: Engine, library: Library, account_id: str, messages: int, *, different: int = TEXTS) -> None:
    """``messages`` messages of one account, a hundred in a thread, with their search entries."""
    rng = random.Random(SEED)
    texts = [library.text(rng, answer=number % 2 == 1) for number in range(min(different, messages))]
    err.print(f"{len(texts):,} texts, {sum(map(len, texts)) / len(texts):,.0f} characters on average")
    terms = [index_terms(one) for one in texts]
    threads = [
        (f"00000000-0000-7000-8000-{number:012d}", f"user_{number % PEOPLE}")
        for number in range(messages // PER_THREAD)
    ]
    with engine.begin() as connection:
        _add_threads(connection, account_id, threads)
        index = _without_index(connection)
    account = account_term(account_id)
    scopes = [f"{account} {thread_term(one)} {end_user_term(account_id, user)}" for one, user in threads]
    for start in range(0, messages, ROWS_AT_ONCE):
        rows: list[dict[str, Any]] = []
        for number in range(start, min(start + ROWS_AT_ONCE, messages)):
            thread, kind = number // PER_THREAD, number * 7919 % len(texts)
            rows.append(
                {
                    "id": f"msg_{number}",
                    "account": account_id,
                    "thread": threads[thread][0],
                    "seq": number % PER_THREAD + 1,
                    "role": "assistant" if kind % 2 else "user",
                    "content": msgspec.json.encode(texts[kind]).decode(),
                    "at": NOW_MS + number,
                    "terms": f"{scopes[thread]} {terms[kind]}",
                }
            )
        with engine.begin() as connection:
            _add_messages(connection, rows)
        if start % 100_000 == 0:
            err.print(f"{start:,} messages")
    if index is not None:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
            connection.execute(text(index))


def _without_index(connection: Connection) -> str | None:
    """Drop PostgreSQL's inverted index, which is made much faster over the whole; returns its definition."""
    if connection.dialect.name != "postgresql":
        return None
    name = "search_entry_lexemes"
    definition = connection.execute(
        text("SELECT indexdef FROM pg_indexes WHERE indexname = :name"), {"name": name}
    ).scalar_one()
    connection.execute(text(f"DROP INDEX {name}"))
    return str(definition)


def _add_threads(connection: Connection, account_id: str, threads: list[tuple[str, str]]) -> None:
    connection.execute(
        text(
            "INSERT INTO thread (id, account_id, key_id, end_user_id, meta, last_seq, created_at, "
            "last_active_at) VALUES (:id, :account, 'key', :user, '{}', :last, :at, :at)"
        ),
        [
            {"id": one, "account": account_id, "user": user, "last": PER_THREAD, "at": NOW_MS}
            for one, user in threads
        ],
    )


def _add_messages(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(
        text(
            "INSERT INTO message (id, account_id, thread_id, seq, role, content, cost_nanos, created_at) "
            "VALUES (:id, :account, :thread, :seq, :role, :content, 0, :at)"
        ),
        rows,
    )
    connection.execute(
        text("INSERT INTO search_entry (message_id, thread_id, terms) VALUES (:id, :thread, :terms)"), rows
    )
