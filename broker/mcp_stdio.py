"""An MCP server as a process of its own, spoken to over its pipes (stdio transport).

The process gets no environment of ours but where programs and the home directory are, since ours holds
keys. What it writes to its standard error goes to the log, within bounds. It leads a process group, which
ends with the connection, whatever it started itself included.
"""

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

logger = logging.getLogger("heddle.broker")

MAX_LINE_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 65_536
ENDS_BY_ITSELF_S = 2.0
ENDS_WHEN_ASKED_S = 2.0
POLL_S = 0.02
MAX_LOG_LINE_BYTES = 500
LOG_LINES_A_MINUTE = 60
TOO_LARGE = -31_999
"""An error code of ours, outside of what JSON-RPC and MCP use, for an answer that was not read to its end."""
_ANSWER_ID = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*[,}]')

Inbound = MemoryObjectSendStream[SessionMessage | Exception]
Outbound = MemoryObjectReceiveStream[SessionMessage]


@dataclass(frozen=True)
class StdioServer:
    """An MCP server that the operator lets Heddle start as a process of its own."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Oversize:
    """A line that was too long to be kept: how it began and how it ended."""

    head: bytes
    tail: bytes


class Lines:
    """Bytes as lines of at most ``limit`` bytes; of a longer one only the ends are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes | Oversize]:
        *ended, rest = chunk.split(b"\n")
        lines: list[bytes | Oversize] = []
        for piece in ended:
            self._keep(piece)
            line = b"".join(self._parts)
            lines.append(line if self._size <= self._limit else Oversize(line[:256], line[-256:]))
            self._parts, self._size = [], 0
        self._keep(rest)
        return lines

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        self._parts.append(piece)
        if self._size > self._limit:
            kept = b"".join(self._parts)
            self._parts = [kept[:256], kept[256:][-256:]]


class ProcessLog:
    """What a process says beside the protocol, in our log: shortened, and so many lines a minute."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._minute, self._lines = 0, 0

    def write(self, line: bytes | Oversize) -> None:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines > LOG_LINES_A_MINUTE:
            return
        if self._lines == LOG_LINES_A_MINUTE:
            logger.info("MCP server %s says too much; the rest of this minute is left out", self._name)
            return
        raw = line.head if isinstance(line, Oversize) else line
        text = raw[:MAX_LOG_LINE_BYTES].decode(errors="replace").strip()
        if text:
            logger.info("MCP server %s: %s", self._name, "".join(filter(str.isprintable, text)))


@asynccontextmanager
async def stdio_transport(
    server: StdioServer, name: str
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """The process while the block runs, as the streams that an SDK client speaks over. Raises OSError if it
    cannot be started."""
    process = await asyncio.create_subprocess_exec(
        server.command,
        *server.args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=get_default_environment() | dict(server.env),
        start_new_session=True,
    )
    inbound, to_session = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    from_session, outbound = anyio.create_memory_object_stream[SessionMessage](0)
    log = ProcessLog(name)
    tasks = [
        asyncio.create_task(_read(process, inbound, log)),
        asyncio.create_task(_write(process, outbound, inbound)),
        asyncio.create_task(_log(process, log)),
    ]
    try:
        yield to_session, from_session
    finally:
        to_session.close()  # the reader goes on to read and drop, so that the process can come to its end
        try:
            await _end(process)
        finally:
            _signal_group(process, signal.SIGKILL)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for stream in (inbound, from_session, outbound):
                stream.close()


async def _read(process: asyncio.subprocess.Process, inbound: Inbound, log: ProcessLog) -> None:
    assert process.stdout is not None
    lines = Lines(MAX_LINE_BYTES)
    async with inbound:
        while chunk := await process.stdout.read(CHUNK_BYTES):
            for line in lines.feed(chunk):
                message = _too_large(line) if isinstance(line, Oversize) else _parsed(line, log)
                if message is not None:
                    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                        await inbound.send(SessionMessage(message))


async def _write(process: asyncio.subprocess.Process, outbound: Outbound, inbound: Inbound) -> None:
    """A process that reads nothing any more ends the connection: otherwise each call would wait in vain."""
    assert process.stdin is not None
    try:
        async for message in outbound:
            line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(line.encode() + b"\n")
            await process.stdin.drain()
    except (ConnectionError, RuntimeError):
        inbound.close()


async def _log(process: asyncio.subprocess.Process, log: ProcessLog) -> None:
    assert process.stderr is not None
    lines = Lines(MAX_LOG_LINE_BYTES)
    while chunk := await process.stderr.read(CHUNK_BYTES):
        for line in lines.feed(chunk):
            log.write(line)


def _parsed(line: bytes, log: ProcessLog) -> mcp_types.JSONRPCMessage | None:
    """A message; a line that is none is what many programs greet the world with."""
    if not line.strip():
        return None
    try:
        return mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        log.write(line)
        return None


def _too_large(line: Oversize) -> mcp_types.JSONRPCMessage | None:
    """The answer that stands for one too large, if it shows whose it is: at its beginning or its end."""
    found = _ANSWER_ID.search(line.head) or _ANSWER_ID.search(line.tail)
    if found is None:
        return None
    error = mcp_types.ErrorData(code=TOO_LARGE, message="its answer is too large; ask it for less at a time")
    return mcp_types.JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=error)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input, then ask, then insist (2025-11-25, Lifecycle, "Shutdown")."""
    assert process.stdin is not None
    with suppress(OSError, RuntimeError):
        process.stdin.close()
    if await _ended(process, ENDS_BY_ITSELF_S):
        return
    _signal_group(process, signal.SIGTERM)
    await _ended(process, ENDS_WHEN_ASKED_S)


async def _ended(process: asyncio.subprocess.Process, within_s: float) -> bool:
    """Not by ``process.wait()``, which waits for its pipes too, and its children may hold them."""
    for _ in range(round(within_s / POLL_S)):
        if process.returncode is not None:
            return True
        await asyncio.sleep(POLL_S)
    return False


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
