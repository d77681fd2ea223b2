"""Finding messages: by their words, and by their meaning where an embedding model is configured.

By words, a message is found if it has every word of the query; of the last word the beginning suffices, from
three characters on. The index gives the newest messages that match and that the caller may see; those are
ranked by how often and how densely the words occur in them, and by whether they stand side by side.
The ranking needs no statistics of other messages, so it is the same on both databases, and nobody's scores
tell anything about somebody else's messages.

By meaning, the nearest vectors to the query's are found (``threads/vectors.py``). The two lists become one by
reciprocal rank fusion (Cormack, Clarke, Büttcher: "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods", SIGIR 2009). If the query gets no vector in time,
for want of money or because its provider fails, the answer is found by words alone and says so.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sqlmodel import col, select

from kit.caller import Caller
from kit.db import Database
from kit.errors import HeddleError, InvalidRequest
from kit.request_body import check_storable
from threads.embedding_model import EmbeddingModel, EmbeddingPayer, Vector
from threads.models import Message, SearchEntry
from threads.search_index import searchable_texts
from threads.search_scope import Scope
from threads.search_terms import QueryTerms, query_terms
from threads.search_words import ranked_by_words
from threads.snippet import snippet
from threads.vectors import has_vectors, nearest, usable

logger = logging.getLogger("heddle.threads")

MAX_QUERY_CHARS = 200
QUERY_VECTOR_WITHIN_S = 2.0
RANK_CONSTANT = 60
"""The ``k`` of reciprocal rank fusion, as its authors chose it."""

Mode = Literal["lexical", "hybrid"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found; ``score`` is above 0 and below 1, comparable within one answer."""

    message: Message
    score: float
    snippet: str


@dataclass(frozen=True, slots=True)
class Found:
    """The best first. ``hybrid``: found by words and by meaning."""

    hits: list[Hit]
    mode: Mode


class Search:
    def __init__(self, db: Database, model: EmbeddingModel | None = None) -> None:
        """``model``: the one that the vectors are made with; without it there is no search by meaning."""
        self._db = db
        self._model = model

    async def find(
        self, caller: Caller, query: str, *, end_user_id: str | None, thread_id: str | None, limit: int
    ) -> Found:
        """Raises InvalidRequest; NotFound if the thread is not the caller's; PermissionDenied if its key is
        bound to another end user."""
        asked = _checked(query)
        check_storable({"end_user_id": end_user_id})
        scope = await Scope.of(self._db, caller, end_user_id, thread_id)
        if not asked:
            return Found([], "lexical")
        embedding = asyncio.create_task(self._vector_of(caller, query, scope))
        try:
            async with self._db.session() as session:
                by_words = await ranked_by_words(session, asked, scope)
            vector = await embedding
        finally:
            await _ended(embedding)
        if self._model is None or vector is None:
            return Found(await self._hits(dict(by_words), asked, limit), "lexical")
        async with self._db.session() as session:
            by_meaning = await nearest(session, scope, self._model.space, vector)
        fused = fuse([entry_id for entry_id, _ in by_words], by_meaning)
        return Found(await self._hits(fused, asked, limit), "hybrid")

    async def _hits(self, scores: Mapping[int, float], asked: QueryTerms, limit: int) -> list[Hit]:
        best = sorted(scores, key=lambda entry_id: (scores[entry_id], entry_id), reverse=True)[:limit]
        query = (
            select(SearchEntry.id, Message)
            .join(Message, col(Message.id) == col(SearchEntry.message_id))
            .where(col(SearchEntry.id).in_(best))
        )
        async with self._db.session() as session:
            messages: dict[int, Message] = dict((await session.exec(query)).all())
        return [
            Hit(message, scores[entry_id], snippet(searchable_texts(message.content), asked))
            for entry_id in best
            if (message := messages.get(entry_id)) is not None
        ]

    async def _vector_of(self, caller: Caller, query: str, scope: Scope) -> Vector | None:
        """The query's, in time; None if it cannot be had, or there is nothing to compare it with."""
        if self._model is None:
            return None
        payer = EmbeddingPayer(caller.account_id, caller.key_id, caller.end_user_id or "")
        try:
            async with self._db.session() as session:
                if not await has_vectors(session, scope, self._model.space):
                    return None
            async with asyncio.timeout(QUERY_VECTOR_WITHIN_S):
                (vector,) = await self._model.embed(payer, "search_query", [query])
        except (HeddleError, TimeoutError) as error:
            logger.info("a search went on without its meaning: %s", getattr(error, "code", "too slow"))
            return None
        except Exception:
            logger.exception("a query could not be embedded")
            return None
        return vector if usable(vector) else None


def fuse(*lists: Sequence[int]) -> dict[int, float]:
    """Reciprocal rank fusion: each list gives what is in it 1 / (60 + its place, from 1 on)."""
    scores: dict[int, float] = {}
    for ranked in lists:
        for place, entry_id in enumerate(ranked, 1):
            scores[entry_id] = scores.get(entry_id, 0.0) + 1 / (RANK_CONSTANT + place)
    return {entry_id: round(score, 6) for entry_id, score in scores.items()}


async def _ended(task: asyncio.Task[Vector | None]) -> None:
    """Leave no embedding behind when the search has failed, or its caller has gone."""
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _checked(query: str) -> QueryTerms:
    if not query.strip():
        raise InvalidRequest("q: expected the words to look for", param="q")
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidRequest(f"q: expected at most {MAX_QUERY_CHARS} characters, got {len(query)}", param="q")
    check_storable({"q": query})
    return query_terms(query)
