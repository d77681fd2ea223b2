"""A process that serves Heddle and can be told where to die.

It is forked off a server process that has imported everything, because a start from nothing takes seconds
and this is done for every point; what runs in it is the ``run_serve`` of the command line.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from gateway.serve import run_serve
from gateway.settings import Settings
from kit import crash_points

ADMIN_KEY = "ak_live_" + "dead" * 16
PATIENCE_S = 60.0
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.crash.warm", __name__])


class Doomed:
    """``start`` it, tell it where to die (``arm``), see that it has (``died``), and start it again."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = {
            "data_dir": folder,
            "host": "127.0.0.1",
            "port": 0,
            "sim": "off",
            "bootstrap_admin_key": ADMIN_KEY,
            "allow_private_targets": "loopback",
            "markup": 0,
            **settings,
        }
        self.database_url = str(settings.get("database_url") or f"sqlite:///{folder / 'heddle.db'}")
        self.output = folder / "output.txt"
        self.url = ""
        self._process: Any = None
        self._control: Connection | None = None

    async def start(self, crash_at: str = "") -> bool:
        """Whether it serves; False if it died at ``crash_at`` before it could."""
        self._control, theirs = _FORKING.Pipe()
        arguments = (self.settings, crash_at, theirs, str(self.output))
        self._process = _FORKING.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.url = await asyncio.to_thread(self._hear)
        except EOFError:
            assert crash_at, self.output.read_text()
            return False
        return True

    def _hear(self) -> str:
        assert self._control is not None
        assert self._control.poll(PATIENCE_S), f"it is silent: {self.output.read_text()}"
        return str(self._control.recv())

    def arm(self, crash_at: str) -> None:
        """Die there, counted from now on."""
        assert self._control is not None
        self._control.send(crash_at)
        assert self._hear() == crash_at

    async def died(self) -> None:
        """Wait for the death; it must be one without any last words."""
        await asyncio.to_thread(self._process.join, PATIENCE_S)
        assert self._process.exitcode == -signal.SIGKILL, self.output.read_text()

    def kill(self) -> None:
        """Do not wait for its death."""
        self._process.kill()

    def close(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()

    def client(self, key: str = ADMIN_KEY) -> httpx.AsyncClient:
        """Without the certificates of the world, which take a while to load."""
        headers = {"x-api-key": key}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_S, verify=False)


def _serve(settings: dict[str, Any], crash_at: str, control: Connection, output: str) -> None:
    """The forked process."""
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.environ[crash_points.VARIABLE] = crash_at

    def obey() -> None:
        while True:
            told = control.recv()
            crash_points.arm(told)
            control.send(told)

    def ready(serving: Any) -> None:
        control.send(serving.url)
        threading.Thread(target=obey, daemon=True).start()

    run_serve(Settings(**{"default_tools_mode": "none", **settings}), on_ready=ready)
