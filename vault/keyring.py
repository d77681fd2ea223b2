"""The key-encryption keys: several versions, the newest first; it wraps, all of them unwrap."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
VERSION = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class BadKeyRing(ValueError):
    """The keys cannot be used; the message is one line and holds no key."""


class KeyRing:
    """Versioned 256-bit keys. Never shows them."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise BadKeyRing("the vault has no key: expected version:base64 of 32 bytes")
        for version, key in keys.items():
            if len(key) != KEY_BYTES:
                raise BadKeyRing(f"vault key {version} has {len(key)} bytes, expected {KEY_BYTES}")
        self._keys = dict(keys)
        self.newest = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"KeyRing(versions={list(self._keys)})"

    @property
    def versions(self) -> list[str]:
        return list(self._keys)

    def key(self, version: str) -> bytes | None:
        """The key of a version, or None if this ring does not have it."""
        return self._keys.get(version)

    def derived(self, purpose: str) -> list[bytes]:
        """Keys of another purpose, newest first (HKDF-SHA256, RFC 5869): the same in every process that has
        this ring, and of no use for what lies in the vault."""
        return [
            HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(key)
            for key in self._keys.values()
        ]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Keys as ``version:base64`` separated by commas or lines, newest first. Raises BadKeyRing."""
        return cls({version: decoded(version, encoded) for version, encoded in entries(text).items()})

    # A ring that never changes is its own provider.

    def current(self) -> "KeyRing":
        return self

    def reloaded(self) -> "KeyRing":
        return self


class KeyProvider(Protocol):
    """Where the key ring comes from, and comes from again when it has changed."""

    def current(self) -> KeyRing:
        """The ring to seal with. Does not raise once it has been loaded: a source that cannot be read any
        more leaves the ring as it was."""
        ...

    def reloaded(self) -> KeyRing:
        """The same, read anew: a secret was sealed under a version that the ring does not have (yet)."""
        ...


def entries(text: str) -> dict[str, str]:
    """What stands behind each version, newest first. Raises BadKeyRing."""
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        version, colon, encoded = entry.partition(":")
        if not colon or not VERSION.fullmatch(version):
            raise BadKeyRing("a vault key must look like version:base64, such as v1:…")
        if version in found:
            raise BadKeyRing(f"vault key {version} is given twice")
        found[version] = encoded
    return found


def decoded(version: str, encoded: str) -> bytes:
    """Raises BadKeyRing."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise BadKeyRing(f"vault key {version} is not valid base64") from None
