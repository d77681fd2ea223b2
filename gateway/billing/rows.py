"""The rows that a group of billing operations touches: loaded together, changed in memory, written in bulk.

Wallet rows are locked first and in one order (PostgreSQL ``FOR UPDATE``; SQLite has one writer), so all
operations on an account are serial whatever number of processes run.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlmodel import Session

from gateway.accounts.end_users import end_user_row_id
from gateway.billing.ledger import WalletState
from gateway.billing.periods import period_label, start_ms
from gateway.billing.rates import Bucket, KeyRates
from gateway.billing.row_statements import (
    DELETE_HOLDS,
    INSERT_ENTRY,
    INSERT_EVENT,
    INSERT_HOLD,
    INSERT_USAGE,
    SELECT_END_USERS,
    SELECT_HOLDS,
    SELECT_KEYS,
    SELECT_RATES,
    SELECT_RUNNING,
    SELECT_SPENDS,
    SELECT_WALLETS,
    UPDATE_RATE,
    UPDATE_SPEND,
    UPDATE_WALLET,
)
from gateway.billing.tables import HOLD, RATE, SPEND, USAGE
from kit.errors import HeddleError
from kit.prepared import Driver, Prepared
from kit.writer import connection_of


@dataclass(slots=True)
class KeyRow:
    """A key as admission needs it."""

    account_id: str
    cap: int | None
    period: str
    revoked: bool
    rpm: int | None
    tpm: int | None
    max_concurrent: int | None

    @property
    def is_rated(self) -> bool:
        return self.rpm is not None or self.tpm is not None


@dataclass(frozen=True, slots=True)
class Capped:
    """Whose spending is limited: a key's, or an end user's of an account. ``cap`` None: only counted."""

    subject: str
    account_id: str
    cap: int | None
    period: str
    end_user_id: str | None = None

    def owns(self, row: dict[str, Any]) -> bool:
        """Whether a row of holds or usage is this one's."""
        if self.end_user_id is None:
            return bool(row["key_id"] == self.subject)
        return bool(row["account_id"] == self.account_id and row["end_user_id"] == self.end_user_id)

    def condition(self, table: Any) -> Any:
        """The same for a table."""
        if self.end_user_id is None:
            return table.c.key_id == self.subject
        return (table.c.account_id == self.account_id) & (table.c.end_user_id == self.end_user_id)


@dataclass(slots=True)
class Spending:
    """A row of ``spend``."""

    account_id: str
    period: str
    spent: int
    held: int
    warned_percent: int = 0
    is_new: bool = False


@dataclass(slots=True)
class HoldRow:
    amount: int
    tokens: int


