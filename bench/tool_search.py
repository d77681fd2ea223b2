"""Search over a thousand tools: how often the right one is among the first five, and what it costs.

    python -m bench.tool_search

The tools and intents are in ``tests/tool_library``: odd intents were used to
tune the ranking, even ones were not.
"""

import statistics
import time

from broker.dynamic.tool_index import Described, ToolIndex
from tests.tool_library import Intent, intents, tools

REPEATS = 20
TOP = 5


def main() -> None:
    described = [Described(tool.name, tool.description, tool.input_schema) for tool in tools().values()]
    started = time.process_time()
    index = ToolIndex(described)
    print(f"{len(described)} tools, index built in {1000 * (time.process_time() - started):.0f} CPU-ms")
    for name, wanted in zip(("tuned by", "held out"), intents(), strict=True):
        report(name, described, index, wanted)


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
