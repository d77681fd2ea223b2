"""Test mode: a live account's twin, which has test keys and play money.

Everything that belongs to an account (wallet, ledger, usage, threads, tools, connections, end users) is kept
apart by its id, and so test and live are two accounts.

Invariants:
- an account has at most one twin, whichever processes make it at once; a twin has none;
- a twin and its play wallet come into being together;
- of a twin a live key reaches the keys and nothing else; of a live account a test key reaches nothing.
"""

from decimal import Decimal

from sqlmodel import Session, col, select

from gateway.accounts.models import Account, ApiKey
from gateway.billing.batch import move
from gateway.billing.models import Wallet
from gateway.billing.operations import Credit
from kit.caller import Caller, Mode
from kit.clock import Clock
from kit.db import Database, one_at_a_time
from kit.errors import NotFound, PermissionDenied, Unsupported
from kit.ids import new_id
from kit.money import nanos_from_usd


class TestModeOff(Unsupported):
    """The simulated provider does not run here, and test calls go nowhere else."""

    code = "test_mode_off"

    def __init__(self) -> None:
        super().__init__(
            "test mode is off in this installation: its operator has set HEDDLE_SIM=off", param="mode"
        )


class Twins:
    """The twins of all accounts. ``possible``: whether the simulated provider runs."""

    def __init__(self, db: Database, clock: Clock, *, credit_usd: Decimal, possible: bool) -> None:
        self._db = db
        self._clock = clock
        self._credit = nanos_from_usd(credit_usd)
        self._possible = possible

    async def account_for(self, caller: Caller, mode: Mode | None, *, minting: bool = False) -> str | None:
        """The account whose keys of ``mode`` (its own unless said) the caller may manage; None if there is
        none yet. ``minting`` makes it. Raises PermissionDenied, TestModeOff."""
        mode = mode or caller.mode
        if caller.is_test and mode == "live":
            raise PermissionDenied(
                "a test key manages test keys only", code="live_key_required", param="mode"
            )
        if minting and mode == "test" and not self._possible:
            raise TestModeOff
        if mode == caller.mode:
            return caller.account_id
        found = await self._find(caller.account_id)
        if found is not None or not minting:
            return found
        return await self._db.write(lambda session: self._make(session, caller.account_id))

    async def owner(self, caller: Caller, key_id: str) -> tuple[str, Mode]:
        """Whose a key is: the caller's own account, or its twin. Raises NotFound for all others."""
        query = select(Account).join(ApiKey).where(ApiKey.id == key_id)
        async with self._db.session() as session:
            account = (await session.exec(query)).first()
        if account is None or caller.account_id not in {account.id, account.test_of}:
            raise NotFound(f"API key {key_id} not found")
        return account.id, account.mode

    async def _find(self, live_id: str) -> str | None:
        async with self._db.session() as session:
            return (await session.exec(select(Account.id).where(col(Account.test_of) == live_id))).first()

    def _make(self, session: Session, live_id: str) -> str:
        one_at_a_time(session.connection(), f"twin of {live_id}")
        known = session.exec(select(Account.id).where(col(Account.test_of) == live_id)).first()
        if known is not None:
            return known
        now = self._clock.now_ms()
        live = session.get_one(Account, live_id)
        assert live.test_of is None, "a twin has no twin"
        twin = Account(id=new_id("acct"), name=f"{live.name} (test)", test_of=live_id, created_at=now)
        session.add(twin)
        session.flush()
        session.add(Wallet(account_id=twin.id))
        session.flush()
        if self._credit:
            move(session, [Credit(twin.id, "play-money", "credit", self._credit, "play money", now)])
        return twin.id
