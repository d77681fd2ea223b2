"""A machine that tops up, admits, settles, replays, expires, crashes and resets, and checks the books after
every step."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from sqlmodel import Session, col, func, select

from gateway.accounts.end_users import end_user_row_id
from gateway.accounts.models import Account, ApiKey, EndUser
from gateway.billing.batch import BillingBatch
from gateway.billing.holds import reap_holds
from gateway.billing.ledger import verify_account
from gateway.billing.models import Hold, LedgerEntry, UsageEvent, Wallet
from gateway.billing.operations import Admit, Admitted, Credit, Operation, Payer, Settle, Settled
from gateway.billing.periods import start_ms
from gateway.billing.prices import CostBound
from kit.db import parse_database_url, sync_engine
from kit.errors import HeddleError
from kit.money import Nanos
from tests.gateway.billing.conftest import ONE_TOKEN_USD, outcome
from tests.schema import create_sqlite

ACCOUNT = "acct_machine"
KEYS = {"free": (None, "lifetime"), "capped": (20_000, "lifetime"), "daily": (8_000, "day")}
BUDGETS = {"ann": (15_000, "month"), "bob": (5_000, "day")}
START_MS = 1_772_236_740_000  # 2026-02-27T23:59:00Z: a day, and soon a month, are about to end
LIFETIME_MS = 60_000

amounts = st.integers(0, 6_000)
costs = st.sampled_from([0, 500, 3_000, 7_000, 12_000])
crashes = st.sampled_from([False, False, False, True])
payers = st.tuples(st.sampled_from(sorted(KEYS)), st.sampled_from([None, *sorted(BUDGETS), "nobody"]))


class Books(RuleBasedStateMachine):
    """Groups of operations against one account's rows on a real database."""

    running: Bundle[str] = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self._folder.name) / 'books.db'}"
        create_sqlite(url)
        self._engine = sync_engine(parse_database_url(url))
        self._now = START_MS
        self._number = 0
        self._payers: dict[str, Payer] = {}
        self._credited: dict[str, int] = {}
        self._charged: dict[str, int] = {}
        with Session(self._engine) as session:
            session.add(Account(id=ACCOUNT, name="machine", created_at=1))
            session.flush()
            session.add(Wallet(account_id=ACCOUNT))
            for name, (cap, period) in KEYS.items():
                key = ApiKey(
                    id=name,
                    account_id=ACCOUNT,
                    secret_sha256=name,
                    prefix="",
                    name=name,
                    scope="standard",
                    cap_nanos=cap,
                    cap_period=period,
                    created_at=1,
                )
                session.add(key)
            for name, (budget, period) in BUDGETS.items():
                row = EndUser(
                    id=end_user_row_id(ACCOUNT, name),
                    account_id=ACCOUNT,
                    end_user_id=name,
                    budget_nanos=budget,
                    budget_period=period,
                    created_at=1,
                    updated_at=1,
                )
                session.add(row)
            session.commit()

    def teardown(self) -> None:
        self._engine.dispose()
        self._folder.cleanup()

    # --- what happens -----------------------------------------------------------------------------

    @rule(amount=st.integers(1, 30_000), number=st.integers(0, 5), crash=crashes)
    def top_up(self, amount: int, number: int, crash: bool) -> None:
        entry_id = f"payment-{number}"
        amount = self._credited.get(entry_id, amount)
        credit = Credit(ACCOUNT, entry_id, "topup", Nanos(amount), "test", self._now)
        for moved in self._commit([credit, credit], crash=crash):
            if moved is True:
                assert entry_id not in self._credited
                self._credited[entry_id] = amount

    @rule(
        target=running,
        asked=st.tuples(payers, amounts, st.integers(0, 5)),
        others=st.lists(st.tuples(payers, amounts, st.integers(0, 5)), max_size=3),
        crash=crashes,
    )
    def admit(
        self,
        asked: tuple[tuple[str, str | None], int, int],
        others: list[tuple[tuple[str, str | None], int, int]],
        crash: bool,
    ) -> str:
        group: list[Operation] = []
        for (key_id, end_user), nanos, tokens in [asked, *others]:
            self._number += 1
            request_id = f"r{self._number}"
            self._payers[request_id] = payer = Payer(ACCOUNT, key_id, end_user)
            bound = CostBound(Nanos(nanos), ONE_TOKEN_USD, tokens)
            group.append(Admit(request_id, payer, bound, "me", self._now, self._now + LIFETIME_MS))
        first = group[0]
        assert isinstance(first, Admit)
        for answer in self._commit(group, crash=crash):
            assert isinstance(answer, Admitted | HeddleError)
        return first.request_id

    @rule(request=running, cost=costs, again=st.integers(1, 3), crash=crashes)
    def settle(self, request: str, cost: int, again: int, crash: bool) -> None:
        one = Settle(request, self._payers[request], outcome(cost), self._now)
        for answer in self._commit([one] * again, crash=crash):
            assert isinstance(answer, Settled)
            if not answer.replayed:
                assert request not in self._charged
                assert answer.charged <= cost
                self._charged[request] = answer.charged

    @rule(seconds=st.sampled_from([1, 59, 61, 3_600, 86_400, 86_400 * 29]))
    def time_passes(self, seconds: int) -> None:
        self._now += seconds * 1000

    @rule(everything=st.booleans())
    def the_reaper_comes(self, everything: bool) -> None:
        with Session(self._engine) as session:
            reap_holds(session, expired_before=self._now, except_owner="other" if everything else None)
            session.commit()

    def _commit(self, group: list[Operation], *, crash: bool) -> list[object]:
        """Apply a group as the writer does. A crash before the commit leaves nothing behind."""
        answers: list[object] = []
        with Session(self._engine) as session:
            batch = BillingBatch(session, group, low_balance=Nanos(4_000))
            for operation in group:
                try:
                    answers.append(batch.apply(operation))
                except HeddleError as refusal:
                    answers.append(refusal)
            batch.write_back()
            if crash:
                session.rollback()
                return []
            session.commit()
        return answers

    # --- what must hold ---------------------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        with Session(self._engine) as session:
            wallet = session.get(Wallet, ACCOUNT)
            assert wallet is not None
            entries = session.exec(select(func.coalesce(func.sum(LedgerEntry.amount_nanos), 0))).one()
            held = session.exec(select(func.coalesce(func.sum(Hold.amount_nanos), 0))).one()
            assert list(verify_account(session, ACCOUNT)) == []
        assert 0 <= wallet.held_nanos <= wallet.balance_nanos
        assert wallet.held_nanos == held
        assert wallet.balance_nanos == entries == sum(self._credited.values()) - sum(self._charged.values())

    @invariant()
    def no_cap_is_passed(self) -> None:
        with Session(self._engine) as session:
            for name, (cap, period) in KEYS.items():
                if cap is not None:
                    assert self._used(session, period, lambda table, key=name: table.key_id == key) <= cap
            for name, (budget, period) in BUDGETS.items():
                used = self._used(session, period, lambda table, user=name: table.end_user_id == user)
                assert used <= budget

    def _used(self, session: Session, period: str, of: Callable[..., bool]) -> int:
        """Spent in the current period, and held."""
        spent = select(func.coalesce(func.sum(UsageEvent.cost_nanos), 0)).where(
            of(UsageEvent), col(UsageEvent.created_at) >= start_ms(period, self._now)
        )
        held = select(func.coalesce(func.sum(Hold.amount_nanos), 0)).where(of(Hold))
        return int(session.exec(spent).one()) + int(session.exec(held).one())


Books.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestBooks = Books.TestCase
