"""The gateway's own cost per request, with billing on, beside the floor of its language.

``python -m bench.gateway`` starts a cheap fake provider, a proxy that only forwards (the floor) and a real
``heddle serve`` on SQLite, each a process of its own, and applies the same loads to both. It measures in
rounds, floor and Heddle by turns, and prints medians with their spread as a Markdown table. In the end it
checks that every request was billed. Nothing stays behind.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
from rich.console import Console

from bench.load import Load, Measured
from bench.processes import Cores, Running, run_json, running
from bench.under_test import billed, heddle_environ, machine, mint_key

err = Console(stderr=True, highlight=False)
WARM_UP = 200
UPSTREAM = "the fake upstream, asked directly"
FLOOR = "forwarding only (the floor)"
HEDDLE = "Heddle, billing on"


@dataclass(frozen=True)
class Workload:
    """A kind of request and how many connections send it."""

    name: str
    path: str
    body: str
    ends_with: str
    connections: int


@dataclass(frozen=True)
class Row:
    """The runs of one workload against one server."""

    workload: Workload
    server: str
    runs: Sequence[Measured]

    def cpu_ms(self) -> list[float]:
        return [run.server_cpu_s / run.requests * 1000 for run in self.runs]


def workloads(dialect: str, concurrencies: Iterable[int]) -> list[Workload]:
    """Plain answers, streams that arrive at once, and streams with 5 ms between their events; and the last
    two for a client of OpenAI Chat before a model of Anthropic's, so that all of it is translated."""
    if dialect == "anthropic":
        path, model = "/v1/messages", "claude-haiku-4-5"
        whole_end, stream_end = '"service_tier":"standard"}}', 'data: {"type":"message_stop"}\n\n'
    else:
        path, model = "/v1/chat/completions", "gpt-4o-mini"
        whole_end, stream_end = '"audio_tokens":0}}}', "data: [DONE]\n\n"

    def body(text: str, *, stream: bool) -> str:
        message = {"role": "user", "content": text}
        request = {"model": model, "max_tokens": 1000, "stream": stream, "messages": [message]}
        if stream and dialect == "openai-chat":
            request["stream_options"] = {"include_usage": True}
        return msgspec.json.encode(request).decode()

    question = "What is a heddle, and which part of the loom does it belong to? " * 8
    kinds = [
        ("1 KB answer", body(question, stream=False), whole_end, tuple(concurrencies)),
        ("100 events, at once", body(question, stream=True), stream_end, tuple(concurrencies)),
        ("100 events, 5 ms apart", body("paced " + question, stream=True), stream_end, (64,)),
    ]
    plain = [
        Workload(name, path, text, end, connections)
        for name, text, end, counts in kinds
        for connections in counts
    ]
    return plain + [
        Workload(name, "/v1/chat/completions", text, "data: [DONE]\n\n", 64)
        for name, text in (
            ("100 events, at once, translated", _translated(question)),
            ("100 events, 5 ms apart, translated", _translated("paced " + question)),
        )
    ]


def _translated(question: str) -> str:
    message = {"role": "user", "content": question}
    options = {"include_usage": True}
    return msgspec.json.encode(
        {
            "model": "claude-haiku-4-5",
            "max_tokens": 1000,
            "stream": True,
            "stream_options": options,
            "messages": [message],
        }
    ).decode()


