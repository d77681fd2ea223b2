"""Threads as JSON lines: a header, then one line for each message in order.

An export imports into a thread with the same numbers, contents, usage, costs and times. What names the calls
that made it (turn and request ids) is in the file for the record; those belong to the original, and an import
leaves them behind. Nothing that is imported is billed.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import msgspec
from pydantic import Field, ValidationError
from sqlalchemy import insert
from sqlmodel import Session, col, select

from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import InvalidRequest
from kit.ids import new_id, new_uuid
from kit.json import NOT_JSON, unstorable_place
from kit.request_body import UNSTORABLE, RequestBody
from threads.building import ThreadBuilder
from threads.context.settings import parse_context
from threads.models import Message, Thread
from threads.schemas import CreateThread, render_message, render_thread
from threads.store import visible

MESSAGES_AT_ONCE = 200
INT64 = 2**63 - 1


class ThreadLine(CreateThread):
    """The first line. ``messages`` is how many lines follow, if it is there."""

    object: str = Field(pattern="^thread$")
    title: str | None = Field(default=None, max_length=500)
    messages: int | None = Field(default=None, ge=0, strict=True)
    created_at: int | None = Field(default=None, ge=0, le=INT64, strict=True)
    last_active_at: int | None = Field(default=None, ge=0, le=INT64, strict=True)


class MessageLine(RequestBody):
    object: str = Field(pattern="^message$")
    seq: int = Field(ge=1, strict=True)
    role: str = Field(pattern="^(user|assistant)$")
    content: str | list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    stop_reason: str | None = Field(default=None, max_length=100)
    model: str | None = Field(default=None, max_length=300)
    cost_nanos: int = Field(default=0, ge=0, le=INT64, strict=True)
    created_at: int | None = Field(default=None, ge=0, le=INT64, strict=True)


class Transfer:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._builder = ThreadBuilder(db, clock)

    async def export(self, caller: Caller, thread_id: str) -> AsyncIterator[bytes]:
        """The lines of a thread as it is now, some at a time. Raises NotFound before the first."""
        async with self._db.session() as session:
            thread = visible(await session.get(Thread, thread_id), caller, thread_id)
        return self._lines(thread)

    async def _lines(self, thread: Thread) -> AsyncIterator[bytes]:
        yield _line({**render_thread(thread), "messages": thread.last_seq})
        after = 0
        while after < thread.last_seq:
            query = (
                select(Message)
                .where(
                    Message.thread_id == thread.id,
                    Message.seq > after,
                    Message.seq <= thread.last_seq,
                )
                .order_by(col(Message.seq))
                .limit(MESSAGES_AT_ONCE)
            )
            async with self._db.session() as session:
                messages = (await session.exec(query)).all()
            if not messages:
                return  # deleted meanwhile: fewer lines than the header says
            yield b"".join(map(_message_line, messages))
            after = messages[-1].seq

    async def import_thread(self, caller: Caller, lines: "Lines") -> Thread:
        """A new thread of the calling key with these messages: all of them or, if anything is wrong, none.
        The header's end user must be one that the key may act for; its id is not used.

        Raises PermissionDenied.
        """
        header, now = lines.header, self._clock.now_ms()
        created_at = now if header.created_at is None else header.created_at
        thread = Thread(
            id=new_uuid(),
            account_id=caller.account_id,
            key_id=caller.key_id,
            end_user_id=caller.acting_for(header.end_user_id),
            title=header.title,
            meta=header.metadata or {},
            context=parse_context(header.context),
            last_seq=lines.count,
            created_at=created_at,
            last_active_at=now if header.last_active_at is None else max(created_at, header.last_active_at),
        )

        await self._db.write(lambda session: self._builder.hide(session, thread.model_copy()))
        for part in lines.messages():
            rows = [_row(thread, line, now) for line in part]
            await self._db.write(partial(_add_messages, rows=rows))
        return await self._builder.show(thread)


class Lines:
    """The validated lines of an import; kept as they came, and decoded again some at a time.

    Raises InvalidRequest with the number of the first line that is wrong.
    """

    def __init__(self, body: bytes) -> None:
        self._lines = [line for line in enumerate(body.split(b"\n"), 1) if line[1].strip()]
        if not self._lines:
            raise InvalidRequest('the body is empty: expected a line {"object":"thread", …}, then messages')
        self.header = _read(*self._lines.pop(0), ThreadLine)
        for expected, (number, line) in enumerate(self._lines, 1):
            message = _read(number, line, MessageLine)
            if message.seq != expected:
                raise InvalidRequest(f"line {number}: seq: expected {expected}, got {message.seq}")
        self.count = len(self._lines)
        if self.header.messages not in {None, self.count}:
            raise InvalidRequest(
                f"the first line announces {self.header.messages} messages, but {self.count} follow: the "
                "file is not whole"
            )

    def messages(self) -> Iterator[list[dict[str, Any]]]:
        for start in range(0, self.count, MESSAGES_AT_ONCE):
            yield [msgspec.json.decode(line) for _, line in self._lines[start : start + MESSAGES_AT_ONCE]]


def _add_messages(session: Session, rows: list[dict[str, Any]]) -> None:
    session.connection().execute(insert(Message.__table__), rows)  # type: ignore[attr-defined]


def _row(thread: Thread, line: dict[str, Any], now: int) -> dict[str, Any]:
    named = {name: line.get(name) for name in ("seq", "role", "content", "usage", "stop_reason", "model")}
    created_at = line.get("created_at")
    return {
        "id": new_id("msg"),
        "account_id": thread.account_id,
        "thread_id": thread.id,
        "cost_nanos": line.get("cost_nanos") or 0,
        "created_at": now if created_at is None else created_at,
        **named,
    }


def _read(number: int, line: bytes, model: Any) -> Any:
    try:
        value = msgspec.json.decode(line)
    except NOT_JSON as error:
        raise InvalidRequest(f"line {number}: not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"line {number}: expected a JSON object", code="invalid_json")
    place = unstorable_place(value)
    if place is not None:
        raise InvalidRequest(f"line {number}: {place}: {UNSTORABLE}")
    try:
        read = model.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"line {number}: {field}: {message}") from None
    if isinstance(read, MessageLine):
        _check_blocks(number, read)
    return read


def _check_blocks(number: int, message: MessageLine) -> None:
    """What every reader of a history relies on. Raises InvalidRequest."""
    if isinstance(message.content, str):
        return
    for at, block in enumerate(message.content):
        wanted = {"tool_use": ("id", "name"), "tool_result": ("tool_use_id",), "text": ("text",)}
        for field in ("type", *wanted.get(str(block.get("type")), ())):
            if not isinstance(block.get(field), str):
                raise InvalidRequest(f"line {number}: content.{at}.{field}: expected a text")


def _message_line(message: Message) -> bytes:
    line = {"object": "message", **render_message(message), "cost_nanos": message.cost_nanos}
    return _line({**line, "content": message.content})  # with its flags: an import is sent to models as well


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
