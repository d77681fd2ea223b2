"""Search over a thousand tools: how often the right one is among the first five, and what it costs.

    python -m bench.tool_search

The tools and intents are in ``tests/tool_library``: odd intents were used to
tune the ranking, even ones were not, and a third set was written when it was done.
"""

import asyncio
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from broker.calls import ToolScope
from broker.dynamic.tool_index import Described, ToolIndex
from gateway.app import running
from gateway.settings import Settings
from tests.tool_library import Intent, fresh, intents, tools

ACCOUNT = "acct_bench"
REPEATS = 20
TOP = 5


def main() -> None:
    described = [Described(tool.name, tool.description, tool.input_schema) for tool in tools().values()]
    started = time.process_time()
    index = ToolIndex(described)
    print(f"{len(described)} tools, index built in {1000 * (time.process_time() - started):.0f} CPU-ms")
    tuned, held_out = intents()
    for name, wanted in (("tuned by", tuned), ("held out", held_out), ("written later", fresh())):
        report(name, described, index, wanted)
    asyncio.run(measure_searches(described))


async def measure_searches(described: list[Described]) -> None:
    """Searches of an account with these tools registered, from its database on."""
    with TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/heddle.db"
        async with running(Settings(database_url=database, data_dir=Path(folder)), {}) as app:
            for tool in described:
                await app.broker.registry.create(ACCOUNT, columns(tool))
            scope, wanted = ToolScope(ACCOUNT, "ann"), [intent.text for half in intents() for intent in half]
            started = time.process_time()
            await app.broker.dynamic.search(scope, "key", wanted[0], TOP)
            first = 1000 * (time.process_time() - started)
            times = []
            for text in wanted:
                started = time.process_time()
                await app.broker.dynamic.search(scope, "key", text, TOP)
                times.append(1000 * (time.process_time() - started))
    print(
        f"from the database on: first {first:.0f} CPU-ms (builds the index), then "
        f"median {statistics.median(times):.1f}, p99 {sorted(times)[int(len(times) * 0.99)]:.1f}"
    )


def columns(tool: Described) -> dict[str, Any]:
    return {
        "name": tool.name.replace("/", "_")[:64],
        "description": tool.description,
        "input_schema": tool.input_schema,
        "webhook_url": "https://example.com/",
        "timeout_ms": 1_000,
    }


def report(name: str, described: list[Described], index: ToolIndex, wanted: list[Intent]) -> None:
    places = [
        place_of(intent, [described[at].name for at in index.search(intent.text, TOP)]) for intent in wanted
    ]
    times = []
    for intent in wanted * REPEATS:
        started = time.process_time()
        index.search(intent.text, TOP)
        times.append(1000 * (time.process_time() - started))
    found = sum(place is not None for place in places)
    first = sum(place == 0 for place in places)
    print(
        f"{name}: {len(wanted)} intents, in the first {TOP}: {found / len(wanted):.1%}, "
        f"first: {first / len(wanted):.1%}; CPU-ms a search: "
        f"median {statistics.median(times):.2f}, p99 {sorted(times)[int(len(times) * 0.99)]:.2f}"
    )


def place_of(intent: Intent, found: list[str]) -> int | None:
    return next((place for place, tool in enumerate(found) if tool in intent.right), None)


if __name__ == "__main__":
    main()
