"""A ``heddle serve`` process for tests that kill it, read its output or its files."""

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx

from tests.commands import ForkedCommand, from_nothing

ADMIN_KEY = "ak_live_" + "e2e0" * 16
START_TIMEOUT_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class HeddleProcess:
    """``heddle serve`` in a folder of its own. ``kill`` is SIGKILL; ``start`` may be called again."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self._as_users_do = False
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "output.txt"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
            "HEDDLE_PORT": str(self.port),
            "HEDDLE_DATA_DIR": str(folder / "data"),
            "HEDDLE_DEFAULT_TOOLS_MODE": "none",
            "HEDDLE_BOOTSTRAP_ADMIN_KEY": ADMIN_KEY,
            "HEDDLE_ALLOW_PRIVATE_TARGETS": "loopback",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | ForkedCommand | None = None
        self.starts = 0

    @classmethod
    def as_users_do(cls, folder: Path, **environment: str) -> "HeddleProcess":
        """One that starts from nothing, for tests of what the system shows of it."""
        process = cls(folder, **environment)
        process._as_users_do = True
        return process

    def start(self) -> None:
        assert self.try_start(), self.output.read_text()

    def try_start(self) -> bool:
        """Whether it serves; False if it ended before it could."""
        self.starts += 1
        self._process = self._begun()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return True
            except httpx.TransportError:
                if self._process.poll() is not None:
                    return False
                time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self.output.read_text()}")

    def _begun(self) -> "subprocess.Popen[bytes] | ForkedCommand":
        folder, known, output = self.folder, self.environment, self.output
        if self._as_users_do:
            return from_nothing("serve", folder=folder, environment=known, output=output)
        return ForkedCommand("serve", folder=folder, environment=known, stdout=output, stderr=output)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Until it has ended, or for so long."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def close(self) -> None:
        if self.alive:
            self.kill()

    def client(self, key: str = ADMIN_KEY) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"x-api-key": key}, timeout=30)
