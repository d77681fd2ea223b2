"""The key-encryption keys: several versions, the newest first; it wraps, all of them unwrap."""

import base64
import binascii
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

KEY_BYTES = 32
_VERSION = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class BadKeyRing(ValueError):
    """The keys cannot be used; the message is one line and holds no key."""


class KeyRing:
    """Versioned 256-bit keys. Never shows them."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise BadKeyRing("the vault has no key: expected version:base64 of 32 bytes")
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

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Keys as ``version:base64`` separated by commas or lines, newest first. Raises BadKeyRing."""
        keys: dict[str, bytes] = {}
        for entry in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
            version, colon, encoded = entry.partition(":")
            if not colon or not _VERSION.fullmatch(version):
                raise BadKeyRing("a vault key must look like version:base64, such as v1:…")
            try:
                key = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise BadKeyRing(f"vault key {version} is not valid base64") from None
            if len(key) != KEY_BYTES:
                raise BadKeyRing(f"vault key {version} has {len(key)} bytes, expected {KEY_BYTES}")
            if version in keys:
                raise BadKeyRing(f"vault key {version} is given twice")
            keys[version] = key
        return cls(keys)

    @classmethod
    def from_file(cls, path: Path) -> "KeyRing":
        """The keys in a file that only its owner may read. Raises BadKeyRing."""
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="ascii")
        except OSError as error:
            raise BadKeyRing(f"cannot read the vault key file {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadKeyRing(f"the vault key file {path} is not a text of version:base64 lines") from None
        if stat.S_IMODE(mode) & 0o077:
            raise BadKeyRing(f"the vault key file {path} is open to others; run: chmod 600 {path}")
        try:
            return cls.parse(text)
        except BadKeyRing as error:
            raise BadKeyRing(f"{path}: {error}") from None

    @classmethod
    def generate_file(cls, path: Path) -> "KeyRing":
        """Make a new key and store it, readable by its owner only. Raises BadKeyRing if it exists."""
        line = f"v1:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadKeyRing(f"cannot write the vault key file {path}: {error.strerror}") from None
        return cls.parse(line)
