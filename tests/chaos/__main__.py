"""Kill real processes at random points while clients call them, and hold the books against what was seen.

``python -m tests.chaos --seconds 120 --database postgresql`` lets twenty clients call one process on SQLite,
or two on PostgreSQL, which die at random points, are killed or are paused, and start again. In the end it
prints what happened, and fails if an answer that was complete was not paid once and in full, if a call was
paid twice, if a hold is left, if more calls are unpaid than were under way when processes died, or if the
books contradict each other. A seed repeats the dice, but not the timing.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.chaos.clients import CLIENTS, Clients
from tests.chaos.fleet import Fleet, database
from tests.chaos.verdict import Verdict, judge
from tests.crash.provider import provider

err = Console(stderr=True, highlight=False)
SETTLE_S = 120
"""Longer than a dead process's holds may stay (a minute), and its turns."""


async def run(engine: str, seconds: float, seed: int) -> Verdict:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="heddle-chaos-") as folder, database(engine, Path(folder)) as url:
        async with provider() as upstream:
            fleet = Fleet(Path(folder), url, upstream, dice, processes=2 if engine == "postgresql" else 1)
            try:
                await fleet.start()
                clients = Clients(fleet, dice)
                await clients.mint()
                await _trouble(fleet, clients, seconds)
                return await judge(fleet, clients, SETTLE_S)
            finally:
                fleet.close()


async def _trouble(fleet: Fleet, clients: Clients, seconds: float) -> None:
    end = time.monotonic() + seconds
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("killing", total=seconds)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(clients.call_until(end))
            for member in fleet.members:
                group.create_task(fleet.torment(member, end))
            while (left := end - time.monotonic()) > 0:
                progress.update(task, completed=seconds - left)
                await asyncio.sleep(0.5)
    await fleet.heal()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of load and deaths (60)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    err.print(f"{asked.database}, {asked.seconds:.0f} s, seed {asked.seed}")
    verdict = asyncio.run(run(asked.database, asked.seconds, asked.seed))
    print(verdict.told())
    sys.exit(1 if verdict.faults else 0)


if __name__ == "__main__":
    main()
