"""Reading turns: lists, details, the message a turn ended with."""

from typing import Any

from sqlmodel import col, select

from kit.caller import Caller
from kit.db import Database
from kit.errors import Conflict, NotFound
from threads.actions import PendingActions
from threads.context.repair import as_blocks
from threads.models import Message, Thread, ToolCallRow, ToolOutput, Turn
from threads.schemas import render_output, render_turn
from threads.store import visible


class TurnReader:
    def __init__(self, db: Database, actions: PendingActions) -> None:
        self._db = db
        self._actions = actions

    async def page(
        self, caller: Caller, thread_id: str, *, limit: int, before: tuple[Any, ...] | None
    ) -> list[Turn]:
        """Up to ``limit + 1`` turns of a thread, newest first. Raises NotFound."""
        query = select(Turn).where(Turn.thread_id == thread_id)
        if before is not None:
            created_at, turn_id = before
            query = query.where(
                (col(Turn.created_at) < created_at)
                | ((col(Turn.created_at) == created_at) & (col(Turn.id) < turn_id))
            )
        query = query.order_by(col(Turn.created_at).desc(), col(Turn.id).desc()).limit(limit + 1)
        async with self._db.session() as session:
            visible(await session.get(Thread, thread_id), caller, thread_id)
            return list((await session.exec(query)).all())

    async def calls(self, turn: Turn) -> list[ToolCallRow]:
        """All tool calls of a turn, in the order the model made them."""
        query = select(ToolCallRow).where(ToolCallRow.turn_id == turn.id)
        query = query.order_by(col(ToolCallRow.iteration), col(ToolCallRow.position))
        async with self._db.session() as session:
            return list((await session.exec(query)).all())

    async def output(self, turn: Turn, call: str) -> dict[str, Any]:
        """The whole output of one of a turn's calls, named by its id or its ``tool_use_id``; to be encoded as
        JSON. Raises NotFound, Conflict (``no_output_yet``)."""
        query = select(ToolCallRow, ToolOutput.body).outerjoin(ToolOutput)
        query = query.where(
            ToolCallRow.turn_id == turn.id, (ToolCallRow.id == call) | (ToolCallRow.tool_use_id == call)
        )
        async with self._db.session() as session:
            found = (await session.exec(query)).first()
        if found is None:
            raise NotFound(f"call {call} not found")
        row, body = found
        if row.status not in {"answered", "done"}:
            raise Conflict(f"call {call} has no output yet", code="no_output_yet")
        return render_output(row, body)

    async def last_assistant(self, turn: Turn) -> Message | None:
        """The newest assistant message of a turn; None if it waits before its first model step."""
        query = select(Message).where(Message.turn_id == turn.id, Message.role == "assistant")
        query = query.order_by(col(Message.seq).desc()).limit(1)
        async with self._db.session() as session:
            return (await session.exec(query)).first()

    async def rendered(self, turn: Turn) -> dict[str, Any]:
        """A turn in full: its open actions and its tool calls."""
        return render_turn(turn, await self._actions.open_of(turn.id), await self.calls(turn))


def final_message(message: Message | None, turn: Turn, *, waiting: bool) -> dict[str, Any]:
    """A turn's last assistant message in Anthropic's shape; empty if it waits before its first step."""
    return {
        "id": message.id if message is not None else turn.id,
        "type": "message",
        "role": "assistant",
        "model": (message and message.model) or turn.params["model"],
        "content": as_blocks(message.content) if message is not None else [],
        "stop_reason": "requires_action" if waiting else message and message.stop_reason,
        "stop_sequence": None,
        "usage": (message and message.usage) or {"input_tokens": 0, "output_tokens": 0},
    }
