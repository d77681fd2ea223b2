"""Long threads and long lists: read by index, on both databases."""

from typing import Any

import pytest
from sqlalchemy import event, text

from kit.db import Database
from tests.threads.library import OWNER, Library


async def plan_of(db: Database, statement: str, parameters: Any) -> str:
    """How the database would carry a statement out if its tables were long."""
    async with db.session() as session:
        connection = await session.connection()
        if db.dialect == "postgresql":
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            await connection.execute(text("SET LOCAL enable_sort = off"))
        explain = "EXPLAIN " if db.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
        rows = (await connection.exec_driver_sql(explain + statement, parameters)).all()
    return "\n".join(" ".join(map(str, row)) for row in rows)


@pytest.mark.parametrize(
    ("read", "index"),
    [
        ("messages asc", "message_thread_id_seq"),
        ("messages desc", "message_thread_id_seq"),
        ("threads", "thread_by_activity"),
        ("threads of an end user", "thread_by_end_user"),
        ("empty threads", "thread_empty"),
        ("threads to purge", "thread_deleted"),
    ],
)
async def test_reads_follow_an_index_and_sort_nothing(library: Library, read: str, index: str) -> None:
    thread = await library.thread("a", "b")
    seen: list[tuple[str, Any]] = []
    engines = [library.db._read_engine.sync_engine, library.db._write_engine]

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        seen.append((statement, parameters))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    store = library.store
    page: dict[str, Any] = {"metadata": {}, "limit": 20, "before": (5, "x")}
    where = {"limit": 20, "after_seq": 1, "before_seq": 9}
    if read.startswith("messages"):
        await store.messages(OWNER, thread.id, ascending=read.endswith("asc"), **where)
    elif read.startswith("threads of"):
        await store.page(OWNER, end_user_id="ann", **page)
    elif read == "threads":
        await store.page(OWNER, end_user_id=None, **page)
    elif read == "empty threads":
        await store.delete_empty(OWNER)
    else:
        await library.purger.purge()
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    plan = await plan_of(library.db, *seen[-1])
    if library.db.dialect == "sqlite":
        index = index.replace("message_thread_id_seq", "sqlite_autoindex_message_2")
    assert index in plan, plan
    if read.startswith("threads") and library.db.dialect == "sqlite" and "purge" not in read:
        assert "(last_active_at,id)<(?,?)" in plan, plan  # a later page begins where it begins
    assert "SCAN" not in plan and "Sort" not in plan and "TEMP B-TREE" not in plan, plan
