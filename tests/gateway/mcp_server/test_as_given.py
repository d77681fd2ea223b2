"""What an MCP server says of its tools and answers reaches MCP clients as it was given."""

from typing import Any

import mcp_types
import pytest

from broker.calls import MAX_OUTPUT_BYTES, ToolResult, json_result
from broker.mcp_results import to_result
from gateway.mcp_server.results import Results
from tests.broker.scripted_server import ECHO, Rpc, Scripted, scripted
from tests.gateway.mcp_server.rig import ERAS, LEGACY, MODERN, Mall, client, text_of

FORECAST = {
    "type": "object",
    "properties": {"celsius": {"type": "number"}},
    "required": ["celsius"],
}
TOOLS: list[dict[str, Any]] = [
    {
        **ECHO,
        "name": "forecast",
        "title": "The weather",
        "annotations": {"readOnlyHint": True, "openWorldHint": True, "title": "Weather, hinted"},
        "outputSchema": FORECAST,
    },
    {**ECHO, "name": "many", "outputSchema": {"type": "array", "items": {"type": "integer"}}},
    {**ECHO, "name": "broken", "outputSchema": {"type": "object", "$ref": "https://x.test/schema"}},
    {**ECHO, "name": "plain"},
]
BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "see", "annotations": {"audience": ["user"], "priority": 0.5}},
    {"type": "resource_link", "uri": "doc://report", "name": "report", "mimeType": "text/plain"},
    {"type": "resource", "resource": {"uri": "doc://a", "mimeType": "text/plain", "text": "A"}},
    {"type": "resource", "resource": {"uri": "doc://b", "mimeType": "font/woff", "blob": "AAAA"}},
    {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
]


def answers(rpc: Rpc, **result: Any) -> Any:
    return rpc.result(**{"content": [], "resultType": "complete", **result})


async def with_server(mall: Mall, answer: dict[str, Any], use: Any) -> None:
    """A server ``w`` of the account that gives this answer to every call."""
    server = Scripted(tools=TOOLS)
    server.on["tools/call"] = lambda rpc: answers(rpc, **answer)
    async with scripted(server):
        body = {"name": "w", "server_url": server.url, "auth_mode": "tenant"}
        made = (await mall.admin.post("/v1/mcp-servers", json=body)).raise_for_status().json()
        try:
            await use()
        finally:
            (await mall.admin.delete(f"/v1/mcp-servers/{made['id']}")).raise_for_status()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("era", ERAS)
async def test_schemas_titles_hints_and_results_come_through(shared_mall: Mall, era: str) -> None:
    async def use() -> None:
        async with client(shared_mall, mode=era) as connected:
            tools = {tool.name: tool for tool in (await connected.list_tools()).tools}
            forecast = tools["w__forecast"]
            assert forecast.output_schema == FORECAST and forecast.title == "The weather"
            assert forecast.annotations is not None and forecast.annotations.title == "Weather, hinted"
            assert forecast.annotations.open_world_hint is True
            assert tools["w__plain"].output_schema is None
            assert tools["w__broken"].output_schema is None, "nobody could check an output by that"
            assert (tools["w__many"].output_schema is not None) == (era == MODERN)
            result = await connected.call_tool("w__forecast", {})
            given = [
                block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content
            ]
            assert given == BLOCKS
            assert result.structured_content == {"celsius": 4} and not result.is_error

    await with_server(shared_mall, {"content": BLOCKS, "structuredContent": {"celsius": 4}}, use)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"structuredContent": {"celsius": "warm"}}, "it does not fit (celsius:"),
        ({}, "its server gave none"),
    ],
)
async def test_a_promise_that_a_server_breaks_is_an_error_that_the_model_can_read(
    shared_mall: Mall, era: str, answer: dict[str, Any], why: str
) -> None:
    """The official client refuses such a result altogether, text and all."""

    async def use() -> None:
        async with client(shared_mall, mode=era) as connected:
            await connected.list_tools()
            result = await connected.call_tool("w__forecast", {})
            assert result.is_error and result.structured_content is None
            assert why.replace("its server", "the tool's server") in text_of(result)
            assert result.content[-1] == mcp_types.TextContent(text="4 degrees")

    await with_server(shared_mall, {"content": [{"type": "text", "text": "4 degrees"}], **answer}, use)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_list_is_structured_content_since_2026(shared_mall: Mall) -> None:
    async def use() -> None:
        for era, structured in ((MODERN, [1, 2]), (LEGACY, None)):
            async with client(shared_mall, mode=era) as connected:
                result = await connected.call_tool("w__many", {})
                assert (result.structured_content, result.is_error) == (structured, False)
                assert text_of(result) == "[1,2]"

    await with_server(shared_mall, {"structuredContent": [1, 2]}, use)


