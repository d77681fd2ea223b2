"""Clients of other makes: both TypeScript SDKs, and the MCP Inspector's command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.gateway.mcp_server.rig import Mall, register, until
from tests.node_peers import HERE, NODE, node_modules

pytestmark = pytest.mark.asyncio(loop_scope="module")
VERSIONS = {"v1": "2025-11-25", "v2": "2026-07-28"}


@asynccontextmanager
async def node(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        str(NODE), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("sdk", VERSIONS)
async def test_the_typescript_sdks(shared_mall: Mall, sdk: str) -> None:
    """The older one shakes hands, the newer one does without."""
    mall = shared_mall
    await mall.notes_known()
    key = await mall.key(end_user_id=f"typescript {sdk}")
    cancelled = len(mall.box.cancelled)
    modules = str(await asyncio.to_thread(node_modules))
    said: dict[str, Any] = {}
    async with (
        node(str(HERE / "mcp_client.mjs"), modules, sdk, mall.url, key) as process,
        asyncio.timeout(60),
    ):
        assert process.stdout is not None and process.stderr is not None
        while "changed" not in said:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            said |= json.loads(line)
            if "waiting" in said and "registered" not in said:
                await until(lambda: len(mall.shop.heddle.app.mcp.watch) == 1)
                said["registered"] = await register(mall, f"hook_for_{sdk}")
        assert await process.wait() == 0
    assert said["connected"]["name"] == "heddle"
    assert said["capabilities"]["tools"] == {"listChanged": True}
    assert {"toolbox__add", "notes__add_note"} <= set(said["tools"])
    assert said["added"]["structuredContent"] == {"result": 42}
    assert said["heard"] == [1, 2, 3]
    assert "abort" in said["gave_up"].lower()
    await until(lambda: len(mall.box.cancelled) > cancelled)
    if sdk == "v1":
        assert said["refused"]["code"] == -32042
        asked = said["refused"]["data"]["elicitations"][0]
    else:
        asked = said["asked"]
        assert "did not want" in said["unconnected"]["content"][0]["text"]
    assert asked["mode"] == "url" and f"{mall.shop.heddle.url}/connect/" in asked["url"]
    assert f"hook_for_{sdk}" in said["changed"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspectors_command_line(shared_mall: Mall, era: str) -> None:
    key = await shared_mall.key()
    program = await asyncio.to_thread(node_modules) / ".bin" / "mcp-inspector"
    common = ["--cli", "--server-url", shared_mall.url, "--transport", "http", "--protocol-era", era]
    common += ["--header", f"x-api-key: {key}", "--format", "json", "--quiet"]

    async def inspect(*arguments: str) -> Any:
        async with node(str(program), *common, *arguments) as process, asyncio.timeout(60):
            output, problems = await process.communicate()
        assert process.returncode == 0, problems.decode()
        return json.loads(output)

    listed = await inspect("--method", "tools/list", "--strict")
    assert "toolbox__add" in json.dumps(listed)
    called = await inspect(
        "--method", "tools/call", "--tool-name", "toolbox__add", "--tool-args-json", '{"a":2,"b":3}'
    )
    assert '"5"' in json.dumps(called)
