"""Imported by the process that the doomed ones are forked off: one whole start and stop, so that each of them
finds everything loaded that a start loads. No thread is left when it is over."""

import tempfile
from pathlib import Path

from gateway.serve import run_serve
from gateway.settings import Settings

with tempfile.TemporaryDirectory() as _folder:
    run_serve(Settings(data_dir=Path(_folder), port=0, sim="off"), on_ready=lambda serving: serving.stop())
