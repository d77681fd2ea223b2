"""Stored responses: begun as turns of threads, continued, branched, read, cancelled, deleted.

Invariants:
- a response and its turn are made in one transaction;
- what continues a response is added to its thread only if nothing was added since; else to a copy of it;
- every call that an answer asked for is answered by the request that continues it, once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from gateway.inference.inference import Inference
from gateway.responses.asked import Asked, thread_id_of
from gateway.responses.models import StoredResponse
from gateway.responses.rendering import calls_of, render_begun, render_response
from gateway.responses.rows import ResponseRows
from gateway.responses.turns import new_turn
from kit.caller import Caller
from kit.clock import Clock
from kit.errors import Conflict, InvalidRequest, NotFound
from kit.ids import new_id
from threads.failure import TurnFailed
from threads.fork import Forks
from threads.models import Turn
from threads.once import Once
from threads.store import ThreadStore
from threads.turn import TurnEngine

_CONTINUABLE = ("completed", "cancelled")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a response is added: after message ``seq`` of a thread; nowhere yet, without one. ``branches``:
    to a copy, if the thread has gone on, or (``apart``) in any case."""

    thread_id: str | None = None
    seq: int = 0
    system: tuple[str, ...] = ()
    calls: Mapping[str, str] | None = None
    branches: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    row: StoredResponse
    turn: Turn
    dropped: tuple[str, ...] = ()


class _Moved(Exception):
    """The thread has got messages that the request knows nothing of."""


