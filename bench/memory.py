"""Whether the gateway's memory stays flat, and what a stream costs that waits for its provider.

``python -m bench.memory`` starts a fake provider and a real ``heddle serve`` on SQLite. It sends 100,000
requests and writes down the process's resident memory on the way; then it holds 1,000 streams open that have
begun and are silent, and closes them. It prints Markdown, and checks that every call was settled.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]
from rich.console import Console

from bench.gateway import Workload, workloads
from bench.load import Load, Measured
from bench.processes import Cores, Running, run_json, running
from bench.under_test import heddle_environ, machine, mint_key

err = Console(stderr=True, highlight=False)
CONNECTIONS = 64
FIRST_EVENTS_TIMEOUT_S = 60.0
SETTLED_TIMEOUT_S = 60.0
OPENED_AT_ONCE = 50
KIB, MIB = 1024, 1024 * 1024


async def requests_in_turn(heddle: Running, key: str, total: int, steps: int, cores: Cores) -> list[str]:
    """Rows ``requests so far | resident MiB``."""
    whole = next(w for w in workloads("anthropic", [CONNECTIONS]) if w.name == "1 KB answer")
    streamed = next(w for w in workloads("anthropic", [CONNECTIONS]) if w.name == "100 events, at once")
    rows = [_row(0, heddle)]
    done = 0
    for step in range(1, steps + 1):
        while done < total * step / steps:
            for workload in (whole, streamed):
                done += await _send(heddle, key, workload, cores)
        err.print(f"{done:,} requests: {_resident(heddle) / MIB:.1f} MiB")
        rows.append(_row(done, heddle))
    return rows


async def _send(heddle: Running, key: str, workload: Workload, cores: Cores) -> int:
    load = Load(
        url=heddle.url,
        server_pid=heddle.pid,
        path=workload.path,
        headers=_headers(key),
        body=workload.body,
        ends_with=workload.ends_with,
        connections=workload.connections,
        warm_up=workload.connections,
        seconds=4.0,
    )
    output = await run_json("bench.load", [msgspec.json.encode(load).decode()], cores=cores.others)
    return msgspec.json.decode(output, type=Measured).requests + workload.connections


async def idle_streams(heddle: Running, key: str, admin_key: str, count: int) -> str:
    """Bytes per stream that is open and silent, as a sentence."""
    before = _resident(heddle)
    calls_before = await _calls(heddle, admin_key)
    async with _held_open(heddle, key, count):
        err.print(f"{count} streams are open")
        await asyncio.sleep(2)
        during = _resident(heddle)
    await _settled(heddle, admin_key, calls_before + count)
    after = _resident(heddle)
    each_kib = (during - before) / count / KIB
    return (
        f"{count:,} streams that have begun and are silent take {each_kib:.1f} KiB each, the two connections "
        f"of each included ({before / MIB:.1f} MiB before, {during / MIB:.1f} while they are open, "
        f"{after / MIB:.1f} after). All were settled when their clients hung up."
    )


@asynccontextmanager
async def _held_open(heddle: Running, key: str, count: int) -> AsyncIterator[None]:
    address = urlsplit(heddle.url)
    message = {"role": "user", "content": "idle"}
    body = msgspec.json.encode(
        {"model": "claude-haiku-4-5", "max_tokens": 100, "stream": True, "messages": [message]}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in _headers(key).items())
    request = (
        f"POST /v1/messages HTTP/1.1\r\nhost: {address.netloc}\r\n{head}content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    writers: list[asyncio.StreamWriter] = []
    gate = asyncio.Semaphore(OPENED_AT_ONCE)

    async def open_one() -> None:
        async with gate, asyncio.timeout(FIRST_EVENTS_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writers.append(writer)
            writer.write(request)
            await reader.readuntil(b"word00")

    try:
        await asyncio.gather(*(open_one() for _ in range(count)))
        yield
    finally:
        for writer in writers:
            writer.close()


async def _calls(heddle: Running, admin_key: str) -> int:
    async with httpx.AsyncClient(base_url=heddle.url, headers={"x-api-key": admin_key}, timeout=60) as client:
        return int((await client.get("/v1/usage")).raise_for_status().json()["request_count"])


async def _settled(heddle: Running, admin_key: str, expected: int) -> None:
    """Raises RuntimeError unless all calls are recorded and nothing is held in time."""
    until = time.monotonic() + SETTLED_TIMEOUT_S
    async with httpx.AsyncClient(base_url=heddle.url, headers={"x-api-key": admin_key}, timeout=60) as client:
        while True:
            calls = await _calls(heddle, admin_key)
            held = (await client.get("/v1/billing/balance")).raise_for_status().json()["held_micros"]
            if (calls, held) == (expected, 0):
                return
            if time.monotonic() > until:
                raise RuntimeError(f"{expected} calls were made, {calls} recorded; {held} micro-USD are held")
            await asyncio.sleep(0.5)


def _headers(key: str) -> dict[str, str]:
    return {"content-type": "application/json", "x-api-key": key, "anthropic-version": "2023-06-01"}


def _resident(heddle: Running) -> int:
    return int(psutil.Process(heddle.pid).memory_info().rss)


def _row(done: int, heddle: Running) -> str:
    return f"| {done:,} | {_resident(heddle) / MIB:.1f} |"


async def run(options: argparse.Namespace) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    cores = Cores.choose()
    admin_key = "ak_live_" + secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        async with (
            running("bench.fake_upstream", cores=cores.others) as upstream,
            running(
                "gateway.cli",
                "serve",
                cores=cores.server,
                environ=heddle_environ(folder, upstream.url, admin_key),
            ) as heddle,
        ):
            key = await mint_key(heddle.url, admin_key)
            rows = await requests_in_turn(heddle, key, options.requests, options.steps, cores)
            idle = await idle_streams(heddle, key, admin_key, options.streams)
    lines = [f"{machine()}; {CONNECTIONS} connections, whole answers and streams by turns.", ""]
    lines += ["| requests so far | resident MiB |", "|--:|--:|", *rows, "", idle, ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=5, help="how often memory is written down (5)")
    parser.add_argument("--streams", type=int, default=1_000)
    options = parser.parse_args()
    if min(options.requests, options.steps, options.streams) < 1:
        parser.error("--requests, --steps and --streams must be positive")
    sys.stdout.write(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
