"""What a call of an MCP tool costs through the broker, beside the SDK's own client on the same server.

``python -m bench.mcp_dispatch`` starts a server (``bench.mcp_upstream``) and calls it by turns with a bare
client of the official SDK, which is the floor, and with a whole broker on SQLite: tool set, argument check,
pool, record. Then 200 calls at once, half of which wait; then 500 idle sessions of the handshake revisions.
All on uvloop, as Heddle is served. It prints Markdown; CPU times are this process's, the server has its own.
"""

import argparse
import asyncio
import base64
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]
import uvloop
from mcp.client import Client

from bench.processes import Cores, running
from bench.under_test import machine
from broker.broker import Broker
from broker.calls import ToolCall, ToolResult, ToolScope, ToolSelection
from broker.mcp_call import McpCaller
from broker.mcp_connection import McpTarget
from broker.mcp_era import LEGACY, Era
from broker.mcp_pool import McpPool
from broker.metering import Payment
from broker.server_store import NewServer
from connectors.catalog import Catalog
from connectors.clients import OAuthClients
from connectors.connect import ConnectSessions
from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.http import OAuthHttp
from connectors.registry import ConnectorRegistry
from gateway.migrations import migrate
from kit.clock import SystemClock
from kit.db import Database, parse_database_url
from kit.outbound import OutboundPolicy, parse_networks
from tests.broker.mcp_peers import call_tool
from vault.keyring import KeyRing
from vault.store import Vault

LOOPBACK = OutboundPolicy(parse_networks("loopback"))
ACCOUNT = "acc_bench"
ROUNDS, CALLS = 12, 50
PARALLEL = 200
SESSIONS = 500
MIB, KIB = 1024 * 1024, 1024
Call = Callable[[int], Awaitable[object]]


@dataclass
class Cost:
    """Latencies in ms, and CPU time of this process per call in ms, by batch."""

    latency: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def row(self, name: str, floor: "Cost") -> str:
        latency, cpu = statistics.median(self.latency), statistics.median(self.cpu)
        ratio = latency / statistics.median(floor.latency)
        return f"| {name} | {latency:.2f} | {_p95(self.latency):.2f} | {cpu:.2f} | {ratio:.2f} |"


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


async def by_turns(calls: dict[str, Call]) -> dict[str, Cost]:
    """Batches of each by turns, so that a slow moment of the machine meets them all."""
    costs = {name: Cost() for name in calls}
    for call in calls.values():
        for number in range(CALLS):
            await call(number)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            gc.collect()
            cpu = time.process_time()
            for number in range(CALLS):
                started = time.perf_counter()
                await call(number)
                costs[name].latency.append((time.perf_counter() - started) * 1000)
            costs[name].cpu.append((time.process_time() - cpu) * 1000 / CALLS)
    return costs


@asynccontextmanager
async def whole_broker(folder: str) -> AsyncIterator[Broker]:
    url, clock = f"sqlite:///{folder}/bench.db", SystemClock()
    await asyncio.to_thread(migrate, parse_database_url(url))
    db = Database(url)
    vault = Vault(db, KeyRing.parse("v1:" + base64.b64encode(bytes(32)).decode()), clock)
    http, registry = OAuthHttp(LOOPBACK), ConnectorRegistry(db, Catalog({}))
    clients = OAuthClients(db, vault, clock, http, "http://127.0.0.1:1/connect/callback")
    connections = Connections(db, vault, clock, http, clients)
    broker = Broker(
        db=db,
        vault=vault,
        credentials=Credentials(db, clock, http, clients, registry, connections),
        connect_sessions=ConnectSessions(
            db, vault, clock, http, clients, registry, connections, public_url="http://127.0.0.1:1"
        ),
        clock=clock,
        policy=LOOPBACK,
        operator_servers={},
    )
    await broker.start()
    try:
        yield broker
    finally:
        await broker.close()
        await http.close()
        await db.close()


