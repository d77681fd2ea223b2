"""Processes of a benchmark: each pinned to a core, told apart by pid, ended by whoever started it."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_URL = re.compile(r"http://[0-9.]+:[0-9]+")


class DidNotStart(RuntimeError):
    """A process ended, or stayed silent, instead of saying where it listens."""


@dataclass(frozen=True)
class Cores:
    """Where to run: the server under test alone on one core, everything else on another."""

    server: frozenset[int] | None
    others: frozenset[int] | None

    @classmethod
    def choose(cls) -> "Cores":
        """The first two cores this process may use; no pinning where that cannot be had."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(None, None)
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            return cls(None, None)
        return cls(frozenset(usable[:1]), frozenset(usable[1:2]))

    def describe(self) -> str:
        if self.server is None:
            return "processes not pinned: fewer than two cores, or a system that cannot pin"
        return "the server on a core of its own, the load and the upstream together on another"


@dataclass(frozen=True)
class Running:
    """A process that listens."""

    pid: int
    url: str


@asynccontextmanager
async def running(
    module: str,
    *arguments: str,
    cores: frozenset[int] | None,
    environ: Mapping[str, str] | None = None,
    announces: str = "listens on",
) -> AsyncIterator[Running]:
    """``python -m module`` while the block runs. Raises DidNotStart with the end of what it wrote."""
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(environ or {})},
            preexec_fn=_pin(cores),
        )
        try:
            url = await _announced(process, announces)
            if url is None:
                log.seek(0)
                tail = log.read().decode("utf-8", "replace")[-2000:]
                raise DidNotStart(f"{' '.join(command[1:])} did not start\n{tail}")
            yield Running(process.pid, url)
        finally:
            await _end(process)


async def run_json(module: str, arguments: Sequence[str], *, cores: frozenset[int] | None) -> bytes:
    """The standard output of ``python -m module`` once it has ended well. Raises RuntimeError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_pin(cores),
    )
    try:
        output, errors = await process.communicate()
    finally:
        await _end(process)
    if process.returncode != 0:
        raise RuntimeError(f"{module} failed: {errors.decode('utf-8', 'replace').strip()[-2000:]}")
    return output


async def _announced(process: asyncio.subprocess.Process, words: str) -> str | None:
    """The URL in the line that holds ``words``; None if the process ends or times out first."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            async for line in process.stdout:
                found = _URL.search(line.decode("utf-8", "replace"))
                if found is not None and words.encode() in line:
                    return found.group()
    except TimeoutError:
        pass
    return None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _pin(cores: frozenset[int] | None) -> Callable[[], None] | None:
    if cores is None:
        return None
    chosen = set(cores)
    return lambda: os.sched_setaffinity(0, chosen)
