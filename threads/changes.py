"""A thread's changes, for those who watch it: written in the transaction that makes each.

Invariants: a thread's changes are numbered from 1 without gaps, in the order in which they were committed
(the thread's row is locked from the number on); none exists without what it tells of. Only the newest
``KEPT`` or some more are kept. That a thread was deleted is no row: its own says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, update
from sqlmodel import Session

from kit.prepared import Driver, Prepared
from kit.writer import connection_of, touch
from threads.models import Thread, ThreadChange

KEPT = 1000
PRUNED_AT_ONCE = 200

Change = tuple[str, Mapping[str, Any]]
"""Its kind, and what it says."""


def message_change(message: Any) -> Change:
    """A message was stored; who watches is shown all of it, read when it is sent."""
    return "message", {"seq": message.seq, "message_id": message.id}


def withdrawn_change(message: Any) -> Change:
    """A message was taken back: its turn was refused before it did anything."""
    return "message_withdrawn", {"seq": message.seq, "message_id": message.id}


def turn_change(turn_id: str, status: str) -> Change:
    return "turn", {"turn_id": turn_id, "status": status}


def record_changes(session: Session, thread_id: str, now_ms: int, changes: Sequence[Change]) -> None:
    """Write what has changed, in order. Locks the thread."""
    driver = Driver.of(connection_of(session))
    count = {"thread_id": thread_id, "count": len(changes)}
    ((last,),) = _COUNT.rows(driver, count)
    first = last - len(changes) + 1
    rows = [
        {
            "thread_id": thread_id,
            "number": first + place,
            "kind": kind,
            "data": msgspec.json.encode(data).decode(),
            "created_at": now_ms,
        }
        for place, (kind, data) in enumerate(changes)
    ]
    _ADD.run(driver, rows)
    if last // PRUNED_AT_ONCE > (first - 1) // PRUNED_AT_ONCE:
        _PRUNE.run(driver, [{"thread_id": thread_id, "until": last - KEPT}])
    touch(session, thread_id)


_thread = Thread.__table__  # type: ignore[attr-defined]
_change = ThreadChange.__table__  # type: ignore[attr-defined]
_COUNT = Prepared(
    update(_thread)
    .where(_thread.c.id == bindparam("thread_id"))
    .values(last_change=_thread.c.last_change + bindparam("count"))
    .returning(_thread.c.last_change)
)
_ADD = Prepared(insert(_change).values({column.name: bindparam(column.name) for column in _change.columns}))
_PRUNE = Prepared(
    delete(_change).where(
        _change.c.thread_id == bindparam("thread_id"), _change.c.number <= bindparam("until")
    )
)
