"""Automatic top-ups: the rows that say when one is due, and what became of it.

Invariants:
- an account has at most one automatic payment under way (``attempt_id``), whatever number of processes look;
- an attempt is stored, with its amount and payment method, before Stripe hears of it, and its id is the
  idempotency key: repeating it after a crash or a lost answer charges nobody twice;
- attempts of a calendar month (UTC) that were not refused never add up to more than the account's limit;
- after a decline that will not pass by itself the switch is off; after others there is a pause that grows.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select, SelectOfScalar

from gateway.billing.models import Wallet
from gateway.billing.periods import start_ms
from gateway.billing.stripe.models import AutoTopUp, AutoTopUpAttempt
from gateway.billing.stripe.payments import Payment, record_payment
from gateway.billing.stripe.settings import CURRENCY, nanos_of, usd_of
from kit.ids import new_id
from kit.money import Nanos

ATTEMPT = "heddle_top_up"
"""The metadata field of a payment intent that names our attempt."""

LEASE_MS = 240_000
"""Longer than a call with its retries takes: until then nobody else repeats an attempt."""
MAX_RETRY_MS = 3_600_000
GIVE_UP_MS = 23 * 3_600_000
"""Stripe forgets idempotency keys after 24 hours; repeating a call later could charge a second time."""
PAUSES_MS = (3_600_000, 6 * 3_600_000, 24 * 3_600_000)
"""After the first, second and third decline in a row; the fourth switches off."""

PASSING_DECLINES = frozenset(
    {
        "approve_with_id",
        "card_velocity_exceeded",
        "do_not_honor",
        "generic_decline",
        "insufficient_funds",
        "issuer_not_available",
        "processing_error",
        "reenter_transaction",
        "try_again_later",
        "withdrawal_count_limit_exceeded",
    }
)
"""Decline codes of which a later try may succeed (docs.stripe.com/declines/codes); all others are final."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Below ``threshold`` free, pay ``amount_cents``; at most ``monthly_limit_cents`` in a month."""

    threshold: Nanos
    amount_cents: int
    monthly_limit_cents: int | None


def switch_on(session: Session, account_id: str, rule: Rule, now_ms: int) -> AutoTopUp:
    row = _locked(session, account_id)
    if row is None:
        row = AutoTopUp(
            account_id=account_id, enabled=True, threshold_nanos=0, amount_cents=0, updated_at=now_ms
        )
    row.enabled, row.off_reason, row.failures, row.next_attempt_at = True, None, 0, 0
    row.threshold_nanos, row.amount_cents = rule.threshold, rule.amount_cents
    row.monthly_limit_cents, row.updated_at = rule.monthly_limit_cents, now_ms
    session.add(row)
    return row


def switch_off(session: Session, account_id: str, reason: str, now_ms: int) -> AutoTopUp | None:
    row = _locked(session, account_id)
    if row is not None:
        row.enabled, row.off_reason, row.updated_at = False, reason, now_ms
        session.add(row)
    return row


def _free() -> Any:
    return col(Wallet.balance_nanos) - col(Wallet.held_nanos)


def thresholds() -> Select[str, int]:
    """Of the accounts that are above theirs: those below are looked at by the clock, not by settlements."""
    return (
        select(AutoTopUp.account_id, AutoTopUp.threshold_nanos)
        .join(Wallet, col(Wallet.account_id) == col(AutoTopUp.account_id))
        .where(col(AutoTopUp.enabled) & (_free() >= col(AutoTopUp.threshold_nanos)))
    )


def due_accounts(now_ms: int) -> SelectOfScalar[str]:
    """Accounts that are below their threshold or have an attempt to repeat; ``claim`` has the last word."""
    low = _free() < col(AutoTopUp.threshold_nanos)
    waiting = col(AutoTopUp.attempt_id).is_(None) & (col(AutoTopUp.next_attempt_at) <= now_ms)
    unanswered = (col(AutoTopUpAttempt.status) == "pending") & (col(AutoTopUpAttempt.next_try_at) <= now_ms)
    return (
        select(AutoTopUp.account_id)
        .join(Wallet, col(Wallet.account_id) == col(AutoTopUp.account_id))
        .join(AutoTopUpAttempt, col(AutoTopUpAttempt.id) == col(AutoTopUp.attempt_id), isouter=True)
        .where((col(AutoTopUp.enabled) & low & waiting) | unanswered)
        .order_by(col(AutoTopUp.account_id))
    )


