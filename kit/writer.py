"""Group commit: many small write transactions share one commit, one fsync.

Invariants:
- a write's result is handed out only after the commit that holds it;
- a write that raises leaves nothing behind and does not disturb the writes beside it;
- every submitted write is answered exactly once, also when the commit fails or the writer closes.

There is no batching window: while one commit runs, the next batch gathers by itself.

Each thread keeps one connection for as long as it works: taking one out of a pool, and a session beginning a
transaction of its own, cost more than most writes do.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

T = TypeVar("T")
Write = Callable[[Session], Any]

MAX_BATCH = 128
MAX_ATTEMPTS = 5
_RETRYABLE_SQLSTATES = {"40001", "40P01"}  # serialization failure, deadlock detected (PostgreSQL appendix A)


class WriterClosed(RuntimeError):
    """The process is shutting down; the write was not applied."""


@dataclass(slots=True)
class _Job:
    write: Write
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


@dataclass(slots=True)
class _Outcome:
    job: _Job
    value: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        if self.job.future.done():  # the waiter was cancelled; the write stands all the same
            return
        if self.error is not None:
            self.job.future.set_exception(self.error)
        else:
            self.job.future.set_result(self.value)


class GroupCommitWriter:
    """Runs write functions on dedicated threads, batching all that wait into one transaction.

    A write is a plain function of a ``Session``: it cannot await, so no lock is ever held across the
    network. It may run more than once (PostgreSQL deadlocks are retried), so it must not have effects
    outside the database.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int = 1,
        on_touched: Callable[[Sequence[str]], None] = lambda _names: None,
    ) -> None:
        """``on_touched`` is given, on the threads of the loops that asked for the writes, what those of a
        commit have touched."""
        self._engine = engine
        self._on_touched = on_touched
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"heddle-writer-{n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def submit(self, write: Callable[[Session], T]) -> T:
        """Apply ``write`` in a group-committed transaction; returns its result once durable.

        Raises what ``write`` raised (nothing of it is kept), the database's error if the commit failed,
        or WriterClosed. If the waiting task is cancelled the write may still be applied.
        """
        if self._closed:
            raise WriterClosed("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(_Job(write, future, loop))
        return cast(T, await future)

    def close(self) -> None:
        """Apply what is queued, then stop. Blocks until the threads have ended."""
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        own = _OwnConnection(self._engine)
        while True:
            job = self._queue.get()
            if job is None:
                own.close()
                return
            batch, stop = [job], False
            while len(batch) < MAX_BATCH:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                batch.append(more)
            self._answer(_commit(own, batch), own.take_touched())
            if stop:
                own.close()
                return

    def _answer(self, outcomes: list[_Outcome], touched: Sequence[str]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome.job.loop, []).append(outcome)
        for loop, mine in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_deliver_all, mine)
                if touched:
                    loop.call_soon_threadsafe(self._on_touched, touched)


class _OwnConnection:
    """A writer thread's connection: opened when it is first needed, and anew once it has broken."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._touched: dict[str, None] = {}

    def take_touched(self) -> list[str]:
        """What the writes since the last time have touched (or tried to)."""
        names = list(self._touched)
        self._touched.clear()
        return names

    def get(self) -> Connection:
        """Raises DBAPIError if there is no connection to be had."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the connection. One that was not used is kept: making and closing one costs as much as
        some statements."""
        session, self._session = self._session, None
        if session is None:
            session = Session(self.get(), expire_on_commit=False)
            session.info[_TOUCHED] = self._touched
        try:
            yield session
        finally:
            if session.in_transaction():
                session.close()
            else:
                self._session = session

    def drop(self) -> None:
        """Forget a broken connection; what it had not committed is gone."""
        connection, self._connection, self._session = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _commit(own: _OwnConnection, batch: list[_Job]) -> list[_Outcome]:
    for _ in range(MAX_ATTEMPTS):
        try:
            return _attempt(own, batch)
        except _BrokenBeforeCommit as broken:
            last: BaseException = broken.error
        except DBAPIError as error:
            last = error
            if not _retryable(error):
                break
        except Exception as error:
            last = error
            break
    if len(batch) > 1:  # one write may be at fault for all: give each a transaction of its own
        return [outcome for job in batch for outcome in _commit(own, [job])]
    return [_Outcome(batch[0], error=last)]


class _BrokenBeforeCommit(Exception):
    """The connection was lost, and nothing of the transaction can have been committed: it may be repeated."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__()
        self.error = error


def _attempt(own: _OwnConnection, batch: list[_Job]) -> list[_Outcome]:
    connection = own.get()
    try:
        transaction = connection.begin()
        try:
            with own.session() as session:
                outcomes = _apply_all(session, batch)
        except BaseException as error:
            if transaction.is_active:  # a write that fails in the database has taken it along already
                transaction.rollback()
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise _BrokenBeforeCommit(error) from error
            raise
        transaction.commit()
    except BaseException:
        if connection.get_transaction() is not None or connection.invalidated:
            own.drop()  # a transaction whose commit failed is still there, though it is not active
        raise
    return outcomes


def _apply_all(session: Session, batch: list[_Job]) -> list[_Outcome]:
    if len(batch) == 1:
        return [_Outcome(batch[0], value=_apply(batch[0], session))]
    outcomes: list[_Outcome] = []
    for job in batch:
        savepoint = session.begin_nested()
        try:
            value = _apply(job, session)
            savepoint.commit()
        except DBAPIError as error:
            if is_passing(error):
                raise
            savepoint.rollback()
            outcomes.append(_Outcome(job, error=error))
        except Exception as error:
            savepoint.rollback()
            outcomes.append(_Outcome(job, error=error))
        else:
            outcomes.append(_Outcome(job, value=value))
    return outcomes


def connection_of(session: Session) -> Connection:
    """The connection of a write's session, for statements of one's own. Unlike ``session.connection()`` it
    does not make the session begin, which costs more than most statements."""
    bind = session.get_bind()
    return bind if isinstance(bind, Connection) else session.connection()


_TOUCHED = "touched"


def touch(session: Session, name: str) -> None:
    """This write changes something that others of this process may watch: they are told once it has been
    committed (and perhaps if it has not been)."""
    session.info[_TOUCHED][name] = None


def _apply(job: _Job, session: Session) -> Any:
    value = job.write(session)
    session.flush()
    return value


def _deliver_all(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        outcome.deliver()


def is_passing(error: DBAPIError) -> bool:
    """Whether the writer repeats the transaction that failed so (a deadlock, a lost connection). A write that
    catches errors of its parts must let these through, or the part is lost although it could be done."""
    return _retryable(error) or error.connection_invalidated


def _retryable(error: DBAPIError) -> bool:
    sqlstate = getattr(error.orig, "sqlstate", None)
    return sqlstate in _RETRYABLE_SQLSTATES or "database is locked" in str(error.orig)
