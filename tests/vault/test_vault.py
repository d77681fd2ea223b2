"""Sealing: what goes in comes out for its owner, and for nobody and nothing else."""

import base64
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlmodel import Session, col, select, update

from kit.clock import ManualClock
from kit.db import Database
from vault.envelope import Binding, Envelope, seal, unseal
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


FIELDS = ("id", "account_id", "owner", "purpose", "key_version", "wrapped_key", "sealed")


@pytest.mark.parametrize("field", ["account_id", "owner", "purpose"])
async def test_a_secret_does_not_open_for_another(db: Database, vault: Vault, field: str) -> None:
    secret_id = await put(db, vault)
    with pytest.raises(SecretTampered):
        await vault.open(secret_id, **{**OWNER, field: "other"})


async def test_a_row_that_was_changed_in_the_database_does_not_open(db: Database, clock: ManualClock) -> None:
    """Whoever can write to the database can move and change rows, and gains nothing by it."""
    same_key_twice = Vault(db, KeyRing.parse(f"{key_text('v1')},{key_text('v2')}"), clock)
    for field in FIELDS:
        secret_id = await put(db, same_key_twice)
        changed: Any = {"id": f"{secret_id}x", "key_version": "v2"}.get(field, "other")
        if field in {"wrapped_key", "sealed"}:
            other = await put(db, same_key_twice, b"canary-oauth-token-4712")
            async with db.session() as session:
                changed = getattr(await session.get_one(Secret, other), field)
        change = update(Secret).where(col(Secret.id) == secret_id).values({field: changed})
        await db.write(partial(_run, change))
        stolen = {**OWNER, field: changed} if field in OWNER else OWNER
        with pytest.raises(SecretTampered):
            await same_key_twice.open(changed if field == "id" else secret_id, **stolen)


def _run(statement: Any, session: Session) -> None:
    session.exec(statement)


def _with(envelope: Envelope, field: str, value: bytes) -> Envelope:
    changes: dict[str, Any] = {field: value}
    return replace(envelope, **changes)


def test_every_bit_of_an_envelope_counts() -> None:
    ring, binding = KeyRing.parse(key_text("v1")), Binding("acct_1", "conn_1", "tokens", "sec_1")
    envelope = seal(PLAINTEXT, binding, ring)
    assert unseal(envelope, binding, ring) == PLAINTEXT
    for field in ("wrapped_key", "sealed"):
        value: bytes = getattr(envelope, field)
        for bit in range(8 * len(value)):
            flipped = bytearray(value)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SecretTampered):
                unseal(_with(envelope, field, bytes(flipped)), binding, ring)
        for cut in (0, 11, 12, len(value) - 1):
            with pytest.raises(SecretTampered):
                unseal(_with(envelope, field, value[:cut]), binding, ring)


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
