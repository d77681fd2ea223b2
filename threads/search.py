"""Finding messages by their words.

A message is found if it has every word of the query; of the last word the beginning suffices, from three
characters on. The index gives the newest ``CANDIDATES`` messages that match and that the caller may see;
those are ranked by how often and how densely the words occur in them, and by whether they stand side by side.
The ranking needs no statistics of other messages, so it is the same on both databases, and nobody's scores
tell anything about somebody else's messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.caller import Caller
from kit.db import Database
from kit.errors import InvalidRequest
from kit.request_body import check_storable
from threads.models import Message, Thread
from threads.search_index import searchable_texts
from threads.search_terms import (
    STRETCH,
    QueryTerms,
    account_term,
    end_user_term,
    query_terms,
    stretch_terms,
    thread_term,
)
from threads.snippet import snippet
from threads.store import visible

MAX_QUERY_CHARS = 200
CANDIDATES = 200
STRETCHES = (1, 8, 64, 512)
"""How many of the newest stretches of entries PostgreSQL looks through, until there are enough candidates;
after the last of them it looks through all."""
MOST_ROWS = 20_000
"""At most so many matches are read to find the newest, in the case that they are all old."""

_SATURATION, _USUAL_TERMS = 1.2, 120


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found; ``score`` is above 0 and below 1, comparable within one answer."""

    message: Message
    score: float
    snippet: str


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose messages: ``term`` narrows the search, the rest is checked on every row."""

    term: str
    account_id: str
    end_user_id: str | None
    thread_id: str | None

    @property
    def condition(self) -> str:
        parts = ["h.account_id = :account_id", "h.deleted_at IS NULL"]
        parts += ["h.end_user_id = :end_user_id"] if self.end_user_id is not None else []
        parts += ["e.thread_id = :thread_id"] if self.thread_id is not None else []
        return " AND ".join(parts)

    @property
    def values(self) -> dict[str, Any]:
        named = {
            "account_id": self.account_id,
            "end_user_id": self.end_user_id,
            "thread_id": self.thread_id,
        }
        return {name: value for name, value in named.items() if value is not None}


class Search:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(
        self, caller: Caller, query: str, *, end_user_id: str | None, thread_id: str | None, limit: int
    ) -> list[Hit]:
        """The best first. Raises InvalidRequest; NotFound if the thread is not the caller's; PermissionDenied
        if its key is bound to another end user."""
        asked = _checked(query)
        check_storable({"end_user_id": end_user_id})
        scope = await self._scope(caller, end_user_id, thread_id)
        if not asked:
            return []
        async with self._db.session() as session:
            on_sqlite = self._db.dialect == "sqlite"
            rows = await (_on_sqlite if on_sqlite else _on_postgresql)(session, asked, scope)
            words = asked.counted
            scored = ((_score(row.terms, words), row.id, row.message_id) for row in rows)
            best = sorted(scored, reverse=True)[:limit]
            wanted = [message_id for _, _, message_id in best]
            found = (await session.exec(select(Message).where(col(Message.id).in_(wanted)))).all()
        messages = {message.id: message for message in found}
        return [
            Hit(messages[message_id], score, snippet(searchable_texts(messages[message_id].content), asked))
            for score, _, message_id in best
            if message_id in messages
        ]

    async def _scope(self, caller: Caller, end_user_id: str | None, thread_id: str | None) -> _Scope:
        owner = caller.acting_for(end_user_id)
        if thread_id is not None:
            async with self._db.session() as session:
                visible(await session.get(Thread, thread_id), caller, thread_id)
            term = thread_term(thread_id)
        elif owner is not None:
            term = end_user_term(caller.account_id, owner)
        else:
            term = account_term(caller.account_id)
        return _Scope(term, caller.account_id, owner, thread_id)


def _checked(query: str) -> QueryTerms:
    if not query.strip():
        raise InvalidRequest("q: expected the words to look for", param="q")
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidRequest(f"q: expected at most {MAX_QUERY_CHARS} characters, got {len(query)}", param="q")
    check_storable({"q": query})
    return query_terms(query)


async def _on_sqlite(session: AsyncSession, asked: QueryTerms, scope: _Scope) -> Sequence[Row[Any]]:
    """FTS5 walks its lists from the newest entry to the oldest, and stops when there are enough."""
    words = [f'"{term}"' for term in (scope.term, *asked.exact)]
    words += [f'"{asked.prefix}"*'] if asked.prefix else []
    statement = text(
        "SELECT e.id, e.message_id, e.terms FROM search_index "  # noqa: S608 - the condition is ours
        "CROSS JOIN search_entry e ON e.id = search_index.rowid CROSS JOIN thread h ON h.id = e.thread_id "
        f"WHERE search_index MATCH :words AND {scope.condition} "
        f"ORDER BY search_index.rowid DESC LIMIT {CANDIDATES}"
    )
    values = {"words": " AND ".join(words), **scope.values}
    return (await (await session.connection()).execute(statement, values)).all()


async def _on_postgresql(session: AsyncSession, asked: QueryTerms, scope: _Scope) -> Sequence[Row[Any]]:
    """An inverted index gives all matches at once, in no order. So the newest stretches of entries are asked
    first: what matches often is found there, and what does not has few matches to sort."""
    words = [f"'{term}'" for term in (scope.term, *asked.exact)]
    words += [f"'{asked.prefix}':*"] if asked.prefix else []
    statement = text(
        "WITH e AS MATERIALIZED (SELECT id, thread_id FROM search_entry "  # noqa: S608
        f"WHERE search_lexemes(terms, id) @@ CAST(:words AS tsquery) LIMIT {MOST_ROWS}), "
        "newest AS MATERIALIZED (SELECT e.id FROM e JOIN thread h ON h.id = e.thread_id "
        f"WHERE {scope.condition} ORDER BY e.id DESC LIMIT {CANDIDATES}) "
        "SELECT id, message_id, terms FROM newest JOIN search_entry USING (id)"
    )
    connection = await session.connection()
    await connection.execute(text("SET LOCAL enable_seqscan = off"))
    newest = (await connection.execute(text("SELECT max(id) FROM search_entry"))).scalar_one() or 0
    rows: Sequence[Row[Any]] = ()
    for count in (*STRETCHES, None):
        stretches = stretch_terms(newest, count) if count is not None else []
        near = ["(" + " | ".join(f"'{term}'" for term in stretches) + ")"] if stretches else []
        values = {"words": " & ".join([*near, *words]), **scope.values}
        rows = (await connection.execute(statement, values)).all()
        if len(rows) >= CANDIDATES or (count is not None and count * STRETCH > newest):
            break
    return rows


def _score(terms: str, words: Sequence[str]) -> float:
    """Occurrences of each word, weighed down in long messages and with every further one (as BM25 does), on
    average; halfway to 1 when the words stand side by side in the query's order."""
    padded = f" {terms} "
    norm = _SATURATION * (0.25 + 0.75 * terms.count(" ") / _USUAL_TERMS)
    score = 0.0
    for word in words:
        count = padded.count(word)
        score += count / (count + norm)
    score /= len(words)
    if len(words) > 1 and f" {' '.join(word.strip() for word in words)}" in padded:
        score += (1 - score) / 2
    return round(score, 6)
