"""Servers that run as processes: kept from our secrets, bounded in what they say, ended whole."""

import asyncio
import json
import logging
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from broker.calls import ToolResult
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_pool import McpPool
from broker.mcp_stdio import LOG_LINES_A_MINUTE, MAX_LINE_BYTES, Lines, Oversize, StdioServer
from tests.broker.mcp_peers import call_tool
from tests.broker.rig import LOOPBACK

ROGUE = Path(__file__).parent / "stdio_rogue.py"


@pytest.fixture
async def pool() -> AsyncIterator[McpPool]:
    pool = McpPool(LOOPBACK)
    yield pool
    await pool.close()


@pytest.fixture
def caller(pool: McpPool) -> McpCaller:
    return McpCaller(pool, call_timeout_s=20)


def rogue(mode: str, notes: Path | None = None, **env: str) -> McpTarget:
    arguments = (str(ROGUE), mode, *([str(notes)] if notes is not None else []))
    return McpTarget((f"operator:{mode}", ""), stdio=StdioServer(sys.executable, arguments, env))


async def go(caller: McpCaller, target: McpTarget) -> ToolResult:
    return await call_tool(caller, target, "go", {}, retry_safe=False)


async def test_a_process_gets_its_own_environment_and_none_of_ours(
    caller: McpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEDDLE_VAULT_KEYS", "v1:s3cret")
    result = await go(caller, rogue("environment", TOKEN="given"))
    environment = json.loads(str(result.output))
    assert environment["TOKEN"] == "given" and "PATH" in environment
    assert "HEDDLE_VAULT_KEYS" not in environment and "s3cret" not in repr(environment)


async def test_what_a_process_babbles_is_logged_within_bounds(
    caller: McpCaller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "heddle.broker"):
        result = await go(caller, rogue("babbles"))
    assert result.output == "ok", "a greeting on its standard output does no harm"
    said = [record.getMessage() for record in caplog.records if "operator:babbles" in record.getMessage()]
    assert any("line 0" in line for line in said) and any("Welcome" in line for line in said)
    assert len(said) <= LOG_LINES_A_MINUTE and max(map(len, said)) < 600
    assert all(line.isprintable() for line in said)


async def test_a_hundred_megabytes_on_one_line_are_not_kept(caller: McpCaller) -> None:
    tracemalloc.start()
    result = await go(caller, rogue("huge"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.record["status"] == "too_large" and "less at a time" in result.content[0]["text"]
    assert peak < 4 * MAX_LINE_BYTES
    assert [tool.name for tool in (await caller.list_tools(rogue("huge"))).tools] == ["go"]


async def test_an_answer_that_comes_twice_counts_once(caller: McpCaller) -> None:
    assert (await go(caller, rogue("twice"))).output == "first"
    assert (await go(caller, rogue("twice"))).output == "first"


async def test_a_process_that_keeps_dying_is_started_ever_more_slowly(
    caller: McpCaller, tmp_path: Path
) -> None:
    notes = tmp_path / "starts"
    target = rogue("dies", notes)
    results = [await go(caller, target) for _ in range(6)]
    assert results[0].record["status"] == "broke_off" and "not known" in results[0].content[0]["text"]
    assert results[-1].record["status"] == "busy" and "try again later" in results[-1].content[0]["text"]
    assert len(notes.read_text().split()) == 2
    async with asyncio.timeout(20):
        while (await go(caller, target)).record["status"] == "busy":
            await asyncio.sleep(0.1)
    assert len(notes.read_text().split()) == 3


async def test_a_program_that_ends_at_once_is_an_error_result(caller: McpCaller) -> None:
    result = await go(caller, rogue("never-starts"))
    assert result.is_error and "cannot be reached" in result.content[0]["text"]


async def test_a_process_that_does_not_want_to_end_ends_with_its_children(tmp_path: Path) -> None:
    notes = tmp_path / "pids"
    pool = McpPool(LOOPBACK)
    assert (await go(McpCaller(pool, call_timeout_s=20), rogue("stays", notes))).output == "ok"
    pids = [int(pid) for pid in notes.read_text().split()]
    assert len(pids) == 2 and all(psutil.pid_exists(pid) for pid in pids)
    await pool.close()
    async with asyncio.timeout(10):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_a_process_says_itself_that_its_list_changed(caller: McpCaller, pool: McpPool) -> None:
    heard: list[tuple[str, str]] = []
    pool.on_change(heard.append)
    assert (await go(caller, rogue("changes"))).output == "changed"
    async with asyncio.timeout(10):
        while not heard:
            await asyncio.sleep(0.01)
    assert heard == [("operator:changes", "")]


async def test_a_process_is_kept_however_idle(caller: McpCaller) -> None:
    idle = McpPool(LOOPBACK, idle_s=0)
    try:
        await go(McpCaller(idle, call_timeout_s=20), rogue("ok"))
        idle.sweep()
        assert len(idle) == 1
    finally:
        await idle.close()


def test_lines_are_found_wherever_they_are_cut() -> None:
    lines = Lines(10)
    text = b"one\ntwo\n" + b"x" * 5_000 + b"end\nthree\n"
    found = [line for at in range(0, len(text), 3) for line in lines.feed(text[at : at + 3])]
    assert found[:2] == [b"one", b"two"] and found[3] == b"three"
    assert isinstance(found[2], Oversize)
    assert found[2].head == b"x" * 256 and found[2].tail.endswith(b"xend") and len(found[2].tail) == 256
