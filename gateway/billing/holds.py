"""Holds whose call will never settle: their money goes back to the wallet's free part."""

from sqlalchemy import ColumnElement, delete, select, update
from sqlmodel import Session

from gateway.accounts.end_users import end_user_row_id
from gateway.billing.tables import HOLD, SPEND, WALLET


def reap_holds(session: Session, *, expired_before: int, except_owner: str | None) -> int:
    """Release holds past their expiry, or (``except_owner``) all holds of processes other than this one.

    Returns how many were released. The money goes back to the wallet's free part; a call that settles
    after all is still charged.
    """
    stale = HOLD.c.expires_at <= expired_before
    if except_owner is not None:
        stale = stale | (HOLD.c.owner != except_owner)
    return _release(session, stale)


def release_hold(session: Session, request_id: str) -> None:
    """Release the hold of one call, whose process is known to be gone; nothing happens if there is none."""
    _release(session, HOLD.c.id == request_id)


def _release(session: Session, stale: ColumnElement[bool]) -> int:
    connection = session.connection()
    accounts = sorted(connection.execute(select(HOLD.c.account_id).where(stale).distinct()).scalars())
    released = 0
    for account_id in accounts:
        lock = select(WALLET.c.held_nanos).where(WALLET.c.account_id == account_id).with_for_update()
        connection.execute(lock).scalar_one()
        rows = connection.execute(
            select(HOLD.c.id, HOLD.c.key_id, HOLD.c.end_user_id, HOLD.c.amount_nanos).where(
                HOLD.c.account_id == account_id, stale
            )
        ).all()
        for hold_id, key_id, end_user_id, amount in rows:
            subjects = [key_id]
            if end_user_id is not None:
                subjects.append(end_user_row_id(account_id, end_user_id))
            connection.execute(delete(HOLD).where(HOLD.c.id == hold_id))
            connection.execute(
                update(WALLET)
                .where(WALLET.c.account_id == account_id)
                .values(held_nanos=WALLET.c.held_nanos - amount)
            )
            connection.execute(
                update(SPEND)
                .where(SPEND.c.subject.in_(subjects))
                .values(held_nanos=SPEND.c.held_nanos - amount)
            )
        released += len(rows)
    return released
