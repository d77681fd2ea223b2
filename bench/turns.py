"""What a turn costs beside the model call in it, with billing on.

``python -m bench.turns`` starts a cheap fake provider (which is the tool's webhook, too) and a real ``heddle
serve`` on SQLite. It measures the same streamed answer of 100 events as a bare ``POST /v1/messages``, as a
turn of a new thread, and as a turn with one round of a webhook tool before it; and what 500 turns take that
wait for their provider. It prints Markdown, and checks the bill.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]
from rich.console import Console

from bench.processes import Cores, Running, run_json, running
from bench.turn_load import TurnLoad, TurnsMeasured
from bench.under_test import heddle_environ, machine, mint_key

err = Console(stderr=True, highlight=False)
MODEL = "claude-haiku-4-5"
QUESTION = "What is a heddle, and which part of the loom does it belong to? " * 8
BARE, PLAIN, TOOL = "bare model call", "turn", "turn with a round of a webhook tool"
MESSAGE_STOP, DONE = 'data: {"type":"message_stop"}\n\n', "}\n\n"
WARM_UP = 50
IN_FLIGHT_TIMEOUT_S = 120.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Kind:
    name: str
    body: dict[str, Any]
    ends_with: str
    in_thread: bool = True


KINDS = (
    Kind(BARE, {"messages": [{"role": "user", "content": QUESTION}]}, MESSAGE_STOP, in_thread=False),
    Kind(PLAIN, {"content": QUESTION}, DONE),
    Kind(TOOL, {"content": QUESTION, "tools": ["bench_tool"]}, DONE),
)


class Bench:
    def __init__(self, heddle: Running, key: str, cores: Cores) -> None:
        self._heddle = heddle
        self._cores = cores
        self._headers = {"content-type": "application/json", "x-api-key": key, "accept": "*/*"}
        self._client = httpx.AsyncClient(base_url=heddle.url, headers=self._headers, timeout=60)

    async def close(self) -> None:
        await self._client.aclose()

    async def measure(self, kind: Kind, connections: int, count: int) -> TurnsMeasured:
        """``count`` of a kind, each turn in a thread of its own that is there before."""
        paths = await self._paths(kind, WARM_UP + count)
        body = {"model": MODEL, "max_tokens": 1000, "stream": True, **kind.body}
        load = TurnLoad(
            url=self._heddle.url,
            server_pid=self._heddle.pid,
            headers=self._headers,
            body=msgspec.json.encode(body).decode(),
            ends_with=kind.ends_with,
            connections=connections,
            warm_up=paths[:WARM_UP],
            paths=paths[WARM_UP:],
        )
        output = await run_json(
            "bench.turn_load", [msgspec.json.encode(load).decode()], cores=self._cores.others
        )
        return msgspec.json.decode(output, type=TurnsMeasured)

    async def in_flight(self, count: int) -> str:
        """What turns take that have begun and whose provider is silent, as a sentence."""
        paths = await self._paths(KINDS[1], count)
        before = self._resident()
        body = {"model": MODEL, "max_tokens": 100, "content": "idle", "background": True}
        for start in range(0, count, 25):
            answers = await asyncio.gather(
                *(self._client.post(path, json=body) for path in paths[start : start + 25])
            )
            for answer in answers:
                answer.raise_for_status()
        await asyncio.sleep(2)
        during = self._resident()
        turns = [(path, answer) for path, answer in zip(paths, await self._turns(paths), strict=True)]
        for start in range(0, count, 25):
            await asyncio.gather(
                *(
                    self._client.post(f"{path.removesuffix('/messages')}/turns/{turn}/cancel")
                    for path, turn in turns[start : start + 25]
                )
            )
        return (
            f"{count} turns whose provider has begun to answer and is silent take "
            f"{(during - before) / MIB:.0f} MiB of memory; the process has {during / MIB:.0f} MiB in all."
        )

    async def _turns(self, paths: list[str]) -> list[str]:
        found = []
        for path in paths:
            answer = await self._client.get(f"{path.removesuffix('/messages')}/turns")
            (turn,) = answer.raise_for_status().json()["data"]
            if turn["status"] != "running":
                raise RuntimeError(f"a turn is {turn['status']}, not running: {turn['error']}")
            found.append(turn["id"])
        return found

    async def _paths(self, kind: Kind, count: int) -> list[str]:
        if not kind.in_thread:
            return ["/v1/messages"] * count
        paths: list[str] = []
        while len(paths) < count:
            made = await asyncio.gather(
                *(self._client.post("/v1/threads") for _ in range(min(25, count - len(paths))))
            )
            paths += [f"/v1/threads/{one.raise_for_status().json()['id']}/messages" for one in made]
        return paths

    def _resident(self) -> int:
        return int(psutil.Process(self._heddle.pid).memory_info().rss)


async def register_tool(heddle: Running, upstream: Running, admin_key: str) -> None:
    tool = {
        "name": "bench_tool",
        "description": "The weather",
        "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}},
        "webhook_url": f"{upstream.url}/bench_tool",
    }
    async with httpx.AsyncClient(base_url=heddle.url, headers={"x-api-key": admin_key}) as client:
        (await client.post("/v1/tools", json=tool)).raise_for_status()


async def nothing_is_held(heddle: Running, admin_key: str) -> str:
    """Raises RuntimeError unless all holds are gone in time."""
    until = time.monotonic() + IN_FLIGHT_TIMEOUT_S
    async with httpx.AsyncClient(base_url=heddle.url, headers={"x-api-key": admin_key}) as client:
        while True:
            balance = (await client.get("/v1/billing/balance")).raise_for_status().json()
            if balance["held_micros"] == 0:
                usage = (await client.get("/v1/usage")).raise_for_status().json()
                return f"{usage['request_count']:,} model calls are billed; nothing is held any more."
            if time.monotonic() > until:
                raise RuntimeError(f"{balance['held_micros']} micro-USD are still held")
            await asyncio.sleep(0.5)


async def run(options: argparse.Namespace) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    cores, admin_key = Cores.choose(), "ak_live_" + secrets.token_hex(32)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="heddle-bench-"))
        upstream = await stack.enter_async_context(running("bench.fake_upstream", cores=cores.others))
        environ = heddle_environ(folder, upstream.url, admin_key)
        environ["HEDDLE_ALLOW_PRIVATE_TARGETS"] = "loopback"
        heddle = await stack.enter_async_context(
            running("gateway.cli", "serve", cores=cores.server, environ=environ)
        )
        await register_tool(heddle, upstream, admin_key)
        bench = Bench(heddle, await mint_key(heddle.url, admin_key), cores)
        stack.push_async_callback(bench.close)
        taken: dict[tuple[int, str], list[TurnsMeasured]] = {}
        for number in range(options.rounds):
            for connections in (1, 8):
                for kind in KINDS:
                    err.print(f"round {number + 1}/{options.rounds}: {kind.name}, {connections} at a time")
                    measured = await bench.measure(kind, connections, options.count)
                    taken.setdefault((connections, kind.name), []).append(measured)
        memory = await bench.in_flight(options.in_flight)
        bill = await nothing_is_held(heddle, admin_key)
    return _report(taken, options, [memory, bill], cores)


def _report(
    taken: dict[tuple[int, str], list[TurnsMeasured]],
    options: argparse.Namespace,
    sentences: list[str],
    cores: Cores,
) -> str:
    lines = [
        f"{options.rounds} runs of {options.count} each, median (lowest to highest); {cores.describe()}. "
        f"{machine()}.",
        "",
        "| what | at a time | CPU ms each | more than the line before | p50 ms | first text, p50 ms |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for (connections, name), runs in sorted(taken.items(), key=lambda one: one[0][0]):
        cpu = [one.cpu_ms for one in runs]
        before = _before(taken, connections, name)
        more = "" if before is None else f"{median(cpu) - before:.2f}"
        first = median(one.first_text_p50_ms for one in runs)
        lines.append(
            f"| {name} | {connections} | {median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f}) | {more} | "
            f"{median(one.p50_ms for one in runs):.2f} | {first:.2f} |"
        )
    return "\n".join([*lines, "", *sentences, ""])


def _before(taken: dict[tuple[int, str], list[TurnsMeasured]], connections: int, name: str) -> float | None:
    names = [kind.name for kind in KINDS]
    place = names.index(name)
    if place == 0:
        return None
    return median(one.cpu_ms for one in taken[connections, names[place - 1]])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--count", type=int, default=300, help="turns or calls in each measurement (300)")
    parser.add_argument("--in-flight", type=int, default=500)
    options = parser.parse_args()
    if min(options.rounds, options.count, options.in_flight) < 1:
        parser.error("--rounds, --count and --in-flight must be positive")
    sys.stdout.write(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
