"""Reading what of a thread may be sent to a model: its newest messages, its summary."""

from collections.abc import Callable

from sqlmodel import Session, col, func, select

from kit.db import Database
from kit.ids import new_id
from threads.models import Compaction, Message, ToolCallRow, Turn

PAGE = 256


async def newest_messages(
    db: Database, thread_id: str, *, after: int, through: int, enough: Callable[[list[Message]], bool]
) -> list[Message]:
    """Messages with ``after < seq <= through`` in order, read from the newest back until there are enough:
    of a thread that is far longer than any window, the rest is not even looked at."""
    found: list[Message] = []
    async with db.session() as session:
        while through > after:
            query = (
                select(Message)
                .where(Message.thread_id == thread_id, Message.seq > after, Message.seq <= through)
                .order_by(col(Message.seq).desc())
                .limit(PAGE)
            )
            page = list((await session.exec(query)).all())
            found += page
            if len(page) < PAGE or enough(page):
                break
            through = page[-1].seq - 1
    found.reverse()
    return found


async def earlier_tool_ids(db: Database, thread_id: str) -> set[str]:
    """The ids of all calls that turns of the thread have made."""
    query = select(ToolCallRow.tool_use_id).join(Turn).where(Turn.thread_id == thread_id)
    async with db.session() as session:
        return set((await session.exec(query)).all())


async def newest_compaction(db: Database, thread_id: str) -> Compaction | None:
    """The summary that covers most of the thread."""
    query = select(Compaction).where(Compaction.thread_id == thread_id)
    query = query.order_by(col(Compaction.through_seq).desc()).limit(1)
    async with db.session() as session:
        return (await session.exec(query)).first()


async def compactions_of(db: Database, turn: Turn) -> int:
    """How many summaries a turn has made."""
    query = select(func.count()).where(Compaction.thread_id == turn.thread_id, Compaction.turn_id == turn.id)
    async with db.session() as session:
        return (await session.exec(query)).one()


def copy_compaction(session: Session, source_id: str, target_id: str, at_seq: int) -> None:
    """A fork of a thread at ``at_seq`` takes the summary along that it has of nothing later. It cost the fork
    nothing."""
    query = select(Compaction).where(Compaction.thread_id == source_id, Compaction.through_seq <= at_seq)
    found = session.exec(query.order_by(col(Compaction.through_seq).desc()).limit(1)).first()
    if found is not None:
        session.add(
            Compaction(
                id=new_id("cmp"),
                account_id=found.account_id,
                thread_id=target_id,
                through_seq=found.through_seq,
                summary=found.summary,
                model=found.model,
                created_at=found.created_at,
            )
        )
