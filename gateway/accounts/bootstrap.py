"""The first start: one account with a wallet, its starter credit and an admin key."""

from dataclasses import dataclass, field
from decimal import Decimal

from sqlmodel import Session, col, select

from gateway.accounts.keys import ApiKeys, NewKey, hash_secret
from gateway.accounts.models import Account, ApiKey
from gateway.billing.billing import Billing
from gateway.billing.models import Wallet
from kit.clock import Clock
from kit.db import Database, one_at_a_time
from kit.ids import new_id
from kit.money import nanos_from_usd

FIRST_ACCOUNT_NAME = "My account"


@dataclass(frozen=True)
class Bootstrapped:
    """``new_admin_key`` is set only when this start generated one: show it once."""

    account_id: str
    new_admin_key: str | None = field(default=None, repr=False)


async def bootstrap(
    db: Database,
    clock: Clock,
    keys: ApiKeys,
    billing: Billing,
    *,
    admin_key: str | None,
    starter_credit_usd: Decimal,
) -> Bootstrapped:
    """Make sure that there is an account, and that ``admin_key`` (if given) opens it. Safe to repeat."""

    def write(session: Session) -> tuple[str, str | None]:
        one_at_a_time(session.connection(), "bootstrap")
        account = session.exec(
            select(Account).where(col(Account.test_of).is_(None)).order_by(col(Account.created_at))
        ).first()
        generated: str | None = None
        is_new = account is None
        if account is None:
            account = Account(id=new_id("acct"), name=FIRST_ACCOUNT_NAME, created_at=clock.now_ms())
            session.add(account)
            session.flush()
            session.add(Wallet(account_id=account.id))
        if admin_key is not None or is_new:
            known = (
                admin_key is not None
                and session.exec(
                    select(ApiKey.id).where(ApiKey.secret_sha256 == hash_secret(admin_key))
                ).first()
            )
            if not known:
                row, secret = keys.new_row(account.id, NewKey("bootstrap admin", "admin"), admin_key)
                session.add(row)
                generated = None if admin_key is not None else secret
        return account.id, generated

    account_id, generated = await db.write(write)
    credit = nanos_from_usd(starter_credit_usd)
    if credit > 0:
        await billing.credit(
            account_id, credit, kind="credit", entry_id="starter-credit", reference="starter credit"
        )
    return Bootstrapped(account_id, generated)
