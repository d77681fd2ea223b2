"""The billing transaction: many operations applied together to the rows they touch.

Invariants (the tests in ``tests/gateway/billing`` try to break them):
- a wallet's balance and free part never go below zero, whatever runs concurrently;
- what a capped key has spent plus what it holds never passes its cap, nor an end user's its budget;
- a request id is charged at most once; an entry id moves money at most once;
- what an account owes is paid before anything else (``debt``);
- the wallet's balance always equals the sum of its ledger entries;
- what an account is told of (``alerts``) is written if and only if it happened.

Admission decides in this order, and each refusal has its own code: the key's rates (requests, tokens, calls
at once; not for what a turn does by itself), its cap, its end user's budget, the turn's budget, the wallet.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import select
from sqlmodel import Session

from gateway.billing import alerts
from gateway.billing.debt import repay, take_back
from gateway.billing.errors import (
    EndUserBudgetReached,
    KeyCapReached,
    KeyConcurrencyReached,
    KeyRateReached,
    TurnBudgetReached,
    WalletEmpty,
)
from gateway.billing.ledger import WalletState, next_entry
from gateway.billing.operations import (
    Admit,
    Admitted,
    Credit,
    Debit,
    Movement,
    Operation,
    Payer,
    SetBalance,
    Settle,
    Settled,
)
from gateway.billing.periods import resets_at_ms
from gateway.billing.play_money import entry_to, must_be_play_money
from gateway.billing.prices import TokenUsage
from gateway.billing.rates import KeyRates, RateStatus
from gateway.billing.rows import Capped, KeyRow, Rows
from gateway.billing.tables import LEDGER
from kit.errors import AuthenticationFailed, InvalidRequest
from kit.money import Nanos


class BillingBatch:
    """Applies a group of operations. ``low_balance`` is where an account is told that little is left."""

    def __init__(
        self, session: Session, operations: Sequence[Operation], *, low_balance: Nanos = Nanos(0)
    ) -> None:
        calls = [operation for operation in operations if isinstance(operation, Admit | Settle)]
        self._session = session
        self._low_balance = low_balance
        self._moved: set[tuple[str, str]] = set()
        self._rows = Rows(
            session,
            accounts={operation.account_id for operation in operations},
            keys={call.payer.key_id for call in calls},
            end_users={
                (call.payer.account_id, call.payer.end_user_id)
                for call in calls
                if call.payer.end_user_id is not None
            },
            requests={call.request_id for call in calls},
        )

    def apply(self, operation: Operation) -> Admitted | Settled | bool:
        """Raises PaymentRequired, RateLimited and other HeddleErrors for refusals; these move nothing."""
        wallet = self._rows.wallet(operation.account_id)
        if wallet.debt_nanos:
            self._repay(wallet, operation.now_ms)
        outcome: Admitted | Settled | bool = _APPLY[type(operation)](self, operation)
        if wallet.debt_nanos:
            self._repay(wallet, operation.now_ms)
        return outcome

    def write_back(self) -> None:
        self._rows.write_back()

    # --- admission --------------------------------------------------------------------------------

    def _admit(self, op: Admit) -> Admitted:
        rows, payer, bound = self._rows, op.payer, op.bound
        wallet = rows.wallet(payer.account_id)
        key = rows.keys.get(payer.key_id)
        if key is None or key.revoked:
            raise AuthenticationFailed("this API key has been revoked", code="key_revoked")
        if op.request_id in rows.new_holds or op.request_id in rows.holds:
            raise InvalidRequest(f"request {op.request_id} is already running", code="duplicate_request")
        rates = self._within_rates(op, key) if op.rated else None
        capped = self._limited(payer)
        available = min([wallet.available, *(self._free(one, op) for one in capped)])
        if op.budget is not None:
            left = op.budget.limit - op.budget.spent
            if left < bound.least:
                raise TurnBudgetReached(needed=bound.least, budget=op.budget.limit, spent=op.budget.spent)
            available = min(available, left)
        if wallet.available < bound.least:
            self._tell(alerts.of_empty(wallet, op.now_ms))
            raise WalletEmpty(needed=bound.least, balance=wallet.balance_nanos, held=wallet.held_nanos)
        granted = bound.affordable_output(available)
        held = Nanos(bound.input_nanos + bound.for_output(granted))
        wallet.held_nanos += held
        for one in capped:
            rows.spending(one, op.now_ms).held += held
            rows.touch(one)
        rows.add_hold(
            {
                "id": op.request_id,
                "account_id": payer.account_id,
                "key_id": payer.key_id,
                "end_user_id": payer.end_user_id,
                "amount_nanos": held,
                "tokens": op.tokens,
                "owner": op.owner,
                "expires_at": op.expires_at,
                "created_at": op.now_ms,
            }
        )
        lowered = granted < bound.max_output_tokens
        return Admitted(op.request_id, payer, held, granted, lowered, _taken(rates, op.tokens))

    def _within_rates(self, op: Admit, key: KeyRow) -> KeyRates | None:
        """The key's buckets; nothing is taken of them yet. Raises KeyRateReached, KeyConcurrencyReached."""
        rates = self._rows.rates(op.payer.key_id, op.now_ms)
        if rates is not None:
            for what, bucket, count in (
                ("requests", rates.requests, 1),
                ("tokens", rates.tokens, op.tokens),
            ):
                wait_ms = 0 if bucket is None else bucket.wait_ms(count)
                if bucket is not None and wait_ms:
                    status = rates.status()
                    raise KeyRateReached(what, limit=bucket.per_minute, wait_ms=wait_ms, status=status)
        if key.max_concurrent is not None:
            running = self._rows.running(op.payer.key_id)
            if running >= key.max_concurrent:
                raise KeyConcurrencyReached(limit=key.max_concurrent, running=running)
        return rates

    def _limited(self, payer: Payer) -> list[Capped]:
        """Those whose spending this call is counted to: its key, its end user."""
        found = (
            self._rows.capped_key(payer.key_id),
            self._rows.capped_end_user(payer.account_id, payer.end_user_id),
        )
        return [capped for capped in found if capped is not None]

    def _free(self, capped: Capped, op: Admit) -> int:
        """What a cap leaves. Raises KeyCapReached or EndUserBudgetReached if that is too little."""
        spending = self._rows.spending(capped, op.now_ms)
        if capped.cap is None:
            return self._rows.wallet(op.payer.account_id).available
        free = capped.cap - spending.spent - spending.held
        needed = op.bound.least
        if free >= needed:
            return free
        self._tell(alerts.of_reached_cap(capped, spending, op.now_ms))
        self._rows.touch(capped)
        resets_at = resets_at_ms(capped.period, op.now_ms)
        if capped.end_user_id is None:
            raise KeyCapReached(
                needed=needed,
                cap=capped.cap,
                spent=spending.spent,
                held=spending.held,
                resets_at=resets_at,
            )
        raise EndUserBudgetReached(
            capped.end_user_id,
            needed=needed,
            budget=capped.cap,
            spent=spending.spent,
            held=spending.held,
            resets_at=resets_at,
        )

    # --- settlement -------------------------------------------------------------------------------

    def _settle(self, op: Settle) -> Settled:
        rows, payer = self._rows, op.payer
        hold = rows.holds.get(op.request_id)
        if hold is None and rows.is_recorded(op.request_id):
            return Settled(Nanos(0), replayed=True)
        result = self._ride(op)
        wallet = rows.wallet(payer.account_id)
        released = hold.amount if hold is not None else 0
        wallet.held_nanos -= released
        balance_before = wallet.balance_nanos
        capped = self._limited(payer)
        charged = self._chargeable(op, released, capped)
        at_ms = max(op.now_ms, wallet.usage_rolled_until)
        if charged:
            rows.entries.append(
                next_entry(
                    wallet,
                    entry_id=op.request_id,
                    kind=op.outcome.ledger_kind,
                    amount_nanos=-charged,
                    reference=op.outcome.tool or op.outcome.model,
                    created_at=at_ms,
                )
            )
            self._tell(alerts.of_low(wallet, balance_before, self._low_balance, op.now_ms))
        for one in capped:
            spending = rows.spent_now(one)
            if spending is not None:
                spending.held -= min(released, spending.held)
                spending.spent += charged
                rows.touch(one)
                self._tell(alerts.of_spending(one, spending, op.now_ms))
        if hold is not None:  # else what admission took of the key's rate stays taken
            rates = rows.rates(payer.key_id, op.now_ms)
            if rates is not None and rates.tokens is not None:
                rates.tokens.give_back(hold.tokens)
                rates.tokens.take(_tokens(op.outcome.usage))
            rows.release(op.request_id, payer.key_id)
        rows.usage[op.request_id] = _usage_row(op, charged, at_ms)
        return Settled(Nanos(charged), result, free=Nanos(wallet.available))

    def _chargeable(self, op: Settle, released: int, capped: Sequence[Capped]) -> int:
        """What of the cost is charged: all of it, unless it is above its hold and there is no more in the
        wallet, or under a cap."""
        cost = op.outcome.cost.nanos
        if cost <= released:
            return cost
        left = [self._rows.wallet(op.payer.account_id).available]
        for one in capped:
            spending = self._rows.spent_now(one)
            if one.cap is not None and spending is not None:
                left.append(one.cap - spending.spent - max(0, spending.held - released))
        return max(released, min(cost, *left)) if released else max(0, min(cost, *left))

    def _credit(self, op: Credit) -> bool:
        """True if the money moved, False if this entry id was credited before."""
        if op.amount <= 0:
            raise InvalidRequest("a credit must be more than zero", param="amount_usd")
        if not self._is_new(op):
            return False
        wallet = self._rows.wallet(op.account_id)
        self._rows.entries.append(
            next_entry(
                wallet,
                entry_id=op.entry_id,
                kind=op.kind,
                amount_nanos=op.amount,
                reference=op.reference,
                created_at=op.now_ms,
            )
        )
        self._tell(alerts.of_credit(wallet, op.kind, op.amount, self._low_balance, op.now_ms))
        return True

    def _debit(self, op: Debit) -> bool:
        """True if the money moved, False if this entry id was debited before."""
        if op.amount <= 0:
            raise InvalidRequest("a debit must be more than zero", param="amount_usd")
        if not self._is_new(op):
            return False
        wallet = self._rows.wallet(op.account_id)
        before = wallet.balance_nanos
        self._rows.entries.extend(take_back(wallet, op))
        self._tell(alerts.of_low(wallet, before, self._low_balance, op.now_ms))
        return True

    def _set_balance(self, op: SetBalance) -> bool:
        """Whether any money moved. Raises PermissionDenied for a live wallet, Conflict below what is held."""
        must_be_play_money(self._rows.connection, op.account_id)
        wallet = self._rows.wallet(op.account_id)
        before = wallet.balance_nanos
        entry = entry_to(wallet, op)
        if entry is None:
            return False
        self._rows.entries.append(entry)
        if wallet.balance_nanos > before:
            added = Nanos(wallet.balance_nanos - before)
            self._tell(alerts.of_credit(wallet, "adjustment", added, self._low_balance, op.now_ms))
        else:
            self._tell(alerts.of_low(wallet, before, self._low_balance, op.now_ms))
        return True

    def _is_new(self, op: Credit | Debit) -> bool:
        """Whether this entry id has not moved money yet; from now on it has."""
        name = (op.account_id, op.entry_id)
        known = select(LEDGER.c.id).where(
            LEDGER.c.account_id == op.account_id, LEDGER.c.entry_id == op.entry_id
        )
        if name in self._moved or self._rows.connection.execute(known).first() is not None:
            return False
        self._moved.add(name)
        return True

    def _repay(self, wallet: WalletState, now_ms: int) -> None:
        """Pay what the account owes with what is free: before an operation, and with what it released."""
        self._rows.entries.extend(repay(wallet, now_ms))

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

    def _tell(self, event: dict[str, Any] | None) -> None:
        if event is not None:
            self._rows.events.append(event)


_APPLY: dict[type[Operation], Callable[[BillingBatch, Any], Any]] = {
    Admit: BillingBatch._admit,
    Settle: BillingBatch._settle,
    Credit: BillingBatch._credit,
    Debit: BillingBatch._debit,
    SetBalance: BillingBatch._set_balance,
}


def move(session: Session, movements: Sequence[Movement], *, low_balance: Nanos = Nanos(0)) -> None:
    """Move money inside the caller's own transaction, with whatever else it writes."""
    batch = BillingBatch(session, movements, low_balance=low_balance)
    for movement in movements:
        batch.apply(movement)
    batch.write_back()


def _taken(rates: KeyRates | None, tokens: int) -> RateStatus | None:
    """Take a call out of the key's buckets; what is left then."""
    if rates is None:
        return None
    if rates.requests is not None:
        rates.requests.take(1)
    if rates.tokens is not None:
        rates.tokens.take(tokens)
    return rates.status()


def _tokens(usage: TokenUsage) -> int:
    return usage.total_input_tokens + usage.output_tokens


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
        "purpose": payer.purpose,
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
