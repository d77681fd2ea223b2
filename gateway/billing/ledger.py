"""The ledger: an append-only, hash-chained record of every change of a wallet.

Invariants, per account:
- the wallet's balance equals the sum of its entries' amounts, and the last entry's ``balance_after``;
- its debt equals the sum of the entries of kind ``debt``;
- ``seq`` is dense from 1; an entry's hash covers its content and the previous entry's hash;
- an ``entry_id`` is written once: writing it again changes nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlmodel import Session, col, select

from gateway.billing.models import LedgerEntry, Wallet
from kit.ids import new_id

KINDS = ("topup", "debit", "refund", "adjustment", "credit", "tool", "debt")


@dataclass(slots=True)
class WalletState:
    """A wallet's row as loaded (and locked) by a transaction that is about to change it."""

    account_id: str
    balance_nanos: int
    held_nanos: int
    ledger_seq: int
    ledger_hash: str
    debt_nanos: int
    told: str = ""
    usage_rolled_until: int = 0

    @property
    def available(self) -> int:
        return self.balance_nanos - self.held_nanos


def entry_hash(entry: Mapping[str, Any]) -> str:
    """SHA-256 over the previous hash and the entry's own fields, in a fixed order."""
    content = [
        entry["previous_hash"],
        entry["account_id"],
        entry["seq"],
        entry["entry_id"],
        entry["kind"],
        entry["amount_nanos"],
        entry["balance_after_nanos"],
        entry["reference"],
        entry["created_at"],
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def next_entry(
    wallet: WalletState, *, entry_id: str, kind: str, amount_nanos: int, reference: str, created_at: int
) -> dict[str, Any]:
    """Change the wallet by ``amount_nanos`` and return the entry's row; the caller stores both."""
    if kind not in KINDS:
        raise ValueError(f"unknown ledger kind {kind}")
    wallet.balance_nanos += amount_nanos
    wallet.ledger_seq += 1
    row: dict[str, Any] = {
        "id": new_id("led"),
        "account_id": wallet.account_id,
        "seq": wallet.ledger_seq,
        "entry_id": entry_id,
        "kind": kind,
        "amount_nanos": amount_nanos,
        "balance_after_nanos": wallet.balance_nanos,
        "reference": reference,
        "previous_hash": wallet.ledger_hash,
        "created_at": created_at,
    }
    row["hash"] = wallet.ledger_hash = entry_hash(row)
    return row


@dataclass(frozen=True)
class LedgerFault:
    """Something in an account's ledger that contradicts the invariants."""

    account_id: str
    seq: int
    problem: str


def verify_account(session: Session, account_id: str) -> Iterator[LedgerFault]:
    """Recompute an account's chain and balance; yields every contradiction found."""
    previous, balance, debt, expected_seq = "", 0, 0, 1
    entries = session.exec(
        select(LedgerEntry)
        .where(LedgerEntry.account_id == account_id)
        .order_by(col(LedgerEntry.seq))
        .execution_options(yield_per=1000)
    )
    for entry in entries:
        if entry.seq != expected_seq:
            yield LedgerFault(account_id, entry.seq, f"expected entry {expected_seq}")
            expected_seq = entry.seq
        if entry.previous_hash != previous or entry.hash != entry_hash(entry.model_dump()):
            yield LedgerFault(account_id, entry.seq, "the hash chain is broken")
        balance += entry.amount_nanos
        debt += entry.amount_nanos if entry.kind == "debt" else 0
        if entry.balance_after_nanos != balance:
            yield LedgerFault(account_id, entry.seq, f"the balance after it should be {balance}")
        previous, expected_seq = entry.hash, expected_seq + 1
    wallet = session.get(Wallet, account_id)
    if wallet is not None and wallet.balance_nanos != balance:
        yield LedgerFault(
            account_id, expected_seq - 1, f"the wallet says {wallet.balance_nanos}, the ledger {balance}"
        )
    if wallet is not None and wallet.debt_nanos != debt:
        yield LedgerFault(account_id, expected_seq - 1, f"the wallet owes {wallet.debt_nanos}, not {debt}")
