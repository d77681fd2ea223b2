"""How a connection stands, and what its account's subscribers are told of it.

``active``; ``expired``: its time ran out, and the vendor gives no new token; ``revoked``: the vendor ended it
before its time, or it was deleted here; ``error``: the vendor refuses Heddle itself, which connecting again
would not mend, so it is tried again by itself. What has ended is over until the end user connects again.
"""

from typing import Any, Final, Literal

from sqlmodel import Session

from connectors.models import Connection
from kit.outbox import record_event
from kit.writer import touch

Status = Literal["active", "expired", "revoked", "error"]
ACTIVE: Final = "active"
EXPIRED: Final = "expired"
REVOKED: Final = "revoked"
ERROR: Final = "error"
ENDED: frozenset[str] = frozenset({EXPIRED, REVOKED})
Reason = Literal[
    "grant_refused",  # the vendor says that the grant is over
    "refresh_interrupted",  # the same, after a refresh whose answer was lost
    "no_refresh_token",  # the vendor gave none, and the access token is over
    "key_refused",  # a pasted key
    "client_refused",  # the vendor does not accept Heddle as a client (any more)
    "vendor_refused",  # any other refusal
    "connector_removed",  # its MCP server is not there any more
    "issuer_changed",  # its MCP server trusts another authorization server now
]
REFRESH_REASONS: frozenset[str | None] = frozenset(
    {"grant_refused", "refresh_interrupted", "client_refused", "vendor_refused"}
)
"""What tokens that come late disprove."""


def set_status(session: Session, row: Connection, status: Status, reason: Reason | None, now_ms: int) -> None:
    """Change the status, and tell of it in the same transaction; nothing happens if it is so already."""
    if (row.status, row.status_reason) == (status, reason):
        return
    row.status, row.status_reason, row.updated_at = status, reason, now_ms
    session.add(row)
    tell(session, row, "recovered" if status == ACTIVE else status, now_ms, reason=reason)


def tell(session: Session, row: Connection, what: str, now_ms: int, **more: Any) -> None:
    """Record the event ``connection.{what}``, and have those told who watch what the account has."""
    touch(session, row.account_id)
    data = {
        "connection_id": row.id,
        "connector": row.connector,
        "end_user_id": row.end_user_id,
        "label": row.label,
        **more,
    }
    record_event(session, row.account_id, f"connection.{what}", data, now_ms=now_ms)