class Bench:
    """Applies workloads to servers, round by round."""

    def __init__(self, cores: Cores, *, seconds: float) -> None:
        self._cores = cores
        self._seconds = seconds
        self.requests_to: dict[str, int] = {}

    async def compare(
        self, servers: dict[str, tuple[Running, str]], loads: Sequence[Workload], *, rounds: int
    ) -> list[Row]:
        """Each workload against each server (its process and key), by turns within every round."""
        runs: dict[tuple[Workload, str], list[Measured]] = {}
        for number in range(rounds):
            for workload in loads:
                for name, (server, key) in servers.items():
                    err.print(
                        f"round {number + 1}/{rounds}: {workload.name}, "
                        f"{workload.connections} at a time, {name}"
                    )
                    measured = await self._measure(name, server, key, workload)
                    runs.setdefault((workload, name), []).append(measured)
        return [Row(workload, name, runs[workload, name]) for workload in loads for name in servers]

    async def _measure(self, name: str, server: Running, key: str, workload: Workload) -> Measured:
        headers = {
            "content-type": "application/json",
            "x-api-key": key,
            "anthropic-version": "2023-06-01",
            "accept": "*/*",
        }
        warm_up = max(WARM_UP, workload.connections)
        load = Load(
            url=server.url,
            server_pid=server.pid,
            path=workload.path,
            headers=headers,
            body=workload.body,
            ends_with=workload.ends_with,
            connections=workload.connections,
            warm_up=warm_up if "apart" not in workload.name else workload.connections,
            seconds=self._seconds,
        )
        output = await run_json("bench.load", [msgspec.json.encode(load).decode()], cores=self._cores.others)
        measured = msgspec.json.decode(output, type=Measured)
        warmed = -(-load.warm_up // load.connections) * load.connections
        self.requests_to[name] = self.requests_to.get(name, 0) + measured.requests + warmed
        return measured


async def run(options: argparse.Namespace) -> str:
    """The whole benchmark; returns the Markdown to publish."""
    cores = Cores.choose()
    bench = Bench(cores, seconds=options.seconds)
    loads = workloads(options.dialect, options.concurrency)
    admin_key = "ak_live_" + secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="heddle-bench-") as folder:
        async with (
            running("bench.fake_upstream", cores=cores.others) as upstream,
            running("bench.floor_proxy", upstream.url, cores=cores.server) as floor,
            running(
                "gateway.cli",
                "serve",
                cores=cores.server,
                environ=heddle_environ(folder, upstream.url, admin_key),
            ) as heddle,
        ):
            key = await mint_key(heddle.url, admin_key)
            rows = await bench.compare(
                {FLOOR: (floor, key), HEDDLE: (heddle, key)}, loads, rounds=options.rounds
            )
            ceiling = await bench.compare({UPSTREAM: (upstream, key)}, loads, rounds=1)
            bill = await billed(heddle.url, admin_key, expected=bench.requests_to[HEDDLE])
    return _report(rows, ceiling, options, cores, bill)


def _report(
    rows: Sequence[Row], ceiling: Sequence[Row], options: argparse.Namespace, cores: Cores, bill: str
) -> str:
    floor_cpu = {row.workload: median(row.cpu_ms()) for row in rows if row.server == FLOOR}
    lines = [
        f"{options.rounds} runs of {options.seconds:g} s each, median (lowest to highest); "
        f"{cores.describe()}. {machine()}. Dialect: {options.dialect}.",
        "",
        "| request | connections | server | requests/s | p50 ms | p99 ms | CPU ms per request | × floor |",
        "|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        ratio = median(row.cpu_ms()) / floor_cpu[row.workload]
        lines.append(f"{_cells(row)} {_spread(row.cpu_ms())} | {ratio:.1f} |")
    lines += ["", "The load generator and the fake upstream by themselves:", ""]
    lines += [
        "| request | connections | server | requests/s | p50 ms | p99 ms |",
        "|---|--:|---|--:|--:|--:|",
    ]
    lines += [_cells(row) for row in ceiling]
    return "\n".join([*lines, "", bill, ""])


def _cells(row: Row) -> str:
    rates = [run.requests / run.seconds for run in row.runs]
    return (
        f"| {row.workload.name} | {row.workload.connections} | {row.server} | {_spread(rates)} | "
        f"{_spread([run.p50_ms for run in row.runs])} | {_spread([run.p99_ms for run in row.runs])} |"
    )


def _spread(values: Sequence[float]) -> str:
    """The median, and the lowest and highest if there are several."""
    middle = median(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="the length of one measurement (3)")
    parser.add_argument("--dialect", choices=["anthropic", "openai-chat"], default="anthropic")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args()
    if options.rounds < 1 or not 0 < options.seconds <= 600:
        parser.error("--rounds must be positive and --seconds between 0 and 600")
    sys.stdout.write(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
