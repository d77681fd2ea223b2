"""Renewal: new tokens for a connection, asked for once, whoever needs them.

Invariants (rotating refresh tokens make every breach of them fatal for the grant):
- whether to refresh is decided under the row's lock, after reading it again, and at most one process
  refreshes a connection at a time (``refresh_owner``/``refresh_until``; the lease outlasts the request);
- a refresh that was begun is finished, also when whoever needed it has gone;
- new tokens are committed before they are used, and only over the generation they were made from;
- ``invalid_grant`` is believed only if the generation has not moved meanwhile;
- a refresh whose answer was lost (a crash, a broken connection) is known by the owner that it left in the
  row: it is made again once, with the tokens that are there, before the connection counts as expired.
No transaction is open while the vendor is asked.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakValueDictionary

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from connectors.clients import OAuthClients
from connectors.connections import Connections
from connectors.http import TOTAL_TIMEOUT_S, OAuthHttp
from connectors.models import Connection
from connectors.oauth import OAuthFailed, refresh, revoke
from connectors.pauses import pause_ms
from connectors.status import ACTIVE, ENDED, ERROR, EXPIRED, REFRESH_REASONS, REVOKED, Reason, set_status
from connectors.token_answer import Tokens
from connectors.token_target import token_target
from kit.clock import Clock
from kit.crash_points import reach
from kit.db import Database
from kit.errors import HeddleError, UpstreamUnavailable
from kit.ids import new_id

logger = logging.getLogger("heddle.connectors")

REFRESH_EARLY_MS = 5 * 60 * 1000
LEASE_MS = round(TOTAL_TIMEOUT_S * 1000) + 10_000
WAIT_S = LEASE_MS / 1000 + 10.0
POLL_S = 0.05
STORE_TRIES = 6
CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client"})

Why = Literal["expiring", "rejected", "idle"]
"""``rejected``: the vendor answered 401 to a token that looked good. ``idle``: refreshing keeps it alive."""


class NoRefreshToken(OAuthFailed):
    """There is nothing to ask the vendor with."""

    def __init__(self) -> None:
        super().__init__("the vendor gave no refresh token", "invalid_grant")


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the row says about refreshing it now."""

    verdict: Literal["ours", "fresh", "busy", "resting", "ended"]
    wait_ms: int = 0
    interrupted: bool = False


