"""What a turn's events cost: numbered, encoded, logged, and shown to a subscriber.

``python -m bench.event_log`` publishes 100 text deltas at a time, at once and as a model sends them, and
prints the CPU milliseconds of the whole process (event loop, writer thread, database driver) for each 100.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from gateway.migrations import migrate
from kit.caller import Caller
from kit.clock import SystemClock
from kit.db import Database, parse_database_url
from threads.events import EventHub
from threads.journal import Journal
from threads.live_turn import LiveTurn
from threads.store import ThreadStore
from threads.turn_request import parse_turn

CALLER = Caller("acct_1", "key_1", "standard")
DELTAS = 100
ROUNDS = 30


async def measure(url: str, *, pace_ms: float, turns: int, watched: bool) -> float:
    """CPU milliseconds for 100 deltas of one turn: the median of ``ROUNDS`` rounds."""
    db, clock = Database(url), SystemClock()
    store, journal, hub = ThreadStore(db, clock), Journal(db, clock, "bench"), EventHub(db)
    lives: list[LiveTurn] = []
    readers = []
    for _ in range(turns):
        thread = await store.create(CALLER, end_user_id=None, metadata={}, thread_id=None)
        turn = await journal.begin(CALLER, thread.id, parse_turn({"model": "m", "content": "hi"}))
        lives.append(hub.open(turn.id, turn.attempt))
        if watched:
            readers.append(asyncio.create_task(_read(hub, turn.id)))
    figures = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for number in range(DELTAS):
            for live in lives:
                live.publish(
                    {
                        "type": "content_block_delta",
                        "index": 0,
                        "delta": {"type": "text_delta", "text": f" word{number}"},
                    }
                )
            if pace_ms:
                await asyncio.sleep(pace_ms / 1000)
        await asyncio.gather(*(live.flush() for live in lives))
        figures.append((time.process_time() - started) * 1000 / turns)
    for reader in readers:
        reader.cancel()
    for live in lives:
        await live.close()
    await db.close()
    return median(figures[2:])


async def _read(hub: EventHub, turn_id: str) -> None:
    async for _piece in hub.subscribe(turn_id):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", metavar="URL", help="an empty database; SQLite otherwise")
    with tempfile.TemporaryDirectory() as folder:
        url = parser.parse_args().postgres or f"sqlite:///{Path(folder) / 'bench.db'}"
        migrate(parse_database_url(url))
        for pace_ms, turns, watched in (
            (0, 1, False),
            (0, 1, True),
            (5, 1, False),
            (5, 1, True),
            (5, 20, True),
        ):
            cost = asyncio.run(measure(url, pace_ms=pace_ms, turns=turns, watched=watched))
            how = f"{pace_ms} ms apart" if pace_ms else "at once"
            seen = "a subscriber each" if watched else "no subscriber"
            print(f"{turns} turn(s), 100 deltas {how}, {seen}: {cost:.3f} CPU-ms")


if __name__ == "__main__":
    main()