def claim(session: Session, account_id: str, now_ms: int) -> AutoTopUpAttempt | None:
    """The attempt that this process is to make now: one without an answer, or a new one that is due."""
    row = _locked(session, account_id)
    if row is None:
        return None
    if row.attempt_id is not None:
        attempt = session.get(AutoTopUpAttempt, row.attempt_id)
        if attempt is None or attempt.status != "pending" or attempt.next_try_at > now_ms:
            return None
    elif _is_due(session, row, now_ms):
        attempt = AutoTopUpAttempt(
            id=new_id("topup"),
            account_id=account_id,
            amount_cents=row.amount_cents,
            status="pending",
            next_try_at=now_ms,
            created_at=now_ms,
        )
        row.attempt_id = attempt.id
        session.add(row)
    else:
        return None
    attempt.tries += 1
    attempt.next_try_at = now_ms + LEASE_MS
    session.add(attempt)
    return attempt


def _is_due(session: Session, row: AutoTopUp, now_ms: int) -> bool:
    if not row.enabled or row.next_attempt_at > now_ms:
        return False
    free = session.exec(select(_free()).where(Wallet.account_id == row.account_id)).first()
    if free is None or free >= row.threshold_nanos:
        return False
    if row.monthly_limit_cents is None:
        return True
    spent = select(func.coalesce(func.sum(AutoTopUpAttempt.amount_cents), 0)).where(
        AutoTopUpAttempt.account_id == row.account_id,
        AutoTopUpAttempt.created_at >= start_ms("month", now_ms),
        AutoTopUpAttempt.status != "failed",
    )
    return int(session.exec(spent).one()) + row.amount_cents <= row.monthly_limit_cents


def remember_payment_method(session: Session, attempt_id: str, payment_method: str) -> None:
    """A repeated call must name the same one: Stripe refuses a key that is used for something else."""
    attempt = session.get(AutoTopUpAttempt, attempt_id)
    assert attempt is not None
    attempt.payment_method = payment_method
    session.add(attempt)


def wait_for_the_bank(session: Session, attempt_id: str) -> None:
    attempt = session.get(AutoTopUpAttempt, attempt_id, with_for_update=True)
    if attempt is not None and attempt.status == "pending":
        attempt.status = "processing"
        session.add(attempt)


def try_again_later(session: Session, attempt_id: str, now_ms: int) -> None:
    """No answer came: keep the attempt, or give it up before Stripe forgets its key."""
    attempt = session.get(AutoTopUpAttempt, attempt_id, with_for_update=True)
    if attempt is None or attempt.status != "pending":
        return
    if now_ms - attempt.created_at > GIVE_UP_MS:
        refuse(session, attempt_id, "no_answer", passing=False, now_ms=now_ms)
        return
    attempt.next_try_at = now_ms + min(MAX_RETRY_MS, 30_000 * 2 ** min(attempt.tries, 10))
    session.add(attempt)


def succeed(
    session: Session, attempt_id: str, payment_intent: str, cents: int, currency: str, now_ms: int
) -> str | None:
    """Credit what an attempt brought, once; returns its account. None if it is not ours or not in USD."""
    attempt = session.get(AutoTopUpAttempt, attempt_id)
    if attempt is None or currency != CURRENCY:
        return None
    payment = Payment(
        id=payment_intent,
        account_id=attempt.account_id,
        kind="auto_top_up",
        paid_cents=cents,
        credit=nanos_of(cents),
        reference=f"automatic top-up, {usd_of(cents)} USD paid",
    )
    if record_payment(session, payment, now_ms):
        row = _end(session, attempt, "succeeded", None)
        if row is not None:
            row.failures, row.next_attempt_at = 0, 0
    return attempt.account_id


def refuse(session: Session, attempt_id: str, reason: str, *, passing: bool, now_ms: int) -> str | None:
    """An attempt was declined: pause, or switch off. Does nothing to one that has ended."""
    attempt = session.get(AutoTopUpAttempt, attempt_id)
    if attempt is None:
        return None
    if attempt.status in {"succeeded", "failed"}:
        return attempt.account_id
    row = _end(session, attempt, "failed", reason)
    if row is not None:
        row.failures += 1
        row.updated_at = now_ms
        if passing and row.failures <= len(PAUSES_MS):
            row.next_attempt_at = now_ms + PAUSES_MS[row.failures - 1]
        else:
            row.enabled, row.off_reason = False, reason
    return attempt.account_id


def is_passing(reason: str, advice: str | None) -> bool:
    """Whether a later try of this decline may succeed. ``advice``: the network's, passed on by Stripe."""
    return reason in PASSING_DECLINES and advice != "do_not_try_again"


def _end(session: Session, attempt: AutoTopUpAttempt, status: str, error: str | None) -> AutoTopUp | None:
    attempt.status, attempt.error = status, error
    session.add(attempt)
    row = _locked(session, attempt.account_id)
    if row is None or row.attempt_id != attempt.id:
        return None
    row.attempt_id = None
    session.add(row)
    return row


def _locked(session: Session, account_id: str) -> AutoTopUp | None:
    session.flush()
    return session.get(AutoTopUp, account_id, with_for_update=True)
