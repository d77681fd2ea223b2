"""Payments through Stripe, and what an account owes

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _account() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account_id"], ["account.id"])


def _indexed(table: str, *columns: str) -> None:
    with op.batch_alter_table(table, schema=None) as batch_op:
        for column in columns:
            batch_op.create_index(batch_op.f(f"ix_{table}_{column}"), [column], unique=False)


def upgrade() -> None:
    # Written out: in batch mode SQLite's table would be made anew, without the checks it has.
    op.execute(
        "ALTER TABLE wallet ADD COLUMN debt_nanos BIGINT NOT NULL DEFAULT 0 "
        "CONSTRAINT debt_never_negative CHECK (debt_nanos >= 0)"
    )
    op.create_table(
        "stripe_customer",
        _text("account_id"),
        _text("customer_id"),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("account_id"),
        sa.UniqueConstraint("customer_id"),
    )
    op.create_table(
        "stripe_checkout",
        _text("id"),
        _text("account_id"),
        _text("mode"),
        _text("offer", nullable=True),
        _big("amount_cents"),
        _big("credit_nanos"),
        _text("status"),
        _text("session_id", nullable=True),
        _text("url", nullable=True),
        _big("expires_at", nullable=True),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("session_id"),
    )
    _indexed("stripe_checkout", "account_id")
    op.create_table(
        "stripe_event",
        _text("id"),
        _text("account_id", nullable=True),
        _text("type"),
        _text("outcome"),
        _big("event_created_at"),
        _big("received_at"),
        _account(),
        sa.PrimaryKeyConstraint("id"),
    )
    _indexed("stripe_event", "account_id", "received_at")
    _upgrade_payments()
    _upgrade_subscriptions_and_auto_top_ups()


def _upgrade_payments() -> None:
    op.create_table(
        "stripe_payment",
        _text("id"),
        _text("account_id"),
        _text("kind"),
        _big("paid_cents"),
        _big("credit_nanos"),
        _big("taken_back_nanos"),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("id"),
    )
    _indexed("stripe_payment", "account_id")
    op.create_table(
        "stripe_invoice_payment",
        _text("payment_intent"),
        _text("invoice_id"),
        _text("account_id", nullable=True),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("payment_intent"),
    )
    _indexed("stripe_invoice_payment", "account_id", "invoice_id")
    op.create_table(
        "stripe_reversal",
        _text("id"),
        _text("account_id", nullable=True),
        _text("kind"),
        _text("payment_intent"),
        _big("amount_cents"),
        sa.Column("active", sa.Boolean(), nullable=False),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("id"),
    )
    _indexed("stripe_reversal", "account_id", "payment_intent")


def _upgrade_subscriptions_and_auto_top_ups() -> None:
    op.create_table(
        "stripe_subscription",
        _text("id"),
        _text("account_id"),
        _text("plan", nullable=True),
        _text("status"),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        _big("period_start", nullable=True),
        _big("period_end", nullable=True),
        sa.Column("ended", sa.Boolean(), nullable=False),
        _big("event_created_at"),
        _text("event_id"),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("id"),
    )
    _indexed("stripe_subscription", "account_id")
    op.create_table(
        "auto_top_up",
        _text("account_id"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        _big("threshold_nanos"),
        _big("amount_cents"),
        _big("monthly_limit_cents", nullable=True),
        _text("attempt_id", nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        _big("next_attempt_at"),
        _text("off_reason", nullable=True),
        _big("updated_at"),
        _account(),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "auto_top_up_attempt",
        _text("id"),
        _text("account_id"),
        _big("amount_cents"),
        _text("status"),
        _text("payment_method", nullable=True),
        _text("error", nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        _big("next_try_at"),
        _big("created_at"),
        _account(),
        sa.PrimaryKeyConstraint("id"),
    )
    _indexed("auto_top_up_attempt", "account_id", "created_at")
