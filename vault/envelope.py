"""The envelope: each secret under a data key of its own, that key wrapped by the key ring.

Both layers are AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front of the ciphertext, and
both authenticate the same associated data: account, owner, purpose, row id and key version. A value that
was changed, or moved to another row, account or purpose, does not open.
"""

import secrets
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.keyring import KEY_BYTES, KeyRing

NONCE_BYTES = 12


class SecretTampered(Exception):
    """A sealed secret does not open: it was changed or moved, or this is not its key."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a secret belongs to; part of the seal."""

    account_id: str
    owner: str
    purpose: str
    secret_id: str

    def associated_data(self, key_version: str) -> bytes:
        parts = ["heddle.v1", self.account_id, self.owner, self.purpose, self.secret_id, key_version]
        return msgspec.json.encode(parts)


@dataclass(frozen=True, slots=True)
class Envelope:
    key_version: str
    wrapped_key: bytes
    sealed: bytes


def seal(plaintext: bytes, binding: Binding, ring: KeyRing) -> Envelope:
    """Seal under a fresh data key, wrapped by the newest key of the ring."""
    version = ring.newest
    key = ring.key(version)
    assert key is not None
    data = binding.associated_data(version)
    data_key = secrets.token_bytes(KEY_BYTES)
    return Envelope(version, _encrypt(key, data_key, data), _encrypt(data_key, plaintext, data))


def unseal(envelope: Envelope, binding: Binding, ring: KeyRing) -> bytes:
    """The plaintext. Raises SecretTampered."""
    key = ring.key(envelope.key_version)
    if key is None:
        raise SecretTampered(f"the key ring has no key {envelope.key_version!r}")
    data = binding.associated_data(envelope.key_version)
    try:
        data_key = _decrypt(key, envelope.wrapped_key, data)
        return _decrypt(data_key, envelope.sealed, data)
    except (InvalidTag, ValueError):
        raise SecretTampered("a sealed secret does not open") from None


def _encrypt(key: bytes, plaintext: bytes, data: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, data)


def _decrypt(key: bytes, sealed: bytes, data: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], data)
