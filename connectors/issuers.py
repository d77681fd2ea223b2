"""Which authorization server an answer is from, and what becomes of tokens when a server has another one."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, update

from connectors.connections import OAUTH
from connectors.models import Connection, ConnectSession


def expire_of_other_issuers(session: Session, row: ConnectSession, now_ms: int) -> None:
    """The connector's server has another authorization server now, somebody has just connected there: what
    the old one gave out is not shown to it any more. Tokens of servers that are still listed stay."""
    listed = (row.flow or {}).get("listed")
    if listed is None:
        return
    session.exec(
        update(Connection)
        .where(
            col(Connection.account_id) == row.account_id,
            col(Connection.connector) == row.connector,
            col(Connection.kind) == OAUTH,
            col(Connection.status) == "active",
            col(Connection.oauth)["issuer"].as_string().not_in(listed),
        )
        .values(status="expired", updated_at=now_ms)
        .execution_options(synchronize_session=False)
    )


def mixed_up(flow: Mapping[str, Any], iss: str | None) -> bool:
    """Whether the answer is not from the server that was asked. A vendor with given endpoints has no
    identifier to compare."""
    if flow["issuer"] is None:
        return False
    return iss != flow["issuer"] if iss is not None else bool(flow["sends_iss"])
