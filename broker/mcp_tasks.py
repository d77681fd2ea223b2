"""The Tasks extension of MCP: tools that work for longer than a request, and are asked for their result.

Source: ``io.modelcontextprotocol/tasks``, revision 2026-07-28 (github.com/modelcontextprotocol/ext-tasks).
The SDK does not have it. The experimental tasks of revision 2025-11-25 are another protocol, and not spoken.
"""

from typing import Any, ClassVar, Literal

import mcp_types
from mcp.client import ClientSession
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from pydantic import Field

TASKS = "io.modelcontextprotocol/tasks"
POLL_MS = 2_000
MIN_POLL_MS = 500
MAX_POLL_MS = 60 * 60 * 1000
MAX_STATUS_CHARS = 1_000


class Suspended(Exception):
    """A tool's call has come to something else than its result, which is ``result``."""

    def __init__(self, result: mcp_types.Result) -> None:
        super().__init__(type(result).__name__)
        self.result = result


class TaskCreated(mcp_types.Result):
    """What a server answers a call with that it goes on with as a task."""

    result_type: Literal["task"]
    task_id: str = Field(min_length=1, max_length=2_000)
    status: str
    status_message: str | None = None
    poll_interval_ms: float | None = None


class TaskState(mcp_types.Result):
    """How far a task is; with its result, its error or its questions, as its status is."""

    task_id: str
    status: Literal["working", "input_required", "completed", "cancelled", "failed"]
    status_message: str | None = None
    poll_interval_ms: float | None = None
    result: mcp_types.CallToolResult | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, dict[str, Any]] | None = None


class _TaskParams(mcp_types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class _TaskRequest(mcp_types.Request[_TaskParams, str]):
    """The task's id goes into ``Mcp-Name`` as well ("Streamable HTTP: Routing Headers")."""

    name_param: ClassVar[str | None] = "taskId"


class TasksExtension(ClientExtension):
    """Says that tasks are understood, and stops a call that has become one."""

    identifier = TASKS

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=TaskCreated, resolve=_suspend)]


async def _suspend(created: TaskCreated, _context: ClaimContext) -> mcp_types.CallToolResult:
    raise Suspended(created)


async def get_task(session: ClientSession, task_id: str) -> TaskState:
    """Raises MCPError (-32602 if the server does not know it, any more), ValidationError."""
    params = _TaskParams(task_id=task_id)
    return await session.send_request(_TaskRequest(method="tasks/get", params=params), TaskState)


async def update_task(session: ClientSession, task_id: str, responses: dict[str, Any]) -> None:
    """Answer questions of a task; servers ignore answers to what is not asked any more. Raises MCPError."""
    params = _TaskParams(task_id=task_id, input_responses=responses)
    await session.send_request(_TaskRequest(method="tasks/update", params=params), mcp_types.EmptyResult)


async def cancel_task(session: ClientSession, task_id: str) -> None:
    """Raises MCPError."""
    params = _TaskParams(task_id=task_id)
    await session.send_request(_TaskRequest(method="tasks/cancel", params=params), mcp_types.EmptyResult)


def poll_after_ms(said: float | None) -> int:
    """The server's interval, within bounds."""
    return POLL_MS if said is None else int(min(max(said, MIN_POLL_MS), MAX_POLL_MS))


def status_message(state: TaskCreated | TaskState) -> str | None:
    return None if state.status_message is None else state.status_message[:MAX_STATUS_CHARS]
