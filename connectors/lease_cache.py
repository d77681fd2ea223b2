"""Opened credentials, kept for a few seconds: a tool call then needs neither the database nor the vault.

Invariants:
- at most ``MAX_ENTRIES`` are kept, each for at most ``MAX_AGE_MS`` and never into the time in which its token
  is to be refreshed;
- what this process learns of a connection (new tokens, a 401, its end) drops it at once, also if it is being
  read just then. Other processes go on for at most ``MAX_AGE_MS``;
- nothing here shows a credential.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_ENTRIES = 1_000
MAX_AGE_MS = 5_000


class ConnectionKey(NamedTuple):
    """Whose account at which vendor; ``label`` tells several of one end user apart."""

    account_id: str
    connector: str
    end_user_id: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request must carry to act as the end user."""

    connection_id: str
    generation: int
    headers: Mapping[str, str] = field(repr=False)
    api_url: str | None = None
    """Where this account's API is, for vendors whose API built-in tools use."""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What else the vendor's API wants to know, such as QuickBooks' ``realmId``."""


class _Kept(NamedTuple):
    credential: Credential
    since_ms: int
    until_ms: int


class LeaseCache:
    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_age_ms: int = MAX_AGE_MS) -> None:
        self._max_entries = max_entries
        self._max_age_ms = max_age_ms
        self._kept: OrderedDict[ConnectionKey, _Kept] = OrderedDict()
        self._keys: dict[str, ConnectionKey] = {}
        self.drops = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: ConnectionKey, now_ms: int) -> Credential | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not kept.since_ms <= now_ms < kept.until_ms:  # a clock that was set back ends it, too
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.credential

    def put(
        self, key: ConnectionKey, credential: Credential, *, now_ms: int, usable_until: int | None, drops: int
    ) -> None:
        """Keep it, unless something was dropped since ``drops`` was read, before the credential itself was.

        ``usable_until``: Unix milliseconds, if it has an end.
        """
        until_ms = now_ms + self._max_age_ms
        if usable_until is not None:
            until_ms = min(until_ms, usable_until)
        if drops != self.drops or until_ms <= now_ms:
            return
        self._forget(key)
        while len(self._kept) >= self._max_entries:
            self._forget(next(iter(self._kept)))
        self._kept[key] = _Kept(credential, now_ms, until_ms)
        self._keys[credential.connection_id] = key

    def drop(self, connection_id: str) -> None:
        self.drops += 1
        key = self._keys.get(connection_id)
        if key is not None:
            self._forget(key)

    def _forget(self, key: ConnectionKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._keys.pop(kept.credential.connection_id, None)