class Renewal:
    def __init__(
        self, db: Database, clock: Clock, http: OAuthHttp, clients: OAuthClients, connections: Connections
    ) -> None:
        self._db = db
        self._clock = clock
        self._http = http
        self._clients = clients
        self._connections = connections
        self._owner = new_id("proc")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._running: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait for the refreshes under way; each is bounded by its HTTP time limit."""
        if self._running:
            await asyncio.wait(self._running)

    def is_due(self, row: Connection) -> bool:
        """Whether its token expires so soon that it is time to refresh."""
        return row.expires_at is not None and row.expires_at - REFRESH_EARLY_MS <= self._clock.now_ms()

    async def renew(self, seen: Connection, why: Why) -> None:
        """Wait for, or do, the one refresh of the generation that was seen; then what the row has is to be
        used: new tokens, those that are good for a while yet, or none.

        Raises UpstreamFailed where there is nothing to use and the vendor cannot or will not be asked.
        """
        lock = self._locks.setdefault(seen.id, asyncio.Lock())
        if lock.locked() and self._usable(seen, why):
            return
        task = asyncio.create_task(self._alone(seen, why, lock))
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    def _usable(self, row: Connection, why: Why) -> bool:
        """Whether the tokens that are there serve for now."""
        return why != "rejected" and (row.expires_at is None or row.expires_at > self._clock.now_ms())

    async def _alone(self, seen: Connection, why: Why, lock: asyncio.Lock) -> None:
        async with lock:
            deadline = asyncio.get_running_loop().time() + WAIT_S
            while True:
                turn = await self._db.write(lambda session: self._turn(session, seen, why))
                if turn.verdict in {"fresh", "ended"}:
                    return
                if turn.verdict == "ours":
                    if await self._refresh(seen, why, interrupted=turn.interrupted):
                        return
                    continue
                if self._usable(seen, why):
                    return
                late = asyncio.get_running_loop().time() > deadline
                if turn.verdict == "resting" or late:
                    raise _not_now(seen, turn.wait_ms)
                await asyncio.sleep(POLL_S)

    def _turn(self, session: Session, seen: Connection, why: Why) -> _Turn:
        now = self._clock.now_ms()
        row = _locked(session, seen)
        if row is None or row.status in ENDED:
            return _Turn("ended")
        if row.generation > seen.generation or (why == "expiring" and not self.is_due(row)):
            return _Turn("fresh")
        if row.refresh_until >= now:
            return _Turn("busy", row.refresh_until - now)
        if row.refresh_after > now:
            return _Turn("resting", row.refresh_after - now)
        interrupted = row.refresh_owner is not None
        row.refresh_owner, row.refresh_until = self._owner, now + LEASE_MS
        session.add(row)
        return _Turn("ours", interrupted=interrupted)

    async def _refresh(self, seen: Connection, why: Why, *, interrupted: bool) -> bool:
        """Whether this settled it; if not, the row has another owner or other tokens by now."""
        reach("connection.refresh.taken")
        found = await self._connections.opened(seen.id)
        if found is None or found[0].refresh_owner != self._owner:  # deleted, or connected anew
            return False
        row, secret = found
        if row.refresh_until - self._clock.now_ms() < TOTAL_TIMEOUT_S * 1000:
            return False  # this process was held up: an answer might come after the lease
        try:
            tokens = await self._tokens(row, secret)
        except HeddleError as failure:
            told = failure
            if not await self._db.write(lambda session: self._failed(session, row, told, why, interrupted)):
                return False
            self._connections.changed(row.id)
            if self._usable(row, why) or _says_it_is_over(failure):
                return True
            raise
        reach("connection.refresh.answered")
        await self._keep(row, secret, tokens)
        reach("connection.refresh.committed")
        self._connections.changed(row.id)
        return True

    async def _tokens(self, row: Connection, secret: Mapping[str, Any]) -> Tokens:
        if not secret.get("refresh_token"):
            raise NoRefreshToken
        target = token_target(row.oauth)
        client = await self._clients.registered(row.account_id, row.connector, target)
        return await refresh(self._http, target, client, secret["refresh_token"], secret.get("values"))

    # --- rows ---------------------------------------------------------------------------------------

    def _failed(
        self, session: Session, seen: Connection, failure: HeddleError, why: Why, interrupted: bool
    ) -> bool:
        """Pause, and end the connection if the vendor has said so. False, and nothing done, if the row is
        about newer tokens or another's refresh by now."""
        now = self._clock.now_ms()
        row = _locked(session, seen)
        if row is None or row.generation != seen.generation or row.refresh_owner != self._owner:
            return False
        refusal = failure if isinstance(failure, OAuthFailed) else None
        lost = refusal is None or refusal.answered >= 500
        row.refresh_owner = self._owner if lost or interrupted else None
        row.refresh_until = 0
        row.refresh_failures += 1
        row.refresh_after = now + pause_ms(row.refresh_failures, refusal.retry_after if refusal else None)
        session.add(row)
        if _says_it_is_over(failure):
            refused: Reason = "refresh_interrupted" if interrupted else "grant_refused"
            reason = "no_refresh_token" if isinstance(failure, NoRefreshToken) else refused
            self._grant_over(session, row, why, now, reason)
        elif refusal is not None and refusal.is_final:
            client = refusal.oauth_error in CLIENT_ERRORS
            set_status(session, row, ERROR, "client_refused" if client else "vendor_refused", now)
        return True

    def _grant_over(self, session: Session, row: Connection, why: Why, now: int, reason: Reason) -> None:
        row.keep_alive_at = None
        if self._usable(row, why):
            return
        before_its_time = row.expires_at is None or row.expires_at > now
        revoked = before_its_time and reason != "refresh_interrupted"
        set_status(session, row, REVOKED if revoked else EXPIRED, reason, now)
        row.refresh_owner = None

    async def _keep(self, seen: Connection, secret: Mapping[str, Any], tokens: Tokens) -> None:
        """Commit new tokens. A database that fails for a moment must not cost them: there are no others."""
        renewed = {
            **secret,
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token or secret["refresh_token"],
        }
        for left in reversed(range(STORE_TRIES)):
            try:
                kept = await self._db.write(lambda session: self._store(session, seen, renewed, tokens))
                break
            except SQLAlchemyError:
                if not left:
                    raise
                logger.warning("new tokens of connection %s are not stored yet; trying again", seen.id)
                await asyncio.sleep(0.1 * 2 ** (STORE_TRIES - left))
        if not kept:
            await self._give_back(seen, renewed)

    def _store(self, session: Session, seen: Connection, renewed: Mapping[str, Any], tokens: Tokens) -> bool:
        """Whether there is still a connection that wants tokens, these or newer ones."""
        now = self._clock.now_ms()
        row = _locked(session, seen)
        if row is None:
            return False
        if row.generation != seen.generation:
            return True  # somebody connected anew meanwhile: a newer generation is never replaced
        if row.status in ENDED and row.status_reason not in REFRESH_REASONS:
            return False
        expires_at = None if tokens.expires_in is None else now + tokens.expires_in * 1000
        self._connections.replace_tokens(session, row, renewed, expires_at=expires_at)
        set_status(session, row, ACTIVE, None, now)
        reach("connection.refresh.applied")
        return True

    async def _give_back(self, row: Connection, secret: Mapping[str, Any]) -> None:
        """The connection was deleted while its tokens were renewed: nobody is to have them."""
        try:
            target = token_target(row.oauth)
            client = await self._clients.registered(row.account_id, row.connector, target)
            await revoke(self._http, target, client, secret["refresh_token"])
        except HeddleError as failure:
            logger.warning("revoking what connection %s no longer needs failed: %s", row.id, failure.code)


def _locked(session: Session, seen: Connection) -> Connection | None:
    return session.exec(select(Connection).where(Connection.id == seen.id).with_for_update()).first()


def _says_it_is_over(failure: HeddleError) -> bool:
    return isinstance(failure, OAuthFailed) and failure.oauth_error == "invalid_grant"


def _not_now(row: Connection, wait_ms: int) -> UpstreamUnavailable:
    wait_s = max(1, -(-wait_ms // 1000))
    return UpstreamUnavailable(
        f"{row.connector} gives no new token for connection {row.id} now; it is asked again in {wait_s} s",
        code="refresh_paused",
        details={"connector": row.connector, "retry_after_ms": wait_s * 1000},
        headers={"retry-after": str(wait_s)},
    )
