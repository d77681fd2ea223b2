"""What we remember of Stripe: customers, checkouts, events, payments, what was taken back, subscriptions.

Amounts that Stripe states are in cents, amounts of the wallet in nano-USD, times in Unix milliseconds.
"""

from sqlmodel import Field, SQLModel

from kit.columns import big_int, reference


class StripeCustomer(SQLModel, table=True):
    """The one customer at Stripe that stands for an account."""

    __tablename__ = "stripe_customer"

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    customer_id: str = Field(unique=True)
    created_at: int = Field(sa_column=big_int())


class StripeCheckout(SQLModel, table=True):
    """A hosted checkout that we began: what it costs and what it gives, fixed before Stripe hears of it.

    ``status``: ``creating`` → ``open`` → ``processing`` → ``paid``, or ``failed``, or ``expired``.
    """

    __tablename__ = "stripe_checkout"

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    mode: str
    offer: str | None = None
    amount_cents: int = Field(sa_column=big_int())
    credit_nanos: int = Field(sa_column=big_int())
    status: str
    session_id: str | None = Field(default=None, unique=True)
    url: str | None = None
    expires_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    created_at: int = Field(sa_column=big_int())


class StripeEvent(SQLModel, table=True):
    """An event that was applied, by Stripe's id: it is never applied again."""

    __tablename__ = "stripe_event"

    id: str = Field(primary_key=True)
    account_id: str | None = Field(default=None, sa_column=reference("account.id", nullable=True))
    type: str
    outcome: str
    event_created_at: int = Field(sa_column=big_int())
    received_at: int = Field(sa_column=big_int(index=True))


class StripePayment(SQLModel, table=True):
    """A payment that was credited. The id is the payment intent's, for a subscription the invoice's."""

    __tablename__ = "stripe_payment"

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    kind: str
    paid_cents: int = Field(sa_column=big_int())
    credit_nanos: int = Field(sa_column=big_int())
    taken_back_nanos: int = Field(default=0, sa_column=big_int())
    created_at: int = Field(sa_column=big_int())


class StripeInvoicePayment(SQLModel, table=True):
    """Which invoice a payment intent paid: refunds and disputes name only the payment intent."""

    __tablename__ = "stripe_invoice_payment"

    payment_intent: str = Field(primary_key=True)
    invoice_id: str = Field(index=True)
    account_id: str | None = Field(default=None, sa_column=reference("account.id", nullable=True))
    created_at: int = Field(sa_column=big_int())


class StripeReversal(SQLModel, table=True):
    """A refund or dispute of a payment, maybe of one that we have not heard of yet.

    ``active`` until it failed or was won; then never again.
    """

    __tablename__ = "stripe_reversal"

    id: str = Field(primary_key=True)
    account_id: str | None = Field(default=None, sa_column=reference("account.id", nullable=True))
    kind: str
    payment_intent: str = Field(index=True)
    amount_cents: int = Field(sa_column=big_int())
    active: bool
    created_at: int = Field(sa_column=big_int())


class StripeSubscription(SQLModel, table=True):
    """A subscription as the newest of its events shows it (``event_created_at``, then ``event_id``)."""

    __tablename__ = "stripe_subscription"

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    plan: str | None = None
    status: str
    cancel_at_period_end: bool
    period_start: int | None = Field(default=None, sa_column=big_int(nullable=True))
    period_end: int | None = Field(default=None, sa_column=big_int(nullable=True))
    ended: bool
    event_created_at: int = Field(sa_column=big_int())
    event_id: str
    created_at: int = Field(sa_column=big_int())


class AutoTopUp(SQLModel, table=True):
    """When and how much an account tops up by itself. ``attempt_id``: the payment under way, at most one."""

    __tablename__ = "auto_top_up"

    account_id: str = Field(primary_key=True, foreign_key="account.id")
    enabled: bool
    threshold_nanos: int = Field(sa_column=big_int())
    amount_cents: int = Field(sa_column=big_int())
    monthly_limit_cents: int | None = Field(default=None, sa_column=big_int(nullable=True))
    attempt_id: str | None = None
    failures: int = 0
    next_attempt_at: int = Field(default=0, sa_column=big_int())
    off_reason: str | None = None
    updated_at: int = Field(sa_column=big_int())


class AutoTopUpAttempt(SQLModel, table=True):
    """One automatic payment. ``status``: ``pending`` (asked for, no answer yet), ``processing`` (Stripe
    waits for the bank), ``succeeded``, ``failed``."""

    __tablename__ = "auto_top_up_attempt"

    id: str = Field(primary_key=True)
    account_id: str = Field(sa_column=reference("account.id"))
    amount_cents: int = Field(sa_column=big_int())
    status: str
    payment_method: str | None = None
    error: str | None = None
    tries: int = 0
    next_try_at: int = Field(sa_column=big_int())
    created_at: int = Field(sa_column=big_int(index=True))
