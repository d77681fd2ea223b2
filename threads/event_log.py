"""The log of turns' events: frames as they were sent, numbered, in rows of what was published together.

Invariant: only the attempt that a turn is in adds to its log. What a process that lost its turn has left to
log is dropped, or the log would change behind those who have read past it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert
from sqlmodel import Session, col, select

from kit.db import Database
from kit.prepared import Driver, Prepared
from kit.writer import connection_of
from threads.models import Turn, TurnEventChunk

IDS_PER_ATTEMPT = 10_000_000
"""A turn that is taken over numbers its events from ``(attempt - 1) * IDS_PER_ATTEMPT``: what a dead
process sent but could not log can never share an id with something else."""
ROW_BYTES = 16 * 1024
"""A row has no more than this, or a single frame."""
PIECE_BYTES = 64 * 1024
"""What is read at once has about this, and never more than ``MOST_ROWS`` full rows."""
MOST_ROWS = 64


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=256)
def _name(kind: object) -> bytes:
    return str(kind).encode()


def encode_frame(event_id: int, event: dict[str, Any]) -> bytes:
    """One server-sent event: compact JSON in raw UTF-8, ``event`` equal to ``data.type``."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (_name(event["type"]), event_id, _encode(event))


def ping_frame(event_id: int) -> bytes:
    """A ping has the id of the event before it: resuming after either gets the same."""
    return encode_frame(event_id, {"type": "ping"})


def first_id_of(attempt: int) -> int:
    return (attempt - 1) * IDS_PER_ATTEMPT + 1


def add_to_log(session: Session, turn_id: str, attempt: int, first_id: int, frames: Sequence[bytes]) -> bool:
    """Log consecutive frames; False, and nothing is logged, if the turn is in another attempt by now."""
    rows = [
        {"turn_id": turn_id, "first_id": start, "last_id": end, "frames": text, "attempt": attempt}
        for start, end, text in _rows(first_id, frames)
    ]
    driver = Driver.of(connection_of(session))
    return all(_ADD.rows(driver, row) for row in rows)


def _rows(first_id: int, frames: Sequence[bytes]) -> Iterator[tuple[int, int, str]]:
    start, size = 0, 0
    for number, frame in enumerate(frames):
        if number > start and size + len(frame) > ROW_BYTES:
            yield first_id + start, first_id + number - 1, b"".join(frames[start:number]).decode()
            start, size = number, 0
        size += len(frame)
    yield first_id + start, first_id + len(frames) - 1, b"".join(frames[start:]).decode()


_table = TurnEventChunk.__table__  # type: ignore[attr-defined]
_turn = Turn.__table__  # type: ignore[attr-defined]
_columns = ("turn_id", "first_id", "last_id", "frames")
_ADD = Prepared(
    insert(_table)
    .from_select(
        _columns,
        select(*[bindparam(name, type_=_table.c[name].type) for name in _columns]).where(
            _turn.c.id == bindparam("turn_id", type_=_turn.c.id.type),
            _turn.c.attempt == bindparam("attempt", type_=_turn.c.attempt.type),
        ),
    )
    .returning(_table.c.first_id)
)


def log_frames(session: Session, turn: Turn, events: list[dict[str, Any]]) -> None:
    """Log events of a turn that no process is running, as the next attempt at it would number them."""
    first_id = first_id_of(turn.attempt + 1)
    frames = [encode_frame(first_id + number, event) for number, event in enumerate(events)]
    add_to_log(session, turn.id, turn.attempt, first_id, frames)


class LogReader:
    """Reads the frames of a turn in order, some rows at a time: as many as come to about ``PIECE_BYTES``,
    going by the sizes of those before."""

    def __init__(self, db: Database, turn_id: str, after: int) -> None:
        self._db = db
        self._turn_id = turn_id
        self.after = after
        """The id of the last frame that was read, or that is not wanted."""
        self._limit = 4

    async def read(self) -> list[bytes]:
        """The next frames, joined as they are in their rows; nothing at the end of what is logged."""
        query = (
            select(TurnEventChunk)
            .where(TurnEventChunk.turn_id == self._turn_id, TurnEventChunk.last_id > self.after)
            .order_by(col(TurnEventChunk.first_id))
            .limit(self._limit)
        )
        async with self._db.session() as session:
            chunks = (await session.exec(query)).all()
        pieces, size = [], 0
        for chunk in chunks:
            piece = chunk.frames.encode()
            if self.after >= chunk.first_id:
                frames = [frame + b"\n\n" for frame in piece.split(b"\n\n") if frame]
                piece = b"".join(frames[self.after + 1 - chunk.first_id :])
            pieces.append(piece)
            size += len(piece)
            self.after = chunk.last_id
        if size > PIECE_BYTES:
            self._limit = max(1, self._limit // 2)
        elif size < PIECE_BYTES // 4:
            self._limit = min(MOST_ROWS, self._limit * 2)
        return pieces
