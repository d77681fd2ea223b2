"""The key file: one key a line, ``version:base64``, newest first, readable by its owner only.

With a key management service a line is ``version:<scheme>:base64``: the key as the service has wrapped it, so
that the file alone opens nothing. Processes read the file again when it has changed.
"""

import base64
import logging
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Protocol

from vault.keyring import KEY_BYTES, BadKeyRing, KeyRing, decoded, entries

logger = logging.getLogger("heddle.vault")

LOOK_EVERY_S = 1.0
"""How often a process looks whether the file has changed."""


class KeyWrapper(Protocol):
    """A key management service: it wraps the vault's keys, and never sees a secret."""

    scheme: str
    """Names it in the key file; letters, digits and hyphens."""

    def new_key(self, version: str) -> tuple[bytes, bytes]:
        """A new key, in clear and wrapped; the wrapping covers the version. Raises BadKeyRing."""
        ...

    def unwrap(self, version: str, wrapped: bytes) -> bytes:
        """Raises BadKeyRing."""
        ...


class KeyFile:
    """A ``KeyProvider``. Its keys are wrapped if there is a ``wrapper``; keys in clear are read as well, so
    that an installation can move to the service."""

    def __init__(self, path: Path, wrapper: KeyWrapper | None = None) -> None:
        """Reads the file. Raises BadKeyRing."""
        self.path = path
        self._wrapper = wrapper
        self._opened: dict[tuple[str, str], bytes] = {}
        self._looked_at = time.monotonic()
        self._seen = _fingerprint(path)
        self._ring = self._read()

    @classmethod
    def generate(cls, path: Path, wrapper: KeyWrapper | None = None) -> "KeyFile":
        """Make the file with a first key. Raises BadKeyRing if it exists."""
        _write(path, [_new_line("v1", wrapper)], exclusive=True)
        return cls(path, wrapper)

    def current(self) -> KeyRing:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            seen = _fingerprint(self.path)
            if seen != self._seen and seen is not None:
                self._reload()
        return self._ring

    def reloaded(self) -> KeyRing:
        self._reload()
        return self._ring

    def add_key(self) -> str:
        """Put a new key on top; returns its version. Raises BadKeyRing."""
        lines = entries(self._text())
        number = 1 + len(lines)
        while f"v{number}" in lines:
            number += 1
        version = f"v{number}"
        kept = [f"{name}:{value}" for name, value in lines.items()]
        _write(self.path, [_new_line(version, self._wrapper), *kept])
        self._ring, self._seen = self._read(), _fingerprint(self.path)
        return version

    def drop_key(self, version: str) -> None:
        """Take a key out of the file. Raises BadKeyRing for the newest, and one that is not there."""
        lines = entries(self._text())
        if version not in lines:
            raise BadKeyRing(f"{self.path} has no key {version}")
        if version == next(iter(lines)):
            raise BadKeyRing(f"{version} is the newest key: secrets are being sealed with it")
        _write(self.path, [f"{name}:{value}" for name, value in lines.items() if name != version])
        self._ring, self._seen = self._read(), _fingerprint(self.path)

    def _reload(self) -> None:
        seen = _fingerprint(self.path)
        try:
            self._ring = self._read()
        except BadKeyRing as error:
            logger.error("the vault goes on with the keys that it has: %s", error)
            return
        if seen != self._seen:
            logger.info("the vault's key file has changed; its keys are %s", self._ring.versions)
        self._seen = seen

    def _read(self) -> KeyRing:
        try:
            found = entries(self._text())
            return KeyRing({version: self._open(version, value) for version, value in found.items()})
        except BadKeyRing as error:
            if str(self.path) in str(error):
                raise
            raise BadKeyRing(f"{self.path}: {error}") from None

    def _text(self) -> str:
        try:
            mode = self.path.stat().st_mode
            text = self.path.read_text(encoding="ascii")
        except OSError as error:
            raise BadKeyRing(f"cannot read the vault key file {self.path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadKeyRing(
                f"the vault key file {self.path} is not a text of version:base64 lines"
            ) from None
        if stat.S_IMODE(mode) & 0o077:
            raise BadKeyRing(f"the vault key file {self.path} is open to others; run: chmod 600 {self.path}")
        return text

    def _open(self, version: str, value: str) -> bytes:
        """A key in clear; what a service has unwrapped once is remembered."""
        scheme, colon, wrapped = value.partition(":")
        if not colon:
            return decoded(version, value)
        if self._wrapper is None or scheme != self._wrapper.scheme:
            raise BadKeyRing(f"vault key {version} is wrapped by {scheme[:32]}, which is not configured")
        if (version, value) not in self._opened:
            self._opened[version, value] = self._wrapper.unwrap(version, decoded(version, wrapped))
        return self._opened[version, value]


def _new_line(version: str, wrapper: KeyWrapper | None) -> str:
    if wrapper is None:
        return f"{version}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
    _, wrapped = wrapper.new_key(version)
    return f"{version}:{wrapper.scheme}:{base64.b64encode(wrapped).decode()}"


def _write(path: Path, lines: list[str], *, exclusive: bool = False) -> None:
    """All of it or nothing: a reader never sees half a file, and a crash leaves the old one."""
    made = path if exclusive else path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if not exclusive:
            os.replace(made, path)
    except OSError as error:
        raise BadKeyRing(f"cannot write the vault key file {path}: {error.strerror}") from None


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """None for a file that cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
