"""Dynamic mode over REST: what its four tools do, for whoever has a key."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from broker.broker import Broker
from broker.calls import ToolCall, ToolScope
from broker.dynamic.meta_tools import EXECUTE, MAX_FOUND, USUAL_FOUND
from broker.dynamic.mode import names_in
from broker.metering import Payment
from broker.tool import CallContext
from kit.caller import Caller, Standard
from kit.ids import new_id
from kit.request_body import RequestBody
from kit.trace_context import trace_in_headers

MAX_CREDENTIALS = 20
Label = Annotated[str, Field(max_length=100)]


class _ForEndUser(RequestBody):
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    connections: dict[str, Label] = Field(default_factory=dict, max_length=100)
    """Which of the end user's accounts: labels by connector."""

    def scope(self, caller: Caller, **more: Any) -> ToolScope:
        end_user_id = caller.acting_for(self.end_user_id)
        return ToolScope(caller.account_id, end_user_id, connections=self.connections, **more)


class SearchTools(_ForEndUser):
    intent: str = Field(min_length=1, max_length=2_000)
    limit: int = Field(default=USUAL_FOUND, ge=1, le=MAX_FOUND)


class GetSchemas(_ForEndUser):
    names: list[str] | None = Field(default=None, max_length=200)
    tools: list[str] | None = Field(default=None, max_length=200)


class ExecuteTools(_ForEndUser):
    calls: list[dict[str, Any]]
    thread_id: str | None = Field(default=None, max_length=100)


class ManageConnection(_ForEndUser):
    action: Literal["connect", "status", "list", "disconnect"]
    tool: str | None = Field(default=None, min_length=1, max_length=200)
    credentials: dict[str, str] | None = Field(default=None, max_length=MAX_CREDENTIALS, repr=False)


def dynamic_routes(broker: Broker) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["tools"])
    dynamic = broker.dynamic

    @router.post("/tools/search")
    async def search_tools(body: SearchTools, caller: Standard) -> dict[str, Any]:
        scope = body.scope(caller)
        return await dynamic.search(scope, caller.key_id, body.intent, body.limit)

    @router.post("/tools/schemas")
    async def get_schemas(body: GetSchemas, caller: Standard) -> dict[str, Any]:
        scope = body.scope(caller)
        return await dynamic.schemas(scope, names_in(body.model_dump(exclude_none=True)))

    @router.post("/tools/execute")
    async def execute_tools(body: ExecuteTools, caller: Standard, request: Request) -> dict[str, Any]:
        trace = trace_in_headers(request.headers.raw)
        scope = body.scope(caller, thread_id=body.thread_id, trace=trace)
        payment = Payment(request.scope["request_id"], caller.key_id, is_request=True)
        call = ToolCall(new_id("call"), EXECUTE, {"calls": body.calls}, created_at=broker.clock.now_ms())
        return await dynamic.execute(call, CallContext(scope, payment))

    @router.post("/connections")
    async def manage_connections(body: ManageConnection, caller: Standard) -> dict[str, Any]:
        scope = body.scope(caller)
        return await dynamic.connections.manage(scope, body.action, body.tool, credentials=body.credentials)

    return router
