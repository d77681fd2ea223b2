"""The ``heddle`` command, run as a shell would, in processes forked off one that has imported everything: a
start from nothing takes seconds, and tests start it often. ``from_nothing`` runs it as users do."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.cli import main
from tests.forking import FORKING

TIMEOUT_S = 60


class ForkedCommand:
    """A run of ``heddle`` that has begun. The methods are those of ``subprocess.Popen``."""

    def __init__(
        self, *arguments: str, folder: Path, environment: Mapping[str, str], stdout: Path, stderr: Path
    ) -> None:
        started = (arguments, str(folder), dict(environment), str(stdout), str(stderr))
        self._process: Any = FORKING.Process(target=_run, args=started)
        self._process.start()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def poll(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("heddle", timeout)
        return code

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def from_nothing(
    *arguments: str, folder: Path, environment: Mapping[str, str], output: Path
) -> "subprocess.Popen[bytes]":
    with output.open("ab") as written:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *arguments],
            env=dict(environment),
            cwd=folder,
            stdout=written,
            stderr=subprocess.STDOUT,
        )


def heddle(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, with its data in the folder."""
    (folder / "ran").mkdir(exist_ok=True)
    number = len(list((folder / "ran").iterdir()))
    stdout, stderr = folder / "ran" / f"{number}.stdout", folder / "ran" / f"{number}.stderr"
    known = {**os.environ, "HEDDLE_DATA_DIR": str(folder / "data"), **environment}
    command = ForkedCommand(*arguments, folder=folder, environment=known, stdout=stdout, stderr=stderr)
    try:
        code = command.wait(TIMEOUT_S)
    finally:
        command.kill()
    return subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())


def _run(
    arguments: tuple[str, ...], folder: str, environment: dict[str, str], stdout: str, stderr: str
) -> None:
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(written, descriptor)
        os.close(written)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["heddle", *arguments]
    main()
