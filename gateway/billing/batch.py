"""The billing transaction: many operations applied together to the rows they touch.

Invariants (the tests in ``tests/gateway/billing`` try to break them):
- a wallet's balance and free part never go below zero, whatever runs concurrently;
- what a capped key has spent plus what it holds never passes its cap;
- a request id is charged at most once; an entry id is credited at most once;
- the wallet's balance always equals the sum of its ledger entries.

Wallet rows are locked first and in one order (PostgreSQL ``FOR UPDATE``; SQLite has one writer), so all
operations on an account are serial whatever number of processes run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlmodel import Session

from gateway.billing.errors import KeyCapReached, TurnBudgetReached, WalletEmpty
from gateway.billing.ledger import WalletState, next_entry
from gateway.billing.operations import Admit, Admitted, Credit, Operation, Settle, Settled
from gateway.billing.periods import period_label, resets_at_ms, start_ms
from gateway.billing.tables import HOLD, KEY, LEDGER, SPEND, USAGE, WALLET
from kit.errors import AuthenticationFailed, HeddleError, InvalidRequest
from kit.money import Nanos
from kit.prepared import OneOf, Prepared, values_of

_wallets = Prepared(
    select(
        WALLET.c.account_id,
        WALLET.c.balance_nanos,
        WALLET.c.held_nanos,
        WALLET.c.ledger_seq,
        WALLET.c.ledger_hash,
        WALLET.c.usage_rolled_until,
    )
    .where(OneOf(WALLET.c.account_id, "ids"))
    .order_by(WALLET.c.account_id)
    .with_for_update()
)
_keys = Prepared(
    select(KEY.c.id, KEY.c.cap_nanos, KEY.c.cap_period, KEY.c.revoked_at).where(OneOf(KEY.c.id, "ids"))
)
_spends = Prepared(
    select(SPEND.c.key_id, SPEND.c.period, SPEND.c.spent_nanos, SPEND.c.held_nanos).where(
        OneOf(SPEND.c.key_id, "ids")
    )
)
_holds = Prepared(select(HOLD.c.id, HOLD.c.amount_nanos).where(OneOf(HOLD.c.id, "ids")))
_update_wallet = Prepared(
    update(WALLET)
    .where(WALLET.c.account_id == bindparam("b_account_id"))
    .values(
        balance_nanos=bindparam("balance_nanos"),
        held_nanos=bindparam("held_nanos"),
        ledger_seq=bindparam("ledger_seq"),
        ledger_hash=bindparam("ledger_hash"),
    )
)
_update_spend = Prepared(
    update(SPEND)
    .where(SPEND.c.key_id == bindparam("b_key_id"))
    .values(
        period=bindparam("period"), spent_nanos=bindparam("spent_nanos"), held_nanos=bindparam("held_nanos")
    )
)
_insert_hold, _insert_entry, _insert_usage = (Prepared(insert(table)) for table in (HOLD, LEDGER, USAGE))
_delete_holds = Prepared(delete(HOLD).where(OneOf(HOLD.c.id, "ids")))


@dataclass(slots=True)
class _Key:
    cap: int | None
    period: str
    revoked: bool


@dataclass(slots=True)
class _Spend:
    period: str
    spent: int
    held: int
    is_new: bool = False


class BillingBatch:
    """The rows touched by a group of operations, changed in memory and written back in bulk."""

    def __init__(self, session: Session, operations: Sequence[Operation]) -> None:
        self._session = session
        self._connection = session.connection()
        self._wallets = self._load_wallets({_account_of(operation) for operation in operations})
        key_ids = {op.payer.key_id for op in operations if not isinstance(op, Credit)}
        self._keys = self._load_keys(key_ids)
        self._spends = self._load_spends(key_ids)
        self._holds = self._load_holds({op.request_id for op in operations if not isinstance(op, Credit)})
        self._touched_spends: set[str] = set()
        self._new_holds: dict[str, dict[str, Any]] = {}
        self._gone_holds: list[str] = []
        self._entries: list[dict[str, Any]] = []
        self._usage: dict[str, dict[str, Any]] = {}
        self._credited: set[tuple[str, str]] = set()

    def apply(self, operation: Operation) -> Admitted | Settled | bool:
        """Raises PaymentRequired and other HeddleErrors for refusals; these change nothing."""
        if isinstance(operation, Admit):
            return self._admit(operation)
        if isinstance(operation, Settle):
            return self._settle(operation)
        return self._credit(operation)

    def write_back(self) -> None:
        connection = self._connection
        if self._wallets:
            _update_wallet.run(
                connection,
                [
                    {
                        "b_account_id": wallet.account_id,
                        "balance_nanos": wallet.balance_nanos,
                        "held_nanos": wallet.held_nanos,
                        "ledger_seq": wallet.ledger_seq,
                        "ledger_hash": wallet.ledger_hash,
                    }
                    for wallet in self._wallets.values()
                ],
            )
        self._write_spends()
        if self._new_holds:
            _insert_hold.run(connection, list(self._new_holds.values()))
        if self._gone_holds:
            _delete_holds.run(connection, [{"ids": values_of(connection, self._gone_holds)}])
        if self._entries:
            _insert_entry.run(connection, self._entries)
        if self._usage:
            _insert_usage.run(connection, list(self._usage.values()))

    # --- operations -------------------------------------------------------------------------------

    def _admit(self, op: Admit) -> Admitted:
        payer, bound = op.payer, op.bound
        wallet = self._wallet(payer.account_id)
        key = self._keys.get(payer.key_id)
        if key is None or key.revoked:
            raise AuthenticationFailed("this API key has been revoked", code="key_revoked")
        if op.request_id in self._new_holds or op.request_id in self._holds:
            raise InvalidRequest(f"request {op.request_id} is already running", code="duplicate_request")
        available = wallet.available
        needed = bound.least
        tracked = key.cap is not None or payer.key_id in self._spends
        spend = self._spend(payer.key_id, key, op.now_ms) if tracked else None
        if spend is not None and key.cap is not None:
            free = key.cap - spend.spent - spend.held
            if free < needed:
                raise KeyCapReached(
                    needed=needed,
                    cap=key.cap,
                    spent=spend.spent,
                    held=spend.held,
                    resets_at=resets_at_ms(key.period, op.now_ms),
                )
            available = min(available, free)
        if op.budget is not None:
            left = op.budget.limit - op.budget.spent
            if left < needed:
                raise TurnBudgetReached(needed=needed, budget=op.budget.limit, spent=op.budget.spent)
            available = min(available, left)
        if wallet.available < needed:
            raise WalletEmpty(needed=needed, balance=wallet.balance_nanos, held=wallet.held_nanos)
        granted = bound.affordable_output(available)
        held = Nanos(bound.input_nanos + bound.for_output(granted))
        wallet.held_nanos += held
        if spend is not None:
            spend.held += held
            self._touched_spends.add(payer.key_id)
        self._new_holds[op.request_id] = {
            "id": op.request_id,
            "account_id": payer.account_id,
            "key_id": payer.key_id,
            "amount_nanos": held,
            "owner": op.owner,
            "expires_at": op.expires_at,
            "created_at": op.now_ms,
        }
        return Admitted(op.request_id, payer, held, granted, granted < bound.max_output_tokens)

    def _settle(self, op: Settle) -> Settled:
        held = self._holds.get(op.request_id)
        if held is None and self._is_recorded(op.request_id):
            return Settled(Nanos(0), replayed=True)
        result = self._ride(op)
        wallet = self._wallet(op.payer.account_id)
        released = held or 0
        wallet.held_nanos -= released
        cost = op.outcome.cost.nanos
        at_ms = max(op.now_ms, wallet.usage_rolled_until)
        charged = min(cost, wallet.available) if cost > released else cost
        if charged:
            self._entries.append(
                next_entry(
                    wallet,
                    entry_id=op.request_id,
                    kind="debit",
                    amount_nanos=-charged,
                    reference=op.outcome.tool or op.outcome.model,
                    created_at=at_ms,
                )
            )
        spend = self._spends.get(op.payer.key_id)
        if spend is not None:
            spend.held -= min(released, spend.held)
            spend.spent += charged
            self._touched_spends.add(op.payer.key_id)
        if held is not None:
            del self._holds[op.request_id]
            self._gone_holds.append(op.request_id)
        self._usage[op.request_id] = _usage_row(op, charged, at_ms)
        return Settled(Nanos(charged), result)

    def _credit(self, op: Credit) -> bool:
        """True if the money moved, False if this entry id was credited before."""
        if op.amount <= 0:
            raise InvalidRequest("a credit must be more than zero", param="amount_usd")
        name = (op.account_id, op.entry_id)
        known = select(LEDGER.c.id).where(
            LEDGER.c.account_id == op.account_id, LEDGER.c.entry_id == op.entry_id
        )
        if name in self._credited or self._connection.execute(known).first() is not None:
            return False
        self._credited.add(name)
        self._entries.append(
            next_entry(
                self._wallet(op.account_id),
                entry_id=op.entry_id,
                kind=op.kind,
                amount_nanos=op.amount,
                reference=op.reference,
                created_at=op.now_ms,
            )
        )
        return True

    def _ride(self, op: Settle) -> Any:
        """Run the rider in a savepoint: if it refuses, neither it nor the settlement happens."""
        if op.rider is None:
            return None
        savepoint = self._session.begin_nested()
        try:
            result = op.rider(self._session)
            savepoint.commit()
        except BaseException:
            savepoint.rollback()
            raise
        return result

    # --- rows -------------------------------------------------------------------------------------

    def _wallet(self, account_id: str) -> WalletState:
        wallet = self._wallets.get(account_id)
        if wallet is None:
            raise HeddleError(f"account {account_id} has no wallet")
        return wallet

    def _spend(self, key_id: str, key: _Key, now_ms: int) -> _Spend:
        """The key's spending in the current period; a new period is summed up from what happened in it."""
        label = period_label(key.period, now_ms)
        spend = self._spends.get(key_id)
        if spend is not None and spend.period == label:
            return spend
        connection = self._connection
        spent_query = select(func.coalesce(func.sum(USAGE.c.cost_nanos), 0)).where(
            USAGE.c.key_id == key_id, USAGE.c.created_at >= start_ms(key.period, now_ms)
        )
        held_query = select(func.coalesce(func.sum(HOLD.c.amount_nanos), 0)).where(HOLD.c.key_id == key_id)
        # Operations of this very batch are not in the tables yet.
        mine = [row for row in self._new_holds.values() if row["key_id"] == key_id]
        gone = self._gone_holds_of(key_id)
        unwritten = [row for row in self._usage.values() if row["key_id"] == key_id]
        fresh = _Spend(
            period=label,
            spent=int(connection.execute(spent_query).scalar_one())
            + sum(row["cost_nanos"] for row in unwritten),
            held=int(connection.execute(held_query).scalar_one())
            + sum(row["amount_nanos"] for row in mine)
            - gone,
            is_new=spend is None or spend.is_new,
        )
        self._spends[key_id] = fresh
        self._touched_spends.add(key_id)
        return fresh

    def _gone_holds_of(self, key_id: str) -> int:
        if not self._gone_holds:
            return 0
        query = select(func.coalesce(func.sum(HOLD.c.amount_nanos), 0)).where(
            HOLD.c.key_id == key_id, HOLD.c.id.in_(self._gone_holds)
        )
        return int(self._connection.execute(query).scalar_one())

    def _is_recorded(self, request_id: str) -> bool:
        if request_id in self._usage:
            return True
        query = select(USAGE.c.id).where(USAGE.c.id == request_id)
        return self._connection.execute(query).first() is not None

    def _load_wallets(self, ids: set[str]) -> dict[str, WalletState]:
        return {row[0]: WalletState(*row) for row in self._rows(_wallets, ids)}

    def _load_keys(self, ids: set[str]) -> dict[str, _Key]:
        return {row[0]: _Key(row[1], row[2], row[3] is not None) for row in self._rows(_keys, ids)}

    def _load_spends(self, ids: set[str]) -> dict[str, _Spend]:
        return {row[0]: _Spend(row[1], row[2], row[3]) for row in self._rows(_spends, ids)}

    def _load_holds(self, ids: set[str]) -> dict[str, int]:
        return {row[0]: row[1] for row in self._rows(_holds, ids)}

    def _rows(self, statement: Prepared, ids: set[str]) -> Sequence[Any]:
        if not ids:
            return ()
        return statement.rows(self._connection, {"ids": values_of(self._connection, ids)})

    def _write_spends(self) -> None:
        new, changed = [], []
        for key_id in self._touched_spends:
            spend = self._spends[key_id]
            row = {"period": spend.period, "spent_nanos": spend.spent, "held_nanos": spend.held}
            if spend.is_new:
                account_id = self._account_of_key(key_id)
                new.append({"key_id": key_id, "account_id": account_id, **row})
            else:
                changed.append({"b_key_id": key_id, **row})
        if new:
            self._connection.execute(insert(SPEND), new)
        if changed:
            _update_spend.run(self._connection, changed)

    def _account_of_key(self, key_id: str) -> str:
        query = select(KEY.c.account_id).where(KEY.c.id == key_id)
        return str(self._connection.execute(query).scalar_one())


def _account_of(operation: Operation) -> str:
    return operation.account_id if isinstance(operation, Credit) else operation.payer.account_id


def _usage_row(op: Settle, charged: int, at_ms: int) -> dict[str, Any]:
    """The event of a settlement. ``at_ms`` is its time, but never one whose usage is summed up already."""
    payer, outcome = op.payer, op.outcome
    usage = outcome.usage
    return {
        "id": op.request_id,
        "account_id": payer.account_id,
        "key_id": payer.key_id,
        "end_user_id": payer.end_user_id,
        "thread_id": payer.thread_id,
        "turn_id": payer.turn_id,
        "provider": outcome.provider,
        "model": outcome.model,
        "tool": outcome.tool,
        "status": outcome.status,
        "http_status": outcome.http_status,
        "error_code": outcome.error_code,
        "estimated": usage.estimated,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cost_nanos": charged,
        "shortfall_nanos": outcome.cost.nanos - charged,
        "breakdown": msgspec.json.encode(outcome.cost.breakdown).decode(),
        "latency_ms": outcome.latency_ms,
        "created_at": at_ms,
    }
