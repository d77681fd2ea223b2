"""Play money: a test account's wallet is set to any amount, so that an empty one can be tried.

Invariants:
- only a test account's wallet is ever set; a live one changes by what is paid, spent and taken back;
- it is never set below what running calls hold: they are settled as in earnest;
- the ledger explains it like any other change, by an entry of kind ``adjustment``.
"""

from typing import Any

from sqlalchemy import Connection, select

from gateway.billing.ledger import WalletState, next_entry
from gateway.billing.operations import SetBalance
from gateway.billing.tables import ACCOUNT
from kit.errors import Conflict, PermissionDenied
from kit.money import micros, usd_text


def must_be_play_money(connection: Connection, account_id: str) -> None:
    """Raises PermissionDenied unless this is a test account."""
    query = select(ACCOUNT.c.test_of).where(ACCOUNT.c.id == account_id)
    if connection.execute(query).scalar_one_or_none() is None:
        raise PermissionDenied(
            "only the wallet of a test account can be set to an amount", code="test_key_required"
        )


def entry_to(wallet: WalletState, op: SetBalance) -> dict[str, Any] | None:
    """The ledger entry that takes the wallet to ``op.balance``; None if that is what it holds. Raises
    Conflict (``balance_held``)."""
    if op.balance < wallet.held_nanos:
        raise Conflict(
            f"running calls hold {usd_text(wallet.held_nanos)} USD: the balance cannot be set below that",
            code="balance_held",
            param="balance_usd",
            details={"held_micros": micros(wallet.held_nanos)},
        )
    change = op.balance - wallet.balance_nanos
    if not change:
        return None
    return next_entry(
        wallet,
        entry_id=op.entry_id,
        kind="adjustment",
        amount_nanos=change,
        reference=f"play money set to {usd_text(op.balance)} USD",
        created_at=op.now_ms,
    )
