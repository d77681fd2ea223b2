"""The real browser of the browser tests: Debian's Chromium, or one that is installed already.

``python -m tests.chromium`` (``make test`` runs it) installs it where that can be done, and else says how.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTING = "HEDDLE_TEST_CHROMIUM"
HOW = (
    "the browser tests need Chromium: install it ('apt-get install chromium' as root, or your own system's), "
    f"or set {SETTING} to the path of an executable"
)
INSTALL = (
    ["apt-get", "update", "-q"],
    ["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"],
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Without these, the browser itself asks for hosts of its maker; without a sandbox it runs as root too."""


def find() -> str | None:
    return os.environ.get(SETTING) or next(filter(None, map(shutil.which, NAMES)), None)


def executable() -> str:
    """Raises RuntimeError that says what to install."""
    found = find()
    if found is None:
        raise RuntimeError(HOW)
    return found


def main() -> int:
    if find() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in INSTALL:
            subprocess.run(command, env=environment, check=False, stdout=sys.stderr)
    if find() is None:
        print(HOW, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
