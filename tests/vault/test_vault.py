"""Sealing: what goes in comes out for its owner, and for nobody and nothing else."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from kit.clock import ManualClock
from kit.db import Database
from vault.keyring import BadKeyRing, KeyRing
from vault.models import Secret
from vault.store import SecretNotFound, SecretTampered, Vault

PLAINTEXT = b"canary-oauth-token-4711"
OWNER: dict[str, Any] = {"account_id": "acct_1", "owner": "conn_1", "purpose": "tokens"}


def key_text(version: str, byte: int = 1) -> str:
    return f"{version}:{base64.b64encode(bytes([byte]) * 32).decode()}"


@pytest.fixture
def vault(db: Database, clock: ManualClock) -> Vault:
    return Vault(db, KeyRing.parse(key_text("v1")), clock)


async def put(db: Database, vault: Vault, plaintext: bytes = PLAINTEXT) -> str:
    return await db.write(lambda session: vault.seal(session, **OWNER, plaintext=plaintext))


async def test_a_secret_opens_for_its_owner(db: Database, vault: Vault) -> None:
    secret_id = await put(db, vault)
    assert await vault.open(secret_id, **OWNER) == PLAINTEXT


async def test_the_row_holds_nothing_in_clear_and_its_repr_neither(db: Database, vault: Vault) -> None:
    await put(db, vault)
    async with db.session() as session:
        row = (await session.exec(select(Secret))).one()
    assert PLAINTEXT not in row.sealed + row.wrapped_key
    assert repr(row.sealed) not in repr(row)


@pytest.mark.parametrize("field", ["account_id", "owner", "purpose"])
async def test_a_secret_does_not_open_for_another(db: Database, vault: Vault, field: str) -> None:
    secret_id = await put(db, vault)
    with pytest.raises(SecretTampered):
        await vault.open(secret_id, **{**OWNER, field: "other"})


@pytest.mark.parametrize("field", ["wrapped_key", "sealed"])
@pytest.mark.parametrize("position", [0, 11, 12, 20, -1])
async def test_a_flipped_bit_is_noticed(db: Database, vault: Vault, field: str, position: int) -> None:
    secret_id = await put(db, vault)

    def flip(session: Session) -> None:
        row = session.get(Secret, secret_id)
        assert row is not None
        value = bytearray(getattr(row, field))
        value[position] ^= 1
        setattr(row, field, bytes(value))
        session.add(row)

    await db.write(flip)
    with pytest.raises(SecretTampered):
        await vault.open(secret_id, **OWNER)


async def test_a_row_copied_to_another_id_does_not_open(db: Database, vault: Vault) -> None:
    secret_id = await put(db, vault)

    def copy(session: Session) -> None:
        row = session.get(Secret, secret_id)
        assert row is not None
        session.add(Secret(**{**row.model_dump(), "id": "sec_copy"}))

    await db.write(copy)
    with pytest.raises(SecretTampered):
        await vault.open("sec_copy", **OWNER)


async def test_an_older_key_still_opens_and_a_replaced_value_moves_to_the_newest(
    db: Database, vault: Vault, clock: ManualClock
) -> None:
    secret_id = await put(db, vault)
    newer = Vault(db, KeyRing.parse(f"{key_text('v2', 2)},{key_text('v1')}"), clock)
    assert await newer.open(secret_id, **OWNER) == PLAINTEXT
    await db.write(lambda session: newer.replace(session, secret_id, **OWNER, plaintext=b"new"))
    assert await newer.open(secret_id, **OWNER) == b"new"
    with pytest.raises(SecretTampered, match="v2"):
        await vault.open(secret_id, **OWNER)


async def test_a_wrong_key_does_not_open(db: Database, vault: Vault, clock: ManualClock) -> None:
    secret_id = await put(db, vault)
    with pytest.raises(SecretTampered):
        await Vault(db, KeyRing.parse(key_text("v1", 9)), clock).open(secret_id, **OWNER)


async def test_a_forgotten_secret_is_gone(db: Database, vault: Vault) -> None:
    secret_id = await put(db, vault)
    await db.write(lambda session: vault.forget(session, secret_id))
    with pytest.raises(SecretNotFound):
        await vault.open(secret_id, **OWNER)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no key"),
        ("abc", "version:base64"),
        ("v1:!!!", "not valid base64"),
        ("v1:AAAA", "3 bytes"),
        (f"{key_text('v1')},{key_text('v1')}", "twice"),
    ],
)
def test_bad_key_rings_are_refused_without_showing_them(text: str, complaint: str) -> None:
    with pytest.raises(BadKeyRing, match=complaint) as refusal:
        KeyRing.parse(text)
    assert "AAAA" not in str(refusal.value)


def test_a_key_file_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    made = KeyRing.generate_file(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert KeyRing.from_file(path).key("v1") == made.key("v1")
    assert "v1" in repr(made)
    with pytest.raises(BadKeyRing, match="cannot write"):
        KeyRing.generate_file(path)


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    KeyRing.generate_file(path)
    path.chmod(0o644)
    with pytest.raises(BadKeyRing, match="chmod 600"):
        KeyRing.from_file(path)
    with pytest.raises(BadKeyRing, match="cannot read"):
        KeyRing.from_file(tmp_path / "absent")
