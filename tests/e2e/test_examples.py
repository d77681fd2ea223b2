"""Every example runs as its own text says, against a served Heddle."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.demo.story import approve_in_browser
from gateway.loopback import served
from tests.e2e.processes import ADMIN_KEY, HeddleProcess

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


def run(heddle: HeddleProcess, *command: str, **environment: str) -> str:
    variables = {**os.environ, "HEDDLE_URL": heddle.url, "HEDDLE_ADMIN_KEY": ADMIN_KEY, **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_tour(heddle: HeddleProcess) -> None:
    output = run(heddle, "bash", str(EXAMPLES / "tour.sh"))
    assert "You said: Hello" in output
    assert "qlaud.done" in output
    assert '"balance_usd":"4.999' in output


def test_the_anthropic_sdk(heddle: HeddleProcess) -> None:
    output = run(heddle, sys.executable, str(EXAMPLES / "sdk_anthropic.py"), HEDDLE_KEY=ADMIN_KEY)
    assert "add says: 2 + 3 = 5" in output


def test_the_openai_sdk(heddle: HeddleProcess) -> None:
    output = run(heddle, sys.executable, str(EXAMPLES / "sdk_openai.py"), HEDDLE_KEY=ADMIN_KEY)
    assert "You said: And now as a stream" in output
    assert "input and" in output


async def test_the_story_with_a_consent(heddle: HeddleProcess) -> None:
    vendor = NotebookVendor("")

    async with served(vendor.build) as notebook:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / "story_httpx.py"),
            env={
                **os.environ,
                "HEDDLE_URL": heddle.url,
                "HEDDLE_ADMIN_KEY": ADMIN_KEY,
                "NOTEBOOK_MCP_URL": f"{notebook}/mcp",
            },
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        output = ""
        async with asyncio.timeout(60):
            async for raw in process.stdout:
                line = raw.decode()
                output += line
                if "allow it: " in line:
                    await approve_in_browser(line.rpartition("allow it: ")[2].strip(), user="grace")
            assert await process.wait() == 0, output
    assert "4 degrees and snow in Oslo" in output
    assert "grace has 1 notes: take a coat" in output
    assert "3 model calls" in output


def test_the_demo_tells_the_whole_story_in_under_a_minute(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "demo", "--port", "0", "--no-stay"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for milestone in (
        "The turn parks",
        "The turn goes on by itself",
        "ada has 1 notes: Oslo: take a coat",
        "= the ledger's sum",
        "hash chain is sound",
    ):
        assert milestone in done.stdout
