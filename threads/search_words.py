"""Finding messages by their words: the candidates that the index gives, and their ranking."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlmodel.ext.asyncio.session import AsyncSession

from threads.search_scope import Scope
from threads.search_terms import STRETCH, QueryTerms, stretch_terms

CANDIDATES = 200
STRETCHES = (1, 8, 64, 512)
"""How many of the newest stretches of entries PostgreSQL looks through, until there are enough candidates;
after the last of them it looks through all."""
MOST_ROWS = 20_000
"""At most so many matches are read to find the newest, in the case that they are all old."""

_SATURATION, _USUAL_TERMS = 1.2, 120


async def ranked_by_words(session: AsyncSession, asked: QueryTerms, scope: Scope) -> list[tuple[int, float]]:
    """The ids of the entries that match with their scores, the best first and of equals the newest."""
    on_sqlite = (await session.connection()).dialect.name == "sqlite"
    rows = await (_on_sqlite if on_sqlite else _on_postgresql)(session, asked, scope)
    words = asked.counted
    scored = sorted(((_score(row.terms, words), int(row.id)) for row in rows), reverse=True)
    return [(entry_id, score) for score, entry_id in scored]


async def _on_sqlite(session: AsyncSession, asked: QueryTerms, scope: Scope) -> Sequence[Row[Any]]:
    """FTS5 walks its lists from the newest entry to the oldest, and stops when there are enough."""
    words = [f'"{term}"' for term in (scope.term, *asked.exact)]
    words += [f'"{asked.prefix}"*'] if asked.prefix else []
    statement = text(
        "SELECT e.id, e.terms FROM search_index "  # noqa: S608 - the condition is ours
        "CROSS JOIN search_entry e ON e.id = search_index.rowid CROSS JOIN thread h ON h.id = e.thread_id "
        f"WHERE search_index MATCH :words AND {scope.condition} "
        f"ORDER BY search_index.rowid DESC LIMIT {CANDIDATES}"
    )
    values = {"words": " AND ".join(words), **scope.values}
    return (await (await session.connection()).execute(statement, values)).all()


async def _on_postgresql(session: AsyncSession, asked: QueryTerms, scope: Scope) -> Sequence[Row[Any]]:
    """An inverted index gives all matches at once, in no order. So the newest stretches of entries are asked
    first: what matches often is found there, and what does not has few matches to sort."""
    words = [f"'{term}'" for term in (scope.term, *asked.exact)]
    words += [f"'{asked.prefix}':*"] if asked.prefix else []
    statement = text(
        "WITH e AS MATERIALIZED (SELECT id, thread_id FROM search_entry "  # noqa: S608
        f"WHERE search_lexemes(terms, id) @@ CAST(:words AS tsquery) LIMIT {MOST_ROWS}), "
        "newest AS MATERIALIZED (SELECT e.id FROM e JOIN thread h ON h.id = e.thread_id "
        f"WHERE {scope.condition} ORDER BY e.id DESC LIMIT {CANDIDATES}) "
        "SELECT id, terms FROM newest JOIN search_entry USING (id)"
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
