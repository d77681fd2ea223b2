"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import HeddleProcess


@pytest.fixture
def heddle(tmp_path: Path) -> Iterator[HeddleProcess]:
    process = HeddleProcess(tmp_path)
    process.start()
    yield process
    process.close()
