"""Holds whose call will never settle: their money goes back to the wallet's free part.

A call that settles after all is still charged, as far as the wallet and the caps allow.
"""

from sqlalchemy import ColumnElement, delete, select, update
from sqlmodel import Session

from gateway.accounts.end_users import end_user_row_id
from gateway.billing.liveness import forget_the_dead, of_the_dead
from gateway.billing.tables import HOLD, SPEND, WALLET


def reap_holds(
    session: Session, *, expired_before: int, except_owner: str | None, unseen_since: int | None = None
) -> int:
    """Release holds past their expiry, or (``except_owner``) all holds of processes other than this one, or
    (``unseen_since``) those of processes that have not been seen since. Returns how many were released."""
    stale: ColumnElement[bool] = HOLD.c.expires_at <= expired_before
    if except_owner is not None:
        stale = stale | (HOLD.c.owner != except_owner)
    if unseen_since is not None:
        stale = stale | of_the_dead(unseen_since)
    released = _release(session, stale)
    if unseen_since is not None:
        forget_the_dead(session, unseen_since)
    return released


def release_hold(session: Session, request_id: str) -> None:
    """Release the hold of one call, if it has one."""
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