async def dispatch_cost(url: str, *, legacy: bool) -> list[str]:
    """Rows of the bare client, the pooled caller and the whole broker, in one age of the protocol."""
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        async with whole_broker(folder) as broker, Client(url, mode=LEGACY if legacy else "auto") as bare:
            made = await broker.servers.create(ACCOUNT, NewServer("bench", url, "tenant"))
            if legacy:
                _speak_legacy(broker._pool, made.server.id)
                broker._pool.retire_server(made.server.id)
            scope = ToolScope(ACCOUNT, turn_id="turn_1")
            toolset = await broker.toolset(scope, ToolSelection("explicit", ("bench/add",)))
            [name] = toolset.tools
            target = McpTarget((made.server.id, "tenant"), url, account_id=ACCOUNT)

            async def dispatched(number: int) -> None:
                call = ToolCall(f"toolu_{number}", name, {"a": number, "b": 1}, created_at=1)
                result = await broker.dispatch(scope, toolset, call, Payment("r", "k"))
                assert isinstance(result, ToolResult) and not result.is_error, result

            async def pooled(number: int) -> None:
                arguments = {"a": number, "b": 1}
                result = await call_tool(broker._caller, target, "add", arguments, retry_safe=False)
                assert not result.is_error, result

            async def floor(number: int) -> None:
                assert not (await bare.call_tool("add", {"a": number, "b": 1})).is_error

            costs = await by_turns({"SDK client": floor, "pooled call": pooled, "broker": dispatched})
    age = "2025-11-25" if legacy else "2026-07-28"
    return [cost.row(f"{age}, {name}", costs["SDK client"]) for name, cost in costs.items()]


def _speak_legacy(pool: McpPool, server_id: str) -> None:
    """Have the pool believe what it would find of a server of before 2026-07-28."""
    pool._eras._eras[server_id] = (asyncio.get_running_loop().time(), Era(LEGACY))


async def parallel(url: str) -> str:
    """How long quick calls take while as many others wait at the same server."""
    pool = McpPool(LOOPBACK)
    caller, target = McpCaller(pool), McpTarget(("bench", "tenant"), url)

    async def quick() -> float:
        started = time.perf_counter()
        assert not (await call_tool(caller, target, "add", {"a": 1, "b": 1}, retry_safe=True)).is_error
        return (time.perf_counter() - started) * 1000

    half = PARALLEL // 2
    await asyncio.gather(*(quick() for _ in range(half)))
    alone = await asyncio.gather(*(quick() for _ in range(half)))
    waiting = [
        asyncio.create_task(call_tool(caller, target, "wait", {"seconds": 20}, retry_safe=False))
        for _ in range(half)
    ]
    await asyncio.sleep(2)
    beside = await asyncio.gather(*(quick() for _ in range(half)))
    assert not any(task.done() for task in waiting), "the waiting calls ended too early to be in the way"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await pool.close()
    return (
        f"{half} calls at once take {statistics.median(alone):.0f} ms (p95 {_p95(alone):.0f} ms) alone, and "
        f"{statistics.median(beside):.0f} ms (p95 {_p95(beside):.0f} ms) "
        f"while {half} others wait at the same server."
    )


async def idle_sessions(url: str) -> str:
    """The resident memory that open sessions take in this process."""
    pool, process = McpPool(LOOPBACK), psutil.Process()
    caller = McpCaller(pool, call_timeout_s=60)

    async def opened(number: int) -> None:
        _speak_legacy(pool, "bench")
        target = McpTarget(("bench", f"user-{number}"), url, {"authorization": f"Bearer {number}"})
        assert not (await call_tool(caller, target, "add", {"a": 1, "b": 1}, retry_safe=True)).is_error

    await opened(-1)
    gc.collect()
    before = process.memory_info().rss
    for first in range(0, SESSIONS, 25):
        await asyncio.gather(*(opened(first + number) for number in range(25)))
    gc.collect()
    grown = process.memory_info().rss - before
    assert len(pool) == SESSIONS + 1, f"{len(pool)} sessions are open"
    await pool.close()
    return (
        f"{SESSIONS} idle sessions of the handshake revisions take {grown / MIB:.0f} MiB "
        f"({grown / SESSIONS / KIB:.0f} KiB each); each has served a call."
    )


async def measure(cores: Cores) -> None:
    async with running("bench.mcp_upstream", cores=cores.server) as server:
        url = f"{server.url}/mcp"
        rows = [*await dispatch_cost(url, legacy=False), *await dispatch_cost(url, legacy=True)]
        beside, sessions = await parallel(url), await idle_sessions(url)
    print(f"{machine()}; {ROUNDS * CALLS} calls each, one at a time, by turns.\n")
    print("| | median ms | p95 ms | CPU ms | of the SDK client's median |")
    print("|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\n{beside}\n\n{sessions}")


def main() -> None:
    argparse.ArgumentParser(description=str(__doc__).splitlines()[0]).parse_args()
    uvloop.run(measure(Cores.choose()))


if __name__ == "__main__":
    main()
