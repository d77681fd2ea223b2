"""The backlog of entries without a vector: who waits, claims on batches, and what becomes of them.

Invariant: an entry is taken off the backlog in the transaction that settles what its vector cost, or because
it can have none. A claim keeps other processes off a batch while it is being paid for; those of a process
that died lapse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import tuple_
from sqlmodel import Session, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.ids import new_id
from threads.embedding_model import EmbeddingPayer, Vector
from threads.models import EmbeddingBacklog, EmbeddingState, Message, SearchEntry, Thread
from threads.search_index import searchable_texts
from threads.vector_schema import list_other_lengths
from threads.vectors import add_vectors, usable

TEXTS_AT_ONCE = 32
MAX_CHARS = 4_000
"""Of a message, from its beginning: in every script less than the 8,191 tokens that OpenAI's models take."""
CLAIM_MS = 180_000

_PAYER = (
    col(EmbeddingBacklog.account_id),
    col(EmbeddingBacklog.key_id),
    col(EmbeddingBacklog.end_user_id),
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one payer, with the texts to embed; maybe none at all, where none has any text."""

    claim: str
    payer: EmbeddingPayer
    entry_ids: tuple[int, ...]
    texts: tuple[str, ...]

    def halves(self) -> tuple["Batch", "Batch"]:
        middle = len(self.texts) // 2
        first = replace(self, entry_ids=self.entry_ids[:middle], texts=self.texts[:middle])
        return first, replace(self, entry_ids=self.entry_ids[middle:], texts=self.texts[middle:])


async def next_payer(session: AsyncSession, after: tuple[str, ...], now_ms: int) -> EmbeddingPayer | None:
    """The next one, in a fixed order, who has entries that nobody is at. ``after``: the account, key and end
    user whom to begin after; or only the account, or it and the key, to leave all of theirs out."""
    query = select(*_PAYER).where(EmbeddingBacklog.claimed_until <= now_ms)
    if after:
        query = query.where(tuple_(*_PAYER[: len(after)]) > after)
    row = (await session.exec(query.order_by(*_PAYER).limit(1))).first()
    return None if row is None else EmbeddingPayer(*row)


def claim(session: Session, payer: EmbeddingPayer, space: str, now_ms: int, *, count: int) -> Batch | None:
    """Claim a payer's newest entries, ``count`` at most. None if there are none, or vectors of another space
    are being made now. Entries without a text, or of deleted threads, leave the backlog."""
    if not _is_current(session, space):
        return None
    waiting = session.exec(
        select(EmbeddingBacklog)
        .where(
            EmbeddingBacklog.account_id == payer.account_id,
            EmbeddingBacklog.key_id == payer.key_id,
            EmbeddingBacklog.end_user_id == payer.end_user_id,
            EmbeddingBacklog.claimed_until <= now_ms,
        )
        .order_by(col(EmbeddingBacklog.entry_id).desc())
        .limit(count)
        .with_for_update(skip_locked=True)
    ).all()
    if not waiting:
        return None
    texts = _texts(session, [row.entry_id for row in waiting])
    token = new_id("claim")
    for row in waiting:
        if row.entry_id in texts:
            row.claim, row.claimed_until = token, now_ms + CLAIM_MS
            session.add(row)
        else:
            session.delete(row)
    return Batch(token, payer, tuple(texts), tuple(texts.values()))


def store(session: Session, batch: Batch, space: str, vectors: Sequence[Vector]) -> None:
    """Write a claimed batch's vectors and take its entries off the backlog; those that are gone meanwhile are
    left out. If the model's vectors have another length than before, the account's others are made anew."""
    if not _is_current(session, space):
        return
    mine = (
        select(EmbeddingBacklog.entry_id, Thread)
        .join(SearchEntry, col(SearchEntry.id) == col(EmbeddingBacklog.entry_id))
        .join(Thread, col(Thread.id) == col(SearchEntry.thread_id))
        .where(EmbeddingBacklog.claim == batch.claim, col(EmbeddingBacklog.entry_id).in_(batch.entry_ids))
        .with_for_update(of=EmbeddingBacklog)
    )
    of_threads = dict(session.exec(mine).all())
    made = [
        (entry_id, vector)
        for entry_id, vector in zip(batch.entry_ids, vectors, strict=True)
        if entry_id in of_threads and usable(vector)
    ]
    add_vectors(
        session,
        space,
        [(entry_id, of_threads[entry_id]) for entry_id, _ in made],
        [vector for _, vector in made],
    )
    drop(session, batch)
    if made:
        list_other_lengths(session, batch.payer.account_id, space, len(made[0][1]))


def give_back(session: Session, batch: Batch) -> None:
    """Let anybody claim a batch again."""
    session.exec(
        update(EmbeddingBacklog)
        .where(
            col(EmbeddingBacklog.claim) == batch.claim, col(EmbeddingBacklog.entry_id).in_(batch.entry_ids)
        )
        .values(claim=None, claimed_until=0)
    )


def drop(session: Session, batch: Batch) -> None:
    """Take a claimed batch off the backlog."""
    session.exec(
        delete(EmbeddingBacklog).where(
            col(EmbeddingBacklog.claim) == batch.claim, col(EmbeddingBacklog.entry_id).in_(batch.entry_ids)
        )
    )


def _is_current(session: Session, space: str) -> bool:
    state = session.get(EmbeddingState, 1, populate_existing=True)
    return state is not None and state.space == space


def _texts(session: Session, entry_ids: Sequence[int]) -> dict[int, str]:
    query = (
        select(SearchEntry.id, Message.content)
        .join(Message, col(Message.id) == col(SearchEntry.message_id))
        .join(Thread, col(Thread.id) == col(Message.thread_id))
        .where(col(SearchEntry.id).in_(entry_ids), col(Thread.deleted_at).is_(None))
    )
    found = {}
    for entry_id, content in session.exec(query).all():
        text = "\n".join(searchable_texts(content))[:MAX_CHARS].strip()
        if text:
            found[entry_id] = text
    return found
