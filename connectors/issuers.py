"""Which authorization server an answer is from, and what becomes of tokens when a server has another one."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select

from connectors.connections import OAUTH
from connectors.models import Connection, ConnectSession
from connectors.status import ENDED, EXPIRED, set_status


def expire_of_other_issuers(session: Session, row: ConnectSession, now_ms: int) -> None:
    """The connector's server has another authorization server now, somebody has just connected there: what
    the old one gave out is not shown to it any more. Tokens of servers that are still listed stay."""
    listed = (row.flow or {}).get("listed")
    if listed is None:
        return
    theirs = (
        select(Connection)
        .where(
            Connection.account_id == row.account_id,
            Connection.connector == row.connector,
            Connection.kind == OAUTH,
            col(Connection.status).not_in(ENDED),
            col(Connection.oauth)["issuer"].as_string().not_in(listed),
        )
        .order_by(col(Connection.id))
        .with_for_update()
    )
    for connection in session.exec(theirs).all():
        set_status(session, connection, EXPIRED, "issuer_changed", now_ms)


def mixed_up(flow: Mapping[str, Any], iss: str | None) -> bool:
    """Whether the answer is not from the server that was asked. A vendor with given endpoints has no
    identifier to compare."""
    if flow["issuer"] is None:
        return False
    return iss != flow["issuer"] if iss is not None else bool(flow["sends_iss"])