class StoredResponses:
    def __init__(
        self,
        rows: ResponseRows,
        threads: ThreadStore,
        forks: Forks,
        engine: TurnEngine,
        inference: Inference,
        clock: Clock,
    ) -> None:
        self.rows = rows
        self.engine = engine
        self._threads = threads
        self._forks = forks
        self._inference = inference
        self._clock = clock

    # --- beginning --------------------------------------------------------------------------------

    async def begin(self, caller: Caller, asked: Asked, once: Once | None) -> Begun:
        """Store the request and start its turn. One that came before (``once``) starts nothing. Raises
        HeddleErrors, and leaves nothing behind then."""
        if once is not None and once.turn_id is not None:
            row = await self.rows.of_turn(once.turn_id)
            return Begun(row, await self.engine.journal.get(caller, row.thread_id, row.turn_id))
        catalog, _ = await self._inference.models_of(caller.account_id)
        model = asked.body.get("model")
        if not isinstance(model, str) or not model:
            raise InvalidRequest("model: expected the name of a model", param="model")
        models = catalog.candidates(model)
        place = await self._place(caller, asked)
        new = new_turn(asked, models, [*place.system, *asked.system], place.calls)
        beginning = _Beginning(asked, caller, place, once, self._clock.now_ms())
        if place.thread_id is not None and not place.apart:
            try:
                turn = await self._start(caller, place.thread_id, beginning, new.request, asked)
                return Begun(beginning.row, turn, new.dropped)
            except Conflict as busy:
                if not place.branches or busy.code != "turn_in_progress":
                    raise
            except _Moved:
                if not place.branches:
                    raise Conflict(
                        "the conversation went on meanwhile; try again", code="turn_in_progress"
                    ) from None
        if place.thread_id is not None:
            made = await self._forks.fork(caller, place.thread_id, at_seq=place.seq)
        else:
            made = await self.rows.new_thread(caller, new.earlier)
            beginning.after = made.last_seq
        try:
            turn = await self._start(caller, made.id, beginning, new.request, asked)
        except BaseException:
            await self._threads.delete(caller, made.id)
            raise
        return Begun(beginning.row, turn, new.dropped)

    async def _start(
        self, caller: Caller, thread_id: str, beginning: "_Beginning", request: Any, asked: Asked
    ) -> Turn:
        beginning.thread_id = thread_id
        try:
            return await self.engine.begin(caller, thread_id, request, beginning, at_once=asked.background)
        except Exception:
            if beginning.begun:
                await self.rows.forget(beginning.row.id, thread_id)
            raise

    async def _place(self, caller: Caller, asked: Asked) -> Place:
        """Raises InvalidRequest, NotFound."""
        if asked.previous_id is not None:
            return await self._after(caller, asked.previous_id)
        if asked.conversation is None:
            return Place()
        thread_id = thread_id_of(asked.conversation)
        try:
            thread = await self._threads.get(caller, thread_id)
        except NotFound:
            raise NotFound(
                f"Conversation with id '{asked.conversation[:80]}' not found.", param="conversation"
            ) from None
        newest = await self.rows.newest_in(thread_id)
        return Place(
            thread_id=thread_id,
            seq=thread.last_seq,
            system=tuple(newest.system) if newest is not None else (),
            calls=calls_of(await self.rows.message_at(thread_id, thread.last_seq)),
        )

    async def _after(self, caller: Caller, previous_id: str) -> Place:
        try:
            row, turn = await self.rows.get(caller, previous_id)
        except NotFound:
            raise InvalidRequest(
                f"Previous response with id '{previous_id[:80]}' not found. (A response is stored if its "
                "request says store: true.)",
                code="previous_response_not_found",
                param="previous_response_id",
            ) from None
        if turn.status not in _CONTINUABLE:
            raise InvalidRequest(
                f"Previous response with id '{previous_id}' is {turn.status}; only what is completed or "
                "cancelled can be continued",
                param="previous_response_id",
            )
        calls = calls_of(await self.rows.message_at(row.thread_id, turn.last_seq))
        apart = row.conversation is not None  # nobody else's conversation goes on with it
        return Place(row.thread_id, turn.last_seq, tuple(row.system), calls, branches=True, apart=apart)

    # --- afterwards -------------------------------------------------------------------------------

    async def whole(self, caller: Caller, begun: Begun) -> tuple[dict[str, Any], int]:
        """The response once it has ended, and what it cost in nano-USD. Raises what made it fail."""
        await self.engine.wait(begun.turn.id)
        turn = await self.engine.journal.get(caller, begun.row.thread_id, begun.turn.id)
        if turn.status == "failed" and turn.error is not None:
            raise TurnFailed(turn.id, turn.error)
        return await self.now(begun.row, turn), turn.cost_nanos

    async def now(self, row: StoredResponse, turn: Turn) -> dict[str, Any]:
        """The response as it is."""
        return render_response(row, turn, await self.rows.answer_of(turn))

    @staticmethod
    def begun_form(begun: Begun) -> dict[str, Any]:
        """The response as it was when it began."""
        return render_begun(begun.row, begun.turn)

    async def get(self, caller: Caller, response_id: str) -> dict[str, Any]:
        """Raises NotFound."""
        return await self.now(*await self.rows.get(caller, response_id))

    async def cancel(self, caller: Caller, response_id: str) -> dict[str, Any]:
        """What was used is billed; nothing happens to one that has ended. Raises NotFound, InvalidRequest."""
        row, turn = await self.rows.get(caller, response_id)
        if not row.background:
            raise InvalidRequest("Only responses that were created with background: true can be cancelled.")
        return await self.now(row, await self.engine.cancel(caller, row.thread_id, turn.id))

    async def delete(self, caller: Caller, response_id: str) -> None:
        """Gone at once, cancelled if it is under way. Its messages go with the thread's last response, unless
        the thread is a conversation. Raises NotFound."""
        row, turn = await self.rows.get(caller, response_id)
        await self.engine.cancel(caller, row.thread_id, turn.id)
        last = await self.rows.forget(row.id, row.thread_id)
        if last and row.conversation is None:
            await self._threads.delete(caller, row.thread_id)


class _Beginning:
    """Implements ``threads.once.Once``: the response is stored with its turn."""

    turn_id = None

    def __init__(self, asked: Asked, caller: Caller, place: Place, once: Once | None, now_ms: int) -> None:
        self.thread_id = ""
        self.after = place.seq
        self.begun = False
        self._once = once
        self._fields: dict[str, Any] = {
            "id": new_id("resp"),
            "account_id": caller.account_id,
            "previous_id": asked.previous_id,
            "conversation": asked.conversation,
            "request": asked.body,
            "items": asked.shown,
            "system": [*place.system, *asked.system],
            "background": asked.background,
            "created_at": now_ms,
        }
        self.row = StoredResponse(**self._fields, thread_id="", turn_id="")

    def begins(self, session: Session, turn_id: str) -> None:
        """Raises _Moved if the turn is not where it should be."""
        turn = session.get_one(Turn, turn_id, populate_existing=True)
        if turn.user_seq != self.after + 1:
            raise _Moved
        if self._once is not None:
            self._once.begins(session, turn_id)
        self.row = StoredResponse(
            **self._fields, end_user_id=turn.end_user_id, thread_id=turn.thread_id, turn_id=turn_id
        )
        session.add(self.row)
        self.begun = True

    async def accepted(self) -> None:
        if self._once is not None:
            await self._once.accepted()
