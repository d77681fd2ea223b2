"""What an account is told of its money: events for the outbox, written with what they tell of.

Each is told once: of a cap at 80 % and at 100 % in each period, of a wallet when it becomes low and when it
first refuses a call, until money comes in again. Amounts are micro-USD, as on the wire.
"""

from typing import Any

import msgspec

from gateway.billing.ledger import WalletState
from gateway.billing.periods import resets_at_ms
from gateway.billing.rows import Capped, Spending
from kit.ids import new_id
from kit.money import Nanos, micros

WARNING_PERCENT = 80
REACHED_PERCENT = 100
LOW, EMPTY = "low", "empty"


def of_spending(capped: Capped, spending: Spending, now_ms: int) -> dict[str, Any] | None:
    """The event if this spending has passed a mark of its cap that was not told of in its period."""
    if not capped.cap:
        return None
    percent = spending.spent * 100 // capped.cap
    mark = REACHED_PERCENT if percent >= REACHED_PERCENT else WARNING_PERCENT
    if percent < WARNING_PERCENT or spending.warned_percent >= mark:
        return None
    spending.warned_percent = mark
    return _of_cap(capped, spending, mark, now_ms)


def of_reached_cap(capped: Capped, spending: Spending, now_ms: int) -> dict[str, Any] | None:
    """The event if this is the first call in the period that a cap refuses."""
    if spending.warned_percent >= REACHED_PERCENT:
        return None
    spending.warned_percent = REACHED_PERCENT
    return _of_cap(capped, spending, REACHED_PERCENT, now_ms)


def of_low(wallet: WalletState, before: int, threshold: Nanos, now_ms: int) -> dict[str, Any] | None:
    """The event if the balance has fallen below ``threshold`` just now."""
    if wallet.told or not before >= threshold > wallet.balance_nanos:
        return None
    wallet.told = LOW
    data = {"balance_micros": micros(wallet.balance_nanos), "threshold_micros": micros(threshold)}
    return _event(wallet.account_id, "wallet.low", data, now_ms)


def of_empty(wallet: WalletState, now_ms: int) -> dict[str, Any] | None:
    """The event if this is the first call that the wallet refuses since money came in."""
    if wallet.told == EMPTY:
        return None
    wallet.told = EMPTY
    data = {"balance_micros": micros(wallet.balance_nanos), "held_micros": micros(wallet.held_nanos)}
    return _event(wallet.account_id, "wallet.empty", data, now_ms)


def of_credit(wallet: WalletState, kind: str, amount: Nanos, threshold: Nanos, now_ms: int) -> dict[str, Any]:
    """Money came in: what was told before may be told again."""
    wallet.told = "" if wallet.balance_nanos >= threshold else LOW
    data = {"kind": kind, "amount_micros": micros(amount), "balance_micros": micros(wallet.balance_nanos)}
    return _event(wallet.account_id, "wallet.topped_up", data, now_ms)


def _of_cap(capped: Capped, spending: Spending, percent: int, now_ms: int) -> dict[str, Any]:
    assert capped.cap is not None
    data: dict[str, Any] = {
        "percent": percent,
        "cap_micros": micros(capped.cap),
        "spent_micros": micros(spending.spent),
        "held_micros": micros(spending.held),
        "period": capped.period,
        "resets_at": resets_at_ms(capped.period, now_ms),
    }
    if capped.end_user_id is None:
        what, subject = "key.cap", {"key_id": capped.subject}
    else:
        what, subject = "end_user.budget", {"end_user_id": capped.end_user_id}
    name = f"{what}_{'reached' if percent >= REACHED_PERCENT else 'warning'}"
    return _event(capped.account_id, name, {**subject, **data}, now_ms)


def _event(account_id: str, name: str, data: dict[str, Any], now_ms: int) -> dict[str, Any]:
    return {
        "id": new_id("evt"),
        "account_id": account_id,
        "type": name,
        "data": msgspec.json.encode(data).decode(),
        "created_at": now_ms,
    }
