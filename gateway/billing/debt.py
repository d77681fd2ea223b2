"""What an account owes: money taken back by Stripe that the wallet did not hold free.

Invariants:
- a wallet's debt equals the sum of its ledger entries of kind ``debt``;
- taking money back never touches what running calls hold, and never takes the balance below zero;
- while there is a debt nothing is free: whatever comes in, or is released, pays the debt first.

In the ledger the whole story is one of ordinary signed entries. Taking back 25 USD from a wallet with 10 USD
free is ``debt +15`` (lent) and ``refund -25``; the next top-up of 40 USD is ``topup +40`` and ``debt -15``.
"""

from typing import Any

from gateway.billing.ledger import WalletState, next_entry
from gateway.billing.operations import Debit
from kit.money import usd_text


def take_back(wallet: WalletState, op: Debit) -> list[dict[str, Any]]:
    """The ledger entries that take ``op.amount`` out of the wallet; what is not free becomes a debt."""
    entries: list[dict[str, Any]] = []
    short = op.amount - min(op.amount, wallet.available)
    if short:
        wallet.debt_nanos += short
        entries.append(
            next_entry(
                wallet,
                entry_id=f"{op.entry_id}:owed",
                kind="debt",
                amount_nanos=short,
                reference=f"owed: {usd_text(short)} USD of {op.reference} was not free",
                created_at=op.now_ms,
            )
        )
    entries.append(
        next_entry(
            wallet,
            entry_id=op.entry_id,
            kind=op.kind,
            amount_nanos=-op.amount,
            reference=op.reference,
            created_at=op.now_ms,
        )
    )
    return entries


def repay(wallet: WalletState, now_ms: int) -> list[dict[str, Any]]:
    """The ledger entry that pays as much of the debt as is free; none if nothing is owed or free."""
    due = min(wallet.debt_nanos, wallet.available)
    if due <= 0:
        return []
    wallet.debt_nanos -= due
    return [
        next_entry(
            wallet,
            entry_id=f"repaid:{wallet.ledger_seq + 1}",
            kind="debt",
            amount_nanos=-due,
            reference="paid what was owed",
            created_at=now_ms,
        )
    ]
