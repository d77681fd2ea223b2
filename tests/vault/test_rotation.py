"""New keys for everything that is sealed, while other processes read and write it."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from gateway.migrations import migrate
from kit.clock import ManualClock
from kit.db import Database, parse_database_url
from tests.vault.test_vault import OWNER, key_text
from vault import rotation
from vault.envelope import Envelope
from vault.key_file import KeyFile
from vault.keyring import KeyRing
from vault.models import Secret
from vault.rotation import check_all, count_by_version, reseal, rotate
from vault.store import Vault


async def heddle(url: str, key_file: Path, *command: str) -> tuple[int, str]:
    """Run ``heddle vault``; its exit status and what it printed."""
    environment = {
        **os.environ,
        "HEDDLE_DATABASE_URL": url,
        "HEDDLE_VAULT_KEY_FILE": str(key_file),
        "HEDDLE_DATA_DIR": str(key_file.parent),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        "vault",
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, printed.decode()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


@pytest.mark.timeout(300)
async def test_keys_are_rotated_under_four_busy_processes(empty_database_url: str, tmp_path: Path) -> None:
    url, key_file = empty_database_url, tmp_path / "vault.key"
    migrate(parse_database_url(url))
    KeyFile.generate(key_file)
    async with AsyncExitStack() as stack:
        busy = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.vault.busy",
                url,
                str(key_file),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            for _ in range(4)
        ]
        for process in busy:
            stack.callback(partial(_kill, process))
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 60) == b"working\n"
        keys = KeyFile(key_file)
        status, printed = await heddle(url, key_file, "rotate")
        assert (status, "anew under v2; 0 are not" in printed) == (0, True), printed
        keys.reloaded()
        assert keys.add_key() == "v3"
        db = Database(url)
        assert (await rotate(db, keys, settle_s=2, each=lambda _: None)).left == 0
        for old in ("v1", "v2"):
            keys.drop_key(old)  # and those who have it in memory seal nothing with it any more
        for process in busy:
            rounds, errors = await asyncio.wait_for(process.communicate(b""), 120)
            assert process.returncode == 0, errors.decode()[-2000:]
            assert int(rounds) > 20
    assert await check_all(db, keys, each=lambda _: None) == []
    assert await count_by_version(db) == {"v3": 80}
    await db.close()


async def test_the_commands_say_what_they_see(sqlite_url: str, tmp_path: Path, clock: ManualClock) -> None:
    migrate(parse_database_url(sqlite_url))
    db, key_file = Database(sqlite_url), tmp_path / "vault.key"
    vault = Vault(db, KeyFile.generate(key_file), clock)
    await db.write(partial(vault.seal, **OWNER, plaintext=b"canary"))
    KeyFile(key_file).add_key()
    await db.close()
    KeyFile.generate(tmp_path / "other.key")
    told = await asyncio.gather(
        heddle(sqlite_url, key_file, "status"),
        heddle(sqlite_url, key_file, "check"),
        heddle(sqlite_url, key_file, "drop-key", "v1"),
        heddle(sqlite_url, tmp_path / "other.key", "check"),
    )
    assert [status for status, _ in told] == [0, 0, 2, 1]
    for (_, printed), expected in zip(
        told,
        (
            "v1: 1 secrets",
            "every secret opens",
            "v1 still seals 1 secrets",
            f"tokens of account {OWNER['account_id']}): a sealed secret does not open",
        ),
        strict=True,
    ):
        assert expected in printed and "canary" not in printed, printed


async def test_a_value_written_meanwhile_is_not_overwritten(
    db: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = KeyRing.parse(f"{key_text('v2', 2)},{key_text('v1')}")
    old, new = Vault(db, KeyRing.parse(key_text("v1")), clock), Vault(db, both, clock)
    secret_id = await db.write(lambda session: old.seal(session, **OWNER, plaintext=b"before"))

    write = rotation._replace

    async def late(db: Database, anew: list[tuple[Secret, Envelope]]) -> int:
        await db.write(lambda session: old.replace(session, secret_id, **OWNER, plaintext=b"meanwhile"))
        return await write(db, anew)

    monkeypatch.setattr(rotation, "_replace", late)
    assert (await reseal(db, both, each=lambda _: None))[0] == 0
    monkeypatch.setattr(rotation, "_replace", write)
    assert await new.open(secret_id, **OWNER) == b"meanwhile"
    assert (await reseal(db, both, each=lambda _: None))[0] == 1
    assert await count_by_version(db) == {"v2": 1}
    assert await new.open(secret_id, **OWNER) == b"meanwhile"


async def test_what_does_not_open_is_named_and_left(db: Database, clock: ManualClock) -> None:
    both = KeyRing.parse(f"{key_text('v2', 2)},{key_text('v1')}")
    old = Vault(db, KeyRing.parse(key_text("v1")), clock)
    other = Vault(db, KeyRing.parse(key_text("v1", 9)), clock)
    good = await db.write(lambda session: old.seal(session, **OWNER, plaintext=b"good"))
    bad = await db.write(lambda session: other.seal(session, **OWNER, plaintext=b"bad"))
    assert [fault.secret_id for fault in await check_all(db, both, each=lambda _: None)] == [bad]
    done, faults = await reseal(db, both, each=lambda _: None)
    assert (done, [fault.secret_id for fault in faults]) == (1, [bad])
    assert await Vault(db, both, clock).open(good, **OWNER) == b"good"
    assert await other.open(bad, **OWNER) == b"bad"  # with its own key it opens still
