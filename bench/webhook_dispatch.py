"""What a webhook call costs: CPU milliseconds of the calling process, all its threads, for each dispatch.

``python -m bench.webhook_dispatch`` calls a minimal endpoint in a process of its own over loopback: with bare
sockets (the floor), with bare httpx and aiohttp clients, with the dispatcher (guarded, signed, limited, its
answer read), and through the broker as a turn does (arguments validated, the secret opened from the vault).
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import msgspec
import uvloop

from broker.calls import ToolCall, ToolResult, ToolScope, ToolSelection
from broker.endpoints import EndpointLimits
from broker.metering import Payment
from broker.signing import new_secret
from broker.webhook import WebhookDispatcher, WebhookTarget
from gateway.app import running
from gateway.settings import Settings
from kit.clock import SystemClock
from kit.outbound import OutboundPolicy, parse_networks

ROUNDS = 7
ANSWER = b'{"output":{"celsius":4,"sky":"overcast"}}'
LOOPBACK = OutboundPolicy(parse_networks("loopback"))
SCOPE = ToolScope("acc_bench", "ada", "thread-1", "turn_1", {"plan": "pro"})
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
BODY = msgspec.json.encode({"name": "get_weather", "input": {"city": "Oslo"}, "padding": "x" * 200})

Once = Callable[[], Awaitable[None]]


class Endpoint(asyncio.Protocol):
    """Answers each request that arrives whole in one piece, as these do."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
        if data.endswith(b"}"):
            self._transport.write(head + b"%d\r\n\r\n" % len(ANSWER) + ANSWER)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(once: Once, *, calls: int, at_once: int) -> tuple[float, float]:
    """CPU milliseconds and latency in milliseconds for each call: medians of the rounds."""

    async def several() -> None:
        for _ in range(calls // at_once):
            await once()

    await several()
    cpu, latency = [], []
    for _ in range(ROUNDS):
        started, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(several() for _ in range(at_once)))
        done = calls // at_once * at_once
        cpu.append((time.process_time() - started) * 1000 / done)
        latency.append((time.perf_counter() - began) * 1000 / done * at_once)
    return median(cpu), median(latency)


async def bare_sockets(url: str) -> Once:
    """Connections are lent to one call at a time."""
    port = httpx.URL(url).port
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)

    async def once() -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + BODY)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(ANSWER)) == ANSWER
        free.append((reader, writer))

    return once


async def clients(url: str, stack: AsyncExitStack) -> dict[str, Once]:
    by_httpx = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
    by_aiohttp = await stack.enter_async_context(aiohttp.ClientSession())
    dispatcher = WebhookDispatcher(LOOPBACK, SystemClock(), EndpointLimits(per_endpoint=1000))
    stack.push_async_callback(dispatcher.close)
    target = WebhookTarget("tool_1", "get_weather", url, 5_000, False, new_secret())

    async def httpx_once() -> None:
        assert (await by_httpx.post(url, content=BODY)).content == ANSWER

    async def aiohttp_once() -> None:
        async with by_aiohttp.post(url, data=BODY) as response:
            assert await response.read() == ANSWER

    async def dispatch_once() -> None:
        result = await dispatcher.call(target, SCOPE, _call())
        assert isinstance(result, ToolResult) and not result.is_error

    return {
        "bare sockets": await bare_sockets(url),
        "bare httpx": httpx_once,
        "bare aiohttp": aiohttp_once,
        "the dispatcher": dispatch_once,
        "through the broker": await through_broker(url, stack),
    }


async def through_broker(url: str, stack: AsyncExitStack) -> Once:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    settings = Settings(data_dir=folder, allow_private_targets="loopback", max_calls_per_webhook=1000)
    broker = (await stack.enter_async_context(running(settings, {}))).broker
    await broker.registry.create(
        SCOPE.account_id,
        {
            "name": "get_weather",
            "description": "",
            "input_schema": SCHEMA,
            "webhook_url": url,
            "timeout_ms": 5_000,
        },
    )
    toolset = await broker.toolset(SCOPE, ToolSelection("tenant"))

    async def once() -> None:
        result = await broker.dispatch(SCOPE, toolset, _call(), Payment("bench", "key"))
        assert isinstance(result, ToolResult) and not result.is_error

    return once


def _call() -> ToolCall:
    return ToolCall("toolu_1", "get_weather", {"city": "Oslo"}, created_at=1_800_000_000_000)


async def main(calls: int) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "bench.webhook_dispatch", "--serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        url = f"http://127.0.0.1:{int(serving.stdout.readline())}/"
        print("| call | at once | CPU-ms | latency in ms |\n|---|---|---|---|")
        async with AsyncExitStack() as stack:
            for name, once in (await clients(url, stack)).items():
                for at_once in (1, 16):
                    cpu, latency = await measure(once, calls=calls, at_once=at_once)
                    print(f"| {name} | {at_once} | {cpu:.3f} | {latency:.2f} |", flush=True)
    finally:
        serving.terminate()
        serving.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the endpoint")
    parser.add_argument("--calls", type=int, default=400, help="of each kind, in a round")
    chosen = parser.parse_args()
    uvloop.run(serve() if chosen.serve else main(chosen.calls))
