"""The statements that billing reads and writes rows with, each made once."""

from sqlalchemy import bindparam, delete, func, select, update

from gateway.billing.tables import END_USER, HOLD, KEY, LEDGER, OUTBOX, RATE, SPEND, USAGE, WALLET
from kit.prepared import BulkInsert, OneOf, Prepared

SELECT_WALLETS = Prepared(
    select(
        WALLET.c.account_id,
        WALLET.c.balance_nanos,
        WALLET.c.held_nanos,
        WALLET.c.ledger_seq,
        WALLET.c.ledger_hash,
        WALLET.c.debt_nanos,
        WALLET.c.told,
        WALLET.c.usage_rolled_until,
    )
    .where(OneOf(WALLET.c.account_id, "ids"))
    .order_by(WALLET.c.account_id)
    .with_for_update()
)
SELECT_KEYS = Prepared(
    select(
        KEY.c.id,
        KEY.c.account_id,
        KEY.c.cap_nanos,
        KEY.c.cap_period,
        KEY.c.revoked_at,
        KEY.c.rpm,
        KEY.c.tpm,
        KEY.c.max_concurrent,
    ).where(OneOf(KEY.c.id, "ids"))
)
SELECT_END_USERS = Prepared(
    select(END_USER.c.id, END_USER.c.budget_nanos, END_USER.c.budget_period).where(
        OneOf(END_USER.c.id, "ids")
    )
)
SELECT_SPENDS = Prepared(
    select(
        SPEND.c.subject, SPEND.c.period, SPEND.c.spent_nanos, SPEND.c.held_nanos, SPEND.c.warned_percent
    ).where(OneOf(SPEND.c.subject, "ids"))
)
SELECT_RATES = Prepared(
    select(RATE.c.key_id, RATE.c.requests_level, RATE.c.tokens_level, RATE.c.updated_at).where(
        OneOf(RATE.c.key_id, "ids")
    )
)
SELECT_RUNNING = Prepared(
    select(HOLD.c.key_id, func.count()).where(OneOf(HOLD.c.key_id, "ids")).group_by(HOLD.c.key_id)
)
SELECT_HOLDS = Prepared(select(HOLD.c.id, HOLD.c.amount_nanos, HOLD.c.tokens).where(OneOf(HOLD.c.id, "ids")))
UPDATE_WALLET = Prepared(
    update(WALLET)
    .where(WALLET.c.account_id == bindparam("b_account_id"))
    .values(
        balance_nanos=bindparam("balance_nanos"),
        held_nanos=bindparam("held_nanos"),
        ledger_seq=bindparam("ledger_seq"),
        ledger_hash=bindparam("ledger_hash"),
        debt_nanos=bindparam("debt_nanos"),
        told=bindparam("told"),
    )
)
UPDATE_SPEND = Prepared(
    update(SPEND)
    .where(SPEND.c.subject == bindparam("b_subject"))
    .values(
        period=bindparam("period"),
        spent_nanos=bindparam("spent_nanos"),
        held_nanos=bindparam("held_nanos"),
        warned_percent=bindparam("warned_percent"),
    )
)
UPDATE_RATE = Prepared(
    update(RATE)
    .where(RATE.c.key_id == bindparam("b_key_id"))
    .values(
        requests_level=bindparam("requests_level"),
        tokens_level=bindparam("tokens_level"),
        updated_at=bindparam("updated_at"),
    )
)
INSERT_HOLD, INSERT_ENTRY, INSERT_USAGE, INSERT_EVENT = (
    BulkInsert(table) for table in (HOLD, LEDGER, USAGE, OUTBOX)
)
DELETE_HOLDS = Prepared(delete(HOLD).where(OneOf(HOLD.c.id, "ids")))