# --- in detail ------------------------------------------------------------------------------------


def given(**fields: Any) -> ToolResult:
    answer = mcp_types.CallToolResult.model_validate({"content": [], **fields}, by_name=False)
    return to_result(answer, {})


def text(long: int = 1) -> dict[str, Any]:
    return {"type": "text", "text": "x" * long}


def test_text_beyond_what_models_are_shown_is_cut_and_structured_content_stays_whole() -> None:
    result = Results().to_mcp(
        given(content=[text(150_000)], structuredContent={"celsius": 4}), promised=FORECAST
    )
    assert "characters left out" in text_of(result) and len(text_of(result)) < 101_000
    assert result.structured_content == {"celsius": 4} and not result.is_error


def test_structured_content_that_is_not_whole_is_none() -> None:
    large = {"celsius": 4, "noise": "x" * MAX_OUTPUT_BYTES}
    plain = Results().to_mcp(given(content=[text()], structuredContent=large))
    assert "structured_content" not in plain.model_fields_set and not plain.is_error
    promised = Results().to_mcp(given(content=[text()], structuredContent=large), promised=FORECAST)
    assert promised.is_error and "larger than" in text_of(promised)


def test_what_the_policy_replaced_is_not_given_after_all() -> None:
    """As ``ResultReview`` makes it."""
    replaced = json_result("[removed]", is_error=False, record={"policy": "replaced"})
    result = Results().to_mcp(replaced, promised=FORECAST)
    assert result.is_error and "policy has replaced the result" in text_of(result)
    assert result.content[-1] == mcp_types.TextContent(text="[removed]")
    free = Results().to_mcp(replaced)
    assert (text_of(free), free.is_error) == ("[removed]", False)


def test_what_the_policy_was_asked_about_is_what_is_given() -> None:
    """It has not seen what a block has besides, such as a link's ``_meta``."""
    passed = given(content=BLOCKS, structuredContent={"celsius": 4})
    passed.record["policy"] = "passed"
    result = Results().to_mcp(passed, promised=FORECAST)
    assert {block.type for block in result.content} == {"text"}
    assert result.structured_content == {"celsius": 4}


@pytest.mark.parametrize(
    ("version", "types"),
    [
        ("2024-11-05", ["text"] * 5),
        ("2025-03-26", ["text"] * 5),
        ("2025-06-18", [block["type"] for block in BLOCKS]),
    ],
)
def test_blocks_that_a_revision_does_not_have_are_described(version: str, types: list[str]) -> None:
    result = Results().to_mcp(given(content=BLOCKS), version=version)
    assert [block.type for block in result.content] == types


def test_an_error_keeps_what_its_server_said() -> None:
    result = Results().to_mcp(
        given(content=[text()], structuredContent={"why": "closed"}, isError=True), promised=FORECAST
    )
    assert result.is_error and result.structured_content == {"why": "closed"} and len(result.content) == 1


def test_what_no_utf8_can_hold_does_not_break_the_answer() -> None:
    result = Results().to_mcp(
        given(content=[{"type": "text", "text": "a\ud800b"}], structuredContent={"\ud800": 1})
    )
    assert text_of(result) == "a\ufffdb" and result.structured_content == {"\ufffd": 1}
    result.model_dump_json(by_alias=True)
