"""Tool lists of servers that page, repeat themselves, and list what no model could take."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import mcp_types
import pytest
from mcp.server.lowlevel import Server

from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_listing import Listing
from broker.mcp_pool import McpPool
from gateway.loopback import served
from tests.broker.rig import LOOPBACK

Pages = Callable[[str | None], mcp_types.ListToolsResult]


@asynccontextmanager
async def listing_server(pages: Pages) -> AsyncIterator[McpTarget]:
    async def on_list_tools(
        _: Any, params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        return pages(params.cursor if params is not None else None)

    server = Server("listing", on_list_tools=on_list_tools)
    async with served(lambda _: server.streamable_http_app()) as url:
        yield McpTarget(("listing", ""), f"{url}/mcp")


async def listed(pages: Pages) -> Listing:
    pool = McpPool(LOOPBACK)
    try:
        async with listing_server(pages) as target:
            return await McpCaller(pool).list_tools(target)
    finally:
        await pool.close()


def tool(name: str, schema: dict[str, Any] | None = None, **fields: Any) -> mcp_types.Tool:
    return mcp_types.Tool(name=name, input_schema=schema or {"type": "object"}, **fields)


def one_page(*tools: mcp_types.Tool) -> Pages:
    return lambda _: mcp_types.ListToolsResult(tools=list(tools))


async def test_all_pages_are_read() -> None:
    def pages(cursor: str | None) -> mcp_types.ListToolsResult:
        page = int(cursor or 0)
        following = str(page + 1) if page < 4 else None
        return mcp_types.ListToolsResult(tools=[tool(f"t{page}")], next_cursor=following)

    assert [found.name for found in (await listed(pages)).tools] == ["t0", "t1", "t2", "t3", "t4"]


async def test_a_list_that_never_ends_is_cut_at_five_hundred() -> None:
    def pages(cursor: str | None) -> mcp_types.ListToolsResult:
        page = int(cursor or 0)
        tools = [tool(f"t{page}-{number}") for number in range(100)]
        return mcp_types.ListToolsResult(tools=tools, next_cursor=str(page + 1))

    listing = await listed(pages)
    assert len(listing.tools) == 500
    assert [skipped.reason for skipped in listing.skipped] == ["the server lists too many tools"]


@pytest.mark.parametrize("same", [True, False])
async def test_empty_pages_for_ever_end(same: bool) -> None:
    asked = 0

    def pages(_: str | None) -> mcp_types.ListToolsResult:
        nonlocal asked
        asked += 1
        return mcp_types.ListToolsResult(tools=[], next_cursor="again" if same else f"page {asked}")

    assert (await listed(pages)).tools == []
    assert asked == (2 if same else 100)


async def test_definitions_of_many_megabytes_are_not_taken() -> None:
    big = [tool(f"t{number}", description="x" * 1_000_000) for number in range(7)]
    listing = await listed(one_page(*big))
    assert len(listing.tools) == 4 and all(len(found.description) == 10_000 for found in listing.tools)


async def test_tools_that_no_model_could_be_given_are_skipped_with_a_reason() -> None:
    listing = await listed(
        one_page(
            tool("good"),
            tool("good", {"type": "object", "properties": {"second": {}}}),
            tool("x" * 129),
            tool("new\nline"),
            tool("no-object", {"type": "object", "properties": {"a": {"type": "strng"}}}),
            tool("remote", {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}),
        )
    )
    assert [found.name for found in listing.tools] == ["good"]
    assert "second" not in str(listing.tools[0].input_schema)
    reasons = {skipped.name[:10]: skipped.reason for skipped in listing.skipped}
    assert reasons["good"] == "the name is listed twice"
    assert "128 printable characters" in reasons["x" * 10] and "printable" in reasons["new\nline"]
    assert "properties/a/type" in reasons["no-object"] and "not local" in reasons["remote"]


@pytest.mark.parametrize(
    ("hints", "safe"),
    [
        (None, False),
        (mcp_types.ToolAnnotations(), False),
        (mcp_types.ToolAnnotations(read_only_hint=True), True),
        (mcp_types.ToolAnnotations(idempotent_hint=True), True),
        (mcp_types.ToolAnnotations(destructive_hint=False), False),
    ],
)
async def test_only_a_tool_that_says_so_may_be_repeated(
    hints: mcp_types.ToolAnnotations | None, safe: bool
) -> None:
    [found] = (await listed(one_page(tool("t", annotations=hints)))).tools
    assert found.retry_safe is safe
