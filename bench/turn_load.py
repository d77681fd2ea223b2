"""Sends turns, or bare model calls, each on a path of its own, and times them.

``python -m bench.turn_load`` reads a ``TurnLoad`` as JSON from its first argument and writes a
``TurnsMeasured`` as JSON. Every answer is checked, as in ``bench.load``.
"""

import asyncio
import sys
import time
from urllib.parse import urlsplit

import msgspec
import psutil  # type: ignore[import-untyped]
import uvloop

from bench.load import Connection, cpu_seconds

TIMEOUT_S = 120.0
FIRST_TEXT = b"text_delta"


class TurnLoad(msgspec.Struct, frozen=True):
    """One request for each path of ``warm_up`` and then of ``paths``; ``connections`` of them at a time."""

    url: str
    server_pid: int
    headers: dict[str, str]
    body: str
    ends_with: str
    connections: int
    warm_up: list[str]
    paths: list[str]


class TurnsMeasured(msgspec.Struct, frozen=True):
    """Milliseconds; CPU time of the server, all threads, user and system, for each request."""

    cpu_ms: float
    p50_ms: float
    first_text_p50_ms: float


class _TimedConnection(Connection):
    """Knows when the first text of an answer came."""

    first_text_at = 0.0

    def data_received(self, data: bytes) -> None:
        if not self.first_text_at and FIRST_TEXT in data:
            self.first_text_at = time.perf_counter()
        super().data_received(data)


async def measure(load: TurnLoad) -> TurnsMeasured:
    """Apply the load. Raises BadAnswer, TimeoutError."""
    address = urlsplit(load.url)
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(load.connections):
        _, made = await loop.create_connection(
            lambda: _TimedConnection(load.ends_with.encode()), address.hostname or "", address.port or 80
        )
        connections.append(made)
    timed: list[tuple[float, float]] = []

    async def work(connection: _TimedConnection, paths: list[str]) -> None:
        while paths:
            request = _request(load, address.netloc, paths.pop())
            connection.first_text_at, began = 0.0, time.perf_counter()
            await connection.ask(request)
            timed.append((connection.first_text_at - began, time.perf_counter() - began))

    async with asyncio.timeout(TIMEOUT_S):
        warm_up = list(load.warm_up)
        await asyncio.gather(*(work(one, warm_up) for one in connections))
        timed.clear()
        server, paths = psutil.Process(load.server_pid), list(load.paths)
        before = cpu_seconds(server)
        await asyncio.gather(*(work(one, paths) for one in connections))
    used_s = cpu_seconds(server) - before
    for one in connections:
        one.transport.close()
    middle = len(timed) // 2
    return TurnsMeasured(
        cpu_ms=used_s / len(timed) * 1000,
        p50_ms=sorted(whole for _, whole in timed)[middle] * 1000,
        first_text_p50_ms=sorted(first for first, _ in timed)[middle] * 1000,
    )


def _request(load: TurnLoad, host: str, path: str) -> bytes:
    body = load.body.encode()
    headers = {**load.headers, "host": host, "content-length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(measure(msgspec.json.decode(sys.argv[1].encode(), type=TurnLoad)))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