class Rows:
    """The rows of one group of operations. Raises HeddleError if an account has no wallet."""

    def __init__(
        self,
        session: Session,
        *,
        accounts: Collection[str],
        keys: Collection[str],
        end_users: Collection[tuple[str, str]],
        requests: Collection[str],
    ) -> None:
        self.connection = connection_of(session)
        self._driver = Driver.of(self.connection)
        self._wallets = {row[0]: WalletState(*row) for row in self._rows(SELECT_WALLETS, accounts)}
        self.keys = {
            row[0]: KeyRow(row[1], row[2], row[3], row[4] is not None, *row[5:])
            for row in self._rows(SELECT_KEYS, keys)
        }
        self._end_users = {row[0]: row for row in self._rows(SELECT_END_USERS, self._named(end_users))}
        self._spends = {
            row[0]: Spending("", *row[1:]) for row in self._rows(SELECT_SPENDS, [*keys, *self._end_users])
        }
        rated = [key_id for key_id, key in self.keys.items() if key.is_rated]
        self._rates = {row[0]: row[1:] for row in self._rows(SELECT_RATES, rated)}
        self._running: dict[str, int] | None = None
        self.holds = {row[0]: HoldRow(row[1], row[2]) for row in self._rows(SELECT_HOLDS, requests)}
        self._capped: dict[str, Capped] = {}
        self._touched_spends: set[str] = set()
        self._changed_rates: dict[str, KeyRates] = {}
        self._new_rates: set[str] = set()
        self.new_holds: dict[str, dict[str, Any]] = {}
        self.gone_holds: list[str] = []
        self.entries: list[dict[str, Any]] = []
        self.usage: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    @staticmethod
    def _named(end_users: Collection[tuple[str, str]]) -> list[str]:
        return [end_user_row_id(account_id, end_user_id) for account_id, end_user_id in end_users]

    def wallet(self, account_id: str) -> WalletState:
        wallet = self._wallets.get(account_id)
        if wallet is None:
            raise HeddleError(f"account {account_id} has no wallet")
        return wallet

    # --- spending ---------------------------------------------------------------------------------

    def capped_key(self, key_id: str) -> Capped | None:
        """The key, if it has a cap or its spending is counted since it had one."""
        known = self._capped.get(key_id)
        if known is not None:
            return known
        key = self.keys.get(key_id)
        if key is None or (key.cap is None and key_id not in self._spends):
            return None
        self._capped[key_id] = capped = Capped(key_id, key.account_id, key.cap, key.period)
        return capped

    def capped_end_user(self, account_id: str, end_user_id: str | None) -> Capped | None:
        """The end user, if it has a budget or its spending is counted since it had one."""
        if end_user_id is None or not self._end_users:
            return None
        row = self._end_users.get(end_user_row_id(account_id, end_user_id))
        if row is None or (row[1] is None and row[0] not in self._spends):
            return None
        return Capped(row[0], account_id, row[1], row[2], end_user_id)

    def spending(self, capped: Capped, now_ms: int) -> Spending:
        """The spending of the current period; a new period is summed up from what happened in it."""
        label = period_label(capped.period, now_ms)
        known = self._spends.get(capped.subject)
        if known is not None and known.period == label:
            return known
        spent = select(func.coalesce(func.sum(USAGE.c.cost_nanos), 0)).where(
            capped.condition(USAGE), USAGE.c.created_at >= start_ms(capped.period, now_ms)
        )
        held = select(func.coalesce(func.sum(HOLD.c.amount_nanos), 0)).where(capped.condition(HOLD))
        # Operations of this very group are not in the tables yet.
        mine = [row for row in self.new_holds.values() if capped.owns(row)]
        unwritten = [row for row in self.usage.values() if capped.owns(row)]
        fresh = Spending(
            account_id=capped.account_id,
            period=label,
            spent=self._sum(spent) + sum(row["cost_nanos"] for row in unwritten),
            held=self._sum(held) + sum(row["amount_nanos"] for row in mine) - self._gone(capped),
            is_new=known is None or known.is_new,
        )
        self._spends[capped.subject] = fresh
        self._touched_spends.add(capped.subject)
        return fresh

    def spent_now(self, capped: Capped) -> Spending | None:
        """The spending as it stands, whichever period it is of; to be changed by a settlement."""
        return self._spends.get(capped.subject)

    def touch(self, capped: Capped) -> None:
        """Have the spending written back."""
        self._touched_spends.add(capped.subject)

    def _gone(self, capped: Capped) -> int:
        """What the holds that this group released still count for in the table."""
        if not self.gone_holds:
            return 0
        query = select(func.coalesce(func.sum(HOLD.c.amount_nanos), 0)).where(
            capped.condition(HOLD), HOLD.c.id.in_(self.gone_holds)
        )
        return self._sum(query)

    def _sum(self, query: Any) -> int:
        return int(self.connection.execute(query).scalar_one())

    # --- rates ------------------------------------------------------------------------------------

    def rates(self, key_id: str, now_ms: int) -> KeyRates | None:
        """The key's buckets, refilled up to now; None if it has no limits."""
        key = self.keys.get(key_id)
        if key is None or not key.is_rated:
            return None
        changed = self._changed_rates.get(key_id)
        if changed is None:
            stored = self._rates.get(key_id)
            buckets = [None if limit is None else Bucket.full(limit) for limit in (key.rpm, key.tpm)]
            since = now_ms if stored is None else stored[2]
            changed = KeyRates(requests=buckets[0], tokens=buckets[1], updated_at=since)
            if stored is None:
                self._new_rates.add(key_id)
            else:
                for bucket, level in zip(buckets, stored, strict=False):
                    if bucket is not None:
                        bucket.level = min(bucket.level, level)
            self._changed_rates[key_id] = changed
        changed.refill(now_ms)
        return changed

    def running(self, key_id: str) -> int:
        """How many calls of a key are under way."""
        if self._running is None:
            limited = [name for name, key in self.keys.items() if key.max_concurrent is not None]
            self._running = {row[0]: row[1] for row in self._rows(SELECT_RUNNING, limited)}
            for row in self.new_holds.values():
                self._running[row["key_id"]] = self._running.get(row["key_id"], 0) + 1
            gone = select(HOLD.c.key_id).where(HOLD.c.id.in_(self.gone_holds))
            for name in self.connection.execute(gone).scalars() if self.gone_holds else ():
                self._running[name] = self._running.get(name, 0) - 1
        return self._running.get(key_id, 0)

    # --- holds and usage --------------------------------------------------------------------------

    def add_hold(self, row: dict[str, Any]) -> None:
        self.new_holds[row["id"]] = row
        if self._running is not None:
            self._running[row["key_id"]] = self._running.get(row["key_id"], 0) + 1

    def release(self, request_id: str, key_id: str) -> None:
        del self.holds[request_id]
        self.gone_holds.append(request_id)
        if self._running is not None:
            self._running[key_id] = self._running.get(key_id, 0) - 1

    def is_recorded(self, request_id: str) -> bool:
        """Whether a call was settled before."""
        if request_id in self.usage:
            return True
        query = select(USAGE.c.id).where(USAGE.c.id == request_id)
        return self.connection.execute(query).first() is not None

    # --- writing ----------------------------------------------------------------------------------

    def write_back(self) -> None:
        driver = self._driver
        if self._wallets:
            UPDATE_WALLET.run(driver, [_wallet_values(wallet) for wallet in self._wallets.values()])
        self._write_spends()
        self._write_rates()
        if self.new_holds:
            INSERT_HOLD.run(driver, list(self.new_holds.values()))
        if self.gone_holds:
            DELETE_HOLDS.run(driver, [{"ids": driver.values_of(self.gone_holds)}])
        for statement, rows in (
            (INSERT_ENTRY, self.entries),
            (INSERT_USAGE, list(self.usage.values())),
            (INSERT_EVENT, self.events),
        ):
            if rows:
                statement.run(driver, rows)

    def _write_spends(self) -> None:
        new, changed = [], []
        for subject in self._touched_spends:
            spending = self._spends[subject]
            row = {
                "period": spending.period,
                "spent_nanos": spending.spent,
                "held_nanos": spending.held,
                "warned_percent": spending.warned_percent,
            }
            if spending.is_new:
                new.append({"subject": subject, "account_id": spending.account_id, **row})
            else:
                changed.append({"b_subject": subject, **row})
        if new:
            self.connection.execute(insert(SPEND), new)
        if changed:
            UPDATE_SPEND.run(self._driver, changed)

    def _write_rates(self) -> None:
        new, changed = [], []
        for key_id, rates in self._changed_rates.items():
            row = {
                "requests_level": rates.requests.level if rates.requests is not None else 0,
                "tokens_level": rates.tokens.level if rates.tokens is not None else 0,
                "updated_at": rates.updated_at,
            }
            if key_id in self._new_rates:
                new.append({"key_id": key_id, "account_id": self.keys[key_id].account_id, **row})
            else:
                changed.append({"b_key_id": key_id, **row})
        if new:
            self.connection.execute(insert(RATE), new)
        if changed:
            UPDATE_RATE.run(self._driver, changed)

    def _rows(self, statement: Prepared, ids: Collection[str]) -> Sequence[Any]:
        if not ids:
            return ()
        return statement.rows(self._driver, {"ids": self._driver.values_of(ids)})


def _wallet_values(wallet: WalletState) -> dict[str, Any]:
    return {
        "b_account_id": wallet.account_id,
        "balance_nanos": wallet.balance_nanos,
        "held_nanos": wallet.held_nanos,
        "ledger_seq": wallet.ledger_seq,
        "ledger_hash": wallet.ledger_hash,
        "debt_nanos": wallet.debt_nanos,
        "told": wallet.told,
    }
