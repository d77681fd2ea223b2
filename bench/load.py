"""A load generator: a fixed number of connections, each with one request in flight, over bare sockets.

``python -m bench.load`` reads a ``Load`` as JSON from its first argument and writes a ``Measured`` as JSON.
Every answer is checked: another status, a short body or a stream without its end stops the measurement.
"""

import asyncio
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import msgspec
import psutil  # type: ignore[import-untyped]
import uvloop

ANSWER_TIMEOUT_S = 60.0


class Load(msgspec.Struct, frozen=True):
    """What to send, and for how long. ``ends_with`` is how a good answer's body ends."""

    url: str
    server_pid: int
    path: str
    headers: dict[str, str]
    body: str
    ends_with: str
    connections: int
    warm_up: int
    seconds: float


class Measured(msgspec.Struct, frozen=True):
    """Latencies in milliseconds; ``seconds`` is the time from the first request to the last answer."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu_s: float
    """CPU seconds the server used meanwhile, all threads, user and system."""


class BadAnswer(RuntimeError):
    """The server did not answer as it must; the message holds the beginning of what it sent."""


class Connection(asyncio.Protocol):
    """Sends one request at a time and knows when its answer is complete."""

    def __init__(self, ends_with: bytes) -> None:
        self._ends_with = ends_with
        self._answer: asyncio.Future[None] | None = None
        self._received: list[bytes] = []
        self._needed: int | None = None
        self._size = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass of it

    async def ask(self, request: bytes) -> None:
        """Send and wait for the whole answer. Raises BadAnswer."""
        self._received.clear()
        self._size, self._needed = 0, None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._answer

    def data_received(self, data: bytes) -> None:
        first = not self._received
        self._received.append(data)
        self._size += len(data)
        if first:
            self._needed = self._read_head(data)
        if self._needed is None:  # chunked
            tail = data if len(data) > 64 else b"".join(self._received[-64:])
            if tail.endswith(b"0\r\n\r\n"):
                self._finish(tail[: tail.rfind(b"\r\n0\r\n\r\n")])
        elif self._size >= self._needed:
            self._finish(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed the connection ({exc})")

    def _read_head(self, data: bytes) -> int | None:
        """The size of head and body; None for a chunked body."""
        head, separator, _ = data.partition(b"\r\n\r\n")
        if not separator or not head.startswith(b"HTTP/1.1 200"):
            self._fail("not a 200 with its whole head at once")
            return None
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(head) + 4 + int(line[15:])
        return None

    def _finish(self, tail: bytes) -> None:
        if not tail.endswith(self._ends_with):
            self._fail("the answer does not end as it must")
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _fail(self, problem: str) -> None:
        if self._answer is not None and not self._answer.done():
            start = b"".join(self._received)[:600].decode("utf-8", "replace")
            self._answer.set_exception(BadAnswer(f"{problem}: {start}"))


async def measure(load: Load) -> Measured:
    """Apply the load. Raises BadAnswer, TimeoutError."""
    address = urlsplit(load.url)
    request = _request(load, address.netloc)
    host, port = address.hostname or "", address.port or 80
    connections = [await _connect(load, host, port) for _ in range(load.connections)]
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        await asyncio.gather(
            *(_repeat(one, request, -(-load.warm_up // load.connections)) for one in connections)
        )
    latencies: list[float] = []
    server = psutil.Process(load.server_pid)
    cpu_before = cpu_seconds(server)
    started = time.perf_counter()
    async with asyncio.timeout(load.seconds + ANSWER_TIMEOUT_S):
        await asyncio.gather(
            *(_until(one, request, started + load.seconds, latencies) for one in connections)
        )
    took = time.perf_counter() - started
    cpu_s = cpu_seconds(server) - cpu_before
    for one in connections:
        one.transport.close()
    return _summary(latencies, took, cpu_s)


async def _connect(load: Load, host: str, port: int) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(load.ends_with.encode()), host, port)
    return connection


async def _repeat(connection: Connection, request: bytes, times: int) -> None:
    for _ in range(times):
        await connection.ask(request)


async def _until(connection: Connection, request: bytes, end: float, latencies: list[float]) -> None:
    now = time.perf_counter()
    while now < end:
        await connection.ask(request)
        then, now = now, time.perf_counter()
        latencies.append(now - then)


def _summary(latencies: list[float], took: float, cpu_s: float) -> Measured:
    ordered = sorted(latencies)
    return Measured(
        requests=len(ordered),
        seconds=took,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000,
        server_cpu_s=cpu_s,
    )


def cpu_seconds(process: psutil.Process) -> float:
    """Used so far: all threads, user and system."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _request(load: Load, host: str) -> bytes:
    body = load.body.encode()
    headers = {**load.headers, "host": host, "content-length": str(len(body))}
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(measure(msgspec.json.decode(sys.argv[1].encode(), type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
