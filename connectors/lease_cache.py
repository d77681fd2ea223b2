"""Opened credentials, kept for a few seconds: a tool call then needs neither the database nor the vault.

Invariants, beside those of ``kit.brief_cache``:
- none is kept into the time in which its token is to be refreshed;
- what this process learns of a connection (new tokens, a 401, its end) drops it at once, also if it is being
  read just then. Other processes go on for at most ``MAX_AGE_MS``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kit.brief_cache import BriefCache


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


class LeaseCache(BriefCache[ConnectionKey, Credential]):
    """By whose account it is; dropped by the connection that it belongs to."""

    def drop_connection(self, connection_id: str) -> None:
        self.drop_where(lambda credential: credential.connection_id == connection_id)
