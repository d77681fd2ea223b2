"""An operator's MCP server (official SDK, 2026-07-28, stdio) whose tool asks before it answers."""

import asyncio
from typing import Any

import mcp_types
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import InputRequiredResult

FORM = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}

server = MCPServer("search", log_level="CRITICAL")


@server.tool()
async def query(ctx: Context[Any, Any]) -> str | InputRequiredResult:
    """Asks where to look."""
    if ctx.input_responses is None:
        params = mcp_types.ElicitRequestFormParams(message="Where?", requested_schema=FORM)
        asked = mcp_types.ElicitRequest(params=params)
        return InputRequiredResult(input_requests={"where": asked}, request_state="asked")
    (answer,) = ctx.input_responses.values()
    assert isinstance(answer, mcp_types.ElicitResult)
    return f"looked in {answer.content}"


@server.tool()
async def wait(seconds: float) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "waited"


if __name__ == "__main__":
    server.run("stdio")
