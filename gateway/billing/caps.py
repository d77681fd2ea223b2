"""What may be set as a cap."""

from sqlalchemy import func, select
from sqlmodel import Session

from gateway.billing.periods import start_ms
from gateway.billing.tables import USAGE
from kit.errors import InvalidRequest
from kit.money import usd_text


def refuse_cap_below_spent(session: Session, key_id: str, cap_nanos: int, period: str, now_ms: int) -> None:
    """Raises InvalidRequest if the key has spent more than that in the current period."""
    query = select(func.coalesce(func.sum(USAGE.c.cost_nanos), 0)).where(
        USAGE.c.key_id == key_id, USAGE.c.created_at >= start_ms(period, now_ms)
    )
    spent = int(session.connection().execute(query).scalar_one())
    if spent > cap_nanos:
        raise InvalidRequest(
            f"max_spend_usd: this key has spent {usd_text(spent)} USD already in its current period "
            f"({period}); expected at least that. To stop it, revoke it",
            param="max_spend_usd",
        )
