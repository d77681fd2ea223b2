"""Calls that have become tasks at their MCP server: asking for them, answering them, giving them up."""

from dataclasses import dataclass
from typing import Any

from mcp import MCPError

from broker.calls import Resume, TaskUnderWay, ToolResult, ToolScope, error_result
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_exchange import CannotGoOn, questions
from broker.mcp_failures import MAX_MESSAGE_CHARS, McpCallFailed
from broker.mcp_interaction import MAX_ROUNDS, InteractiveClient
from broker.mcp_results import to_result
from broker.mcp_tasks import (
    MAX_POLL_MS,
    TaskState,
    cancel_task,
    get_task,
    poll_after_ms,
    status_message,
    update_task,
)
from broker.servers import McpServers
from connectors.credentials import ConnectionRequired
from kit.errors import HeddleError

TRY_AGAIN_MS = 5_000
MAX_ASKED = MAX_ROUNDS * 10


@dataclass(frozen=True)
class TaskCalls:
    servers: McpServers
    caller: McpCaller

    async def poll(self, scope: ToolScope, resume: Resume) -> ToolResult | TaskUnderWay:
        """Send the answers that there are, and ask how far the task is. What is wrong with the task is an
        error result; what is wrong with the way to it lets it be asked for again."""
        state = resume.state
        record: dict[str, Any] = {"kind": "mcp", "target": state["server"]}

        async def work(client: InteractiveClient) -> TaskState:
            if resume.answers:
                await update_task(client.session, state["task_id"], resume.answers)
            return await get_task(client.session, state["task_id"])

        async def asking(target: McpTarget) -> TaskState:
            return await self.caller.run(target, work, repeatable=True)

        try:
            server = await self.servers.store.get(scope.account_id, state["server_id"])
            return _read(state, await self.servers.as_user(server, scope, asking), record)
        except ConnectionRequired:
            return _failed(state, "the end user's connection to it has ended", record)
        except CannotGoOn as problem:
            return _failed(state, str(problem), record)
        except McpCallFailed as failure:
            if failure.status in {"rpc_error", "protocol_error"}:
                return _failed(state, failure.message, record)
            return _later(state)
        except HeddleError as error:
            return _failed(state, error.message, record)

    async def give_up(self, scope: ToolScope, state: dict[str, Any]) -> None:
        """Tell the server that nobody wants the task any more, once; it may go on with it all the same."""

        async def work(client: InteractiveClient) -> None:
            await cancel_task(client.session, state["task_id"])

        async def telling(target: McpTarget) -> None:
            await self.caller.run(target, work, repeatable=True)

        try:
            server = await self.servers.store.get(scope.account_id, state["server_id"])
            await self.servers.as_user(server, scope, telling)
        except (McpCallFailed, MCPError, ConnectionRequired, HeddleError):
            return


def _read(state: dict[str, Any], task: TaskState, record: dict[str, Any]) -> ToolResult | TaskUnderWay:
    """Raises CannotGoOn."""
    if task.status == "completed" and task.result is not None:
        status = "tool_error" if task.result.is_error else "ok"
        return to_result(task.result, {**record, "status": status}, whole=state["whole"])
    if task.status in {"completed", "failed", "cancelled"}:
        said = (task.error or {}).get("message") or task.status_message or f"its task is {task.status}"
        return _failed(state, str(said)[:MAX_MESSAGE_CHARS], record)
    new = {key: one for key, one in (task.input_requests or {}).items() if key not in state["asked"]}
    found = questions(new) if task.status == "input_required" else ()
    asked = [*state["asked"], *(one.key for one in found)]
    if len(asked) > MAX_ASKED:
        raise CannotGoOn(f"its task asked more than {MAX_ASKED} questions")
    wait_ms = poll_after_ms(task.poll_interval_ms)
    going = {**state, "asked": asked, "failed": 0}
    return TaskUnderWay(state["server"], going, wait_ms, status_message(task), found)


def _later(state: dict[str, Any]) -> TaskUnderWay:
    """The server cannot be asked at the moment: ask again, less and less often."""
    failed = state.get("failed", 0) + 1
    wait_ms = min(TRY_AGAIN_MS * 2 ** min(failed, 10), MAX_POLL_MS)
    return TaskUnderWay(state["server"], {**state, "failed": failed}, wait_ms)


def _failed(state: dict[str, Any], why: str, record: dict[str, Any]) -> ToolResult:
    return error_result(f"The tool {state['tool']} failed: {why}", {**record, "status": "task_failed"})
