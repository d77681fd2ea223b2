"""Deleted threads: gone from every read at once, and from the database within a day."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from kit.db import Database
from kit.errors import NotFound
from kit.ids import new_id
from tests.threads.library import OWNER, Library
from threads.models import PendingAction, ToolCallRow, ToolOutput, Turn, TurnEventChunk

CANARY = "canary7f3a"


async def everything_in(db: Database) -> str:
    """All rows of all tables, the parts of the full-text index included."""
    async with db.session() as session:
        connection = await session.connection()
        names = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'search_index'"
            if db.dialect == "sqlite"
            else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        rows = []
        for (name,) in (await connection.execute(text(names))).all():
            for row in (await connection.execute(text(f'SELECT * FROM "{name}"'))).all():
                rows.append(" ".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in row))
    return "\n".join(rows)


async def with_a_turn(library: Library, *, status: str = "completed") -> str:
    """A thread that has the canary in everything that a turn leaves behind; its id."""
    thread = await library.thread(CANARY, f"{CANARY} two", title=CANARY, metadata={"k": CANARY})
    turn = Turn(
        id=new_id("turn"),
        account_id=OWNER.account_id,
        thread_id=thread.id,
        key_id=OWNER.key_id,
        status=status,
        params={"system": CANARY},
        error={"message": CANARY},
        user_seq=1,
        last_seq=2,
        created_at=0,
        updated_at=0,
    )
    shared: dict[str, Any] = {"account_id": OWNER.account_id, "turn_id": turn.id, "created_at": 0}
    call = ToolCallRow(
        id=new_id("call"), iteration=1, position=0, tool_use_id="t", name="n", input={"a": CANARY},
        output={"b": CANARY}, **shared,
    )  # fmt: skip
    action = PendingAction(
        id=new_id("act"), kind="connect", subject="x", payload={"u": CANARY}, expires_at=0, **shared
    )
    outputs = [ToolOutput(call_id=call.id, body=CANARY.encode())]
    chunks = [
        TurnEventChunk(turn_id=turn.id, first_id=number, last_id=number, frames=CANARY)
        for number in range(600)
    ]

    def write(session: Session) -> None:
        session.add(turn)
        session.flush()
        session.add_all([call, action, *chunks])
        session.flush()
        session.add_all(outputs)

    await library.db.write(write)
    return thread.id


async def test_a_purge_leaves_nothing_of_deleted_threads_and_all_of_the_others(library: Library) -> None:
    gone = [await with_a_turn(library) for _ in range(2)]
    await library.thread(*(f"{CANARY} {number}" for number in range(1100)))
    (long_one,) = {thread_id for thread_id, _ in await library.found(f"{CANARY} 1099")}
    kept = await library.thread("kept word")
    for thread_id in (*gone, long_one):
        await library.store.delete(OWNER, thread_id)
        with pytest.raises(NotFound):
            await library.store.get(OWNER, thread_id)
    assert await library.found(CANARY) == set()
    assert await library.purger.purge() == 0
    assert CANARY in await everything_in(library.db)

    library.clock.advance(seconds=3600)
    counts = await asyncio.gather(*(library.purger.purge() for _ in range(3)))
    assert sum(counts) == 3
    assert CANARY not in await everything_in(library.db)
    assert await library.found("kept") == {(kept.id, 1)}
    assert len(await library.messages(kept)) == 1


async def test_deleting_a_thread_ends_what_waits_in_it_and_tells_of_what_runs(library: Library) -> None:
    running = await with_a_turn(library, status="running")
    turn_id = await library.store.delete(OWNER, running)
    assert turn_id is not None and turn_id.startswith("turn_")
    assert (await library.store.get(OWNER, running)).deleted_at is None

    waiting = await with_a_turn(library, status="requires_action")
    assert await library.store.delete(OWNER, waiting) is None
    async with library.db.session() as session:
        states = (
            await (await session.connection()).execute(
                text(
                    "SELECT t.status, a.status FROM turn t JOIN pending_action a ON a.turn_id = t.id "
                    "WHERE t.thread_id = :thread"
                ),
                {"thread": waiting},
            )
        ).all()
    assert [tuple(row) for row in states] == [("cancelled", "resolved")]
