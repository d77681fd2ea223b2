"""The points themselves: all are reached by a scenario, a wrong name is told at the start."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.serve import run_serve
from gateway.settings import BadSettings, Settings
from kit.crash_points import POINTS, VARIABLE, BadCrashPoint, arm
from tests.crash import test_calls, test_money, test_refresh, test_turns

DYING = """
import threading
from kit.crash_points import arm, reach
arm("billing.hold.committed:3")
for number in (1, 2, 3):
    print(number, flush=True)
    reach("billing.hold.queued")
    thread = threading.Thread(target=reach, args=("billing.hold.committed",))
    thread.start()
    thread.join()
print("alive", flush=True)
"""


def test_each_point_kills_in_some_scenario() -> None:
    """Each scenario asserts that its process died at its point, and of nothing else."""
    assert test_calls.POINTS | test_turns.POINTS | test_money.POINTS | test_refresh.POINTS == POINTS


def test_the_process_dies_the_nth_time_in_whichever_thread() -> None:
    ended = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-9, "1\n2\n3\n", "")


@pytest.mark.parametrize("wrong", ["billing.hold.comitted", "billing.hold.committed:0", "turn.end.applied:x"])
def test_a_point_that_does_not_exist_is_an_error_at_the_start(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadCrashPoint):
        arm(wrong)
    monkeypatch.setenv(VARIABLE, wrong)
    with pytest.raises(BadSettings, match=VARIABLE):
        run_serve(Settings(data_dir=tmp_path), on_ready=lambda _: None)
