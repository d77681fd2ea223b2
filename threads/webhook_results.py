"""Webhooks that answer later: ``POST /v1/tools/{tool_id}/results/{tool_use_id}``.

The output may come before the 202 that announces it has been written down. It is taken all the same: the call
is under way, and whoever dispatched it finds the answer there.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlmodel import Session, col, select

from broker.broker import Broker
from broker.calls import ToolScope, json_result
from broker.models import Tool
from broker.signing import is_signed, verify
from kit.caller import Caller
from kit.clock import Clock
from kit.db import Database
from kit.errors import AuthenticationFailed, Conflict, InvalidRequest, NotFound, PermissionDenied
from kit.ids import new_id
from kit.json import NOT_JSON
from kit.request_body import read_bounded
from threads.actions import PendingActions, Resolved
from threads.models import PendingAction, ToolCallRow, Turn
from threads.outcomes import MAX_OUTPUT_BYTES, Answer, check_output
from threads.rows import locked_turn
from threads.schemas import WebhookResult
from threads.turn import TurnEngine

MAX_BODY_BYTES = MAX_OUTPUT_BYTES + 64 * 1024
TRIES = 2
"""A call that is under way at the first look may wait at the second, and then it waits."""


def webhook_result_routes(engine: TurnEngine, broker: Broker, results: "WebhookResults") -> APIRouter:
    router = APIRouter(prefix="/v1/tools", tags=["tools"])

    @router.post("/{tool_id}/results/{tool_use_id}")
    async def post_result(tool_id: str, tool_use_id: str, request: Request) -> dict[str, Any]:
        """With an admin key, or signed as dispatches are. A second answer changes nothing."""
        tool = await _known_tool(broker, tool_id, request)
        raw = await read_bounded(request, MAX_BODY_BYTES)
        if not _is_admin(request):
            secrets = (await broker.webhook_targets.current(tool.account_id, tool.id)).secrets
            verify(request.headers, raw, *secrets, now_s=broker.clock.now_ms() // 1000)
        body = _parsed(raw)
        answer = await _reviewed(broker, tool, tool_use_id, body, size=len(raw))
        resolved, status = await results.take(tool, tool_use_id, body.turn_id, answer)
        await engine.resolved([resolved])
        return {
            "object": "tool_result",
            "tool_id": tool_id,
            "turn_id": resolved.turn_id,
            "tool_use_id": tool_use_id,
            "status": status,
        }

    return router


class WebhookResults:
    def __init__(self, db: Database, clock: Clock, actions: PendingActions) -> None:
        self._db = db
        self._clock = clock
        self._actions = actions

    async def take(
        self, tool: Tool, tool_use_id: str, turn_id: str | None, answer: Answer
    ) -> tuple[Resolved, str]:
        """What the tool's call came to; ``resolved``, or ``expired`` if that was too late.

        Raises NotFound for a call that is unknown or was answered at once; Conflict (``ambiguous_tool_use``)
        if calls of several turns have this id and ``turn_id`` does not say which; TooLarge.
        """

        def write(session: Session) -> tuple[Resolved, str]:
            for _ in range(TRIES):
                action = self._action(session, tool, tool_use_id, turn_id)
                if action is not None:
                    return self._resolve(session, action, answer)
                call = self._under_way(session, tool, tool_use_id, turn_id)
                if call is not None:
                    return self._resolve(session, self._early(session, tool, call), answer)
            raise NotFound(f"no call {tool_use_id} of this tool waits for its output")

        check_output(answer)
        return await self._db.write(write)

    def _resolve(self, session: Session, action: PendingAction, answer: Answer) -> tuple[Resolved, str]:
        turn = locked_turn(session, action.turn_id)
        assert turn is not None
        session.refresh(action)
        return self._actions.apply(session, turn, [(action, answer)]), action.status

    @staticmethod
    def _action(session: Session, tool: Tool, tool_use_id: str, turn_id: str | None) -> PendingAction | None:
        """The action of the call; one that is open goes before those that are not."""
        query = select(PendingAction).where(
            PendingAction.account_id == tool.account_id,
            PendingAction.kind == "webhook",
            PendingAction.subject == tool.id,
            PendingAction.tool_use_id == tool_use_id,
        )
        if turn_id is not None:
            query = query.where(PendingAction.turn_id == turn_id)
        found = session.exec(query.order_by(col(PendingAction.created_at).desc())).all()
        still_open = [action for action in found if action.status == "open"]
        if len(still_open) > 1:
            raise _ambiguous(tool_use_id)
        return still_open[0] if still_open else next(iter(found), None)

    @staticmethod
    def _under_way(session: Session, tool: Tool, tool_use_id: str, turn_id: str | None) -> ToolCallRow | None:
        """The call, locked with its turn, if it has been dispatched and not been answered in any way."""
        query = (
            select(ToolCallRow.id, ToolCallRow.turn_id)
            .join(Turn, col(Turn.id) == ToolCallRow.turn_id)
            .where(
                ToolCallRow.account_id == tool.account_id,
                ToolCallRow.tool_use_id == tool_use_id,
                ToolCallRow.name == tool.name,
                ToolCallRow.status == "running",
                Turn.status == "running",
            )
        )
        if turn_id is not None:
            query = query.where(ToolCallRow.turn_id == turn_id)
        found = session.exec(query).all()
        if len(found) > 1:
            raise _ambiguous(tool_use_id)
        for call_id, of_turn in found:
            locked_turn(session, of_turn)
            call = session.get_one(ToolCallRow, call_id, populate_existing=True)
            if call.status == "running":
                return call
        return None

    def _early(self, session: Session, tool: Tool, call: ToolCallRow) -> PendingAction:
        """The action that the call would have waited for."""
        now = self._clock.now_ms()
        action = PendingAction(
            id=new_id("act"),
            account_id=tool.account_id,
            turn_id=call.turn_id,
            kind="webhook",
            subject=tool.id,
            tool_use_id=call.tool_use_id,
            payload={"tool": tool.name},
            default_outcome="error",
            expires_at=now,
            created_at=now,
        )
        session.add(action)
        session.flush()
        return action


def _ambiguous(tool_use_id: str) -> Conflict:
    return Conflict(
        f"several calls are named {tool_use_id}: send the turn_id that came with the dispatch",
        code="ambiguous_tool_use",
        param="turn_id",
    )


def _is_admin(request: Request) -> bool:
    caller = request.scope.get("caller")
    return isinstance(caller, Caller) and caller.is_admin


async def _known_tool(broker: Broker, tool_id: str, request: Request) -> Tool:
    """The tool, if whoever calls may know of it, and shows a key or a signature at all, before the body is
    read. Raises NotFound, AuthenticationFailed, PermissionDenied."""
    tool = await broker.registry.find(tool_id)
    caller = request.scope.get("caller")
    if tool is None or (isinstance(caller, Caller) and tool.account_id != caller.account_id):
        raise NotFound(f"tool {tool_id} not found")
    if _is_admin(request) or is_signed(request.headers):
        return tool
    if isinstance(caller, Caller):
        raise PermissionDenied("this route needs a key with scope admin", code="admin_required")
    raise AuthenticationFailed("send a signature as dispatches have one, or an API key", code="missing_key")


async def _reviewed(
    broker: Broker, tool: Tool, tool_use_id: str, body: WebhookResult, *, size: int
) -> Answer:
    """What is taken of an output that came later is what would have been taken at once."""
    given = json_result(body.output, is_error=body.is_error, record={"bytes": size})
    scope = ToolScope(tool.account_id, turn_id=body.turn_id)
    result = await broker.review.reviewed(scope, tool_use_id, tool.name, given, trusted=tool.trusted)
    return Answer("tool_output", output=result.output, is_error=result.is_error, record=result.record)


def _parsed(raw: bytes) -> WebhookResult:
    try:
        return WebhookResult.model_validate(msgspec.json.decode(raw))
    except NOT_JSON as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
