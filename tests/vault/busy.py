"""A process that goes on sealing, replacing and opening secrets until it is told to stop (end of stdin).

Arguments: database URL, key file. Prints ``working`` once it does, and at the end how often it did."""

import asyncio
import random
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from kit.clock import SystemClock
from kit.db import Database
from vault.key_file import KeyFile
from vault.store import Vault

KEPT = 20


async def work(database_url: str, key_file: str, stopped: threading.Event) -> int:
    db = Database(database_url)
    vault = Vault(db, KeyFile(Path(key_file)), SystemClock())
    about: dict[str, Any] = {"account_id": "acct_1", "owner": "busy", "purpose": "tokens"}
    values: dict[str, bytes] = {}
    rounds = 0
    while not stopped.is_set():
        value = random.randbytes(40)
        if len(values) < KEPT:
            secret_id = await db.write(partial(vault.seal, **about, plaintext=value))
        else:
            secret_id = random.choice(list(values))
            replacing = partial(vault.replace, secret_id=secret_id, **about, plaintext=value)
            await db.write(replacing)
        values[secret_id] = value
        chosen = random.choice(list(values))
        assert await vault.open(chosen, **about) == values[chosen]
        rounds += 1
        await asyncio.sleep(0.02)
        if rounds == 1:
            print("working", flush=True)
    for secret_id, value in values.items():
        assert await vault.open(secret_id, **about) == value
    await db.close()
    return rounds


def main() -> None:
    stopped = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print(asyncio.run(work(sys.argv[1], sys.argv[2], stopped)))


if __name__ == "__main__":
    main()
