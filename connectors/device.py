"""The device flow (RFC 8628): the end user types a code at the vendor, on any machine.

A session of it goes ``polling → done | cancelled | failed``. Its row says when the vendor is asked next, and
whoever asks takes it for a while first: any process goes on after a restart, and two never ask at once.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlmodel import Session, col, select, update

from connectors.config_values import check_values
from connectors.connect import VERIFIER_PURPOSE, ConnectSessions, sha256
from connectors.consent import bound, flow_facts
from connectors.http import OAuthHttp
from connectors.models import ConnectSession
from connectors.oauth import OAuthFailed, oauth_failure, request_device_code, request_tokens
from connectors.registration import DEVICE_GRANT
from connectors.registry import ConnectorRegistry, ConnectorTarget
from connectors.token_target import token_target
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, InvalidRequest
from kit.ids import new_id
from vault.store import Vault

logger = logging.getLogger("heddle.connectors")

INTERVAL_S, SLOW_DOWN_S, MAX_INTERVAL_S = 5, 5, 60
"""RFC 8628, sections 3.2 and 3.5: the usual pause, and by how much a server's ``slow_down`` lengthens it."""
MAX_LIFETIME_S = 30 * 60
LEASE_MS = 30_000
LOOK_S = 1.0
BATCH = 20


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What the end user must be shown. Times in Unix milliseconds and seconds."""

    id: str
    user_code: str = field(repr=False)
    verification_uri: str
    verification_uri_complete: str | None = field(repr=False)
    expires_at: int
    interval_s: int


class DeviceFlows:
    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        http: OAuthHttp,
        registry: ConnectorRegistry,
        sessions: ConnectSessions,
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._http = http
        self._registry = registry
        self._sessions = sessions
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(
        self,
        account_id: str,
        connector: str,
        end_user_id: str,
        *,
        scopes: Sequence[str] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> DeviceCode:
        """Ask the vendor for a code. Raises NotFound, ClientNeeded, UpstreamFailed, or InvalidRequest where
        there is no device flow, or the account has its site vouch for who consents: nobody could here."""
        if await self._sessions.verification.url(account_id) is not None:
            raise InvalidRequest(
                "flow: the device flow cannot be verified by your site (PUT /v1/connect-verification)",
                param="flow",
            )
        target = await self._registry.get(account_id, connector)
        if target.auth == "api_key":
            raise InvalidRequest(f"{target.display_name} connects by a key: expected no flow", param="flow")
        values = check_values(target.config_schema, dict(config or {}))
        consents = self._sessions.consents
        grant = await consents.grant(target, values)
        if grant.device_endpoint is None:
            raise InvalidRequest(f"{target.display_name} offers no device flow", param="flow")
        client = await consents.clients.identity(account_id, target, grant)
        kept = bound(grant.target, client)
        granted = await self._sessions.granted(account_id, target.name, end_user_id)
        asked = grant.scopes_for(scopes, granted)
        answer = await request_device_code(self._http, grant, client, asked)
        body = answer.json or {}
        code, url = body.get("device_code"), body.get("verification_uri") or body.get("verification_url")
        if answer.status != 200 or not isinstance(code, str) or not isinstance(url, str):
            raise oauth_failure(answer, f"{kept.issuer} gave no device code")
        facts = {**flow_facts(grant, kept, asked), "interval": _seconds(body, "interval", INTERVAL_S)}
        sealed = msgspec.json.encode({"device_code": code, "values": values})
        lifetime_s = min(_seconds(body, "expires_in", MAX_LIFETIME_S), MAX_LIFETIME_S)
        row = self._row(account_id, target, end_user_id, facts, lifetime_s)
        await self._db.write(lambda session: self._insert(session, row, sealed))
        complete = body.get("verification_uri_complete")
        return DeviceCode(
            row.id,
            str(body.get("user_code", "")),
            self._http.check(url),
            self._http.check(complete) if isinstance(complete, str) else None,
            row.expires_at,
            facts["interval"],
        )

    def start(self) -> None:
        """Ask about all flows that are due, until ``close``."""
        self._task = asyncio.create_task(self._run(), name="device flows")

    async def close(self) -> None:
        """What is being asked right now is let finish: an answer comes only once."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                await self.poll_due()
            except Exception:
                logger.exception("polling device flows failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LOOK_S)

    async def poll_due(self) -> int:
        """Ask once about each flow that is due; how many that were."""
        now = self._clock.now_ms()
        query = (
            select(ConnectSession)
            .where(col(ConnectSession.poll_at) <= now, ConnectSession.status == "polling")
            .order_by(col(ConnectSession.poll_at))
            .limit(BATCH)
        )
        async with self._db.session() as session:
            due = (await session.exec(query)).all()
        taken = [row for row in due if await self._take(row, now)]
        await asyncio.gather(*(self._poll(row) for row in taken))
        return len(taken)

    async def _poll(self, row: ConnectSession) -> None:
        facts: dict[str, Any] = row.flow or {}
        if row.expires_at <= self._clock.now_ms():
            await self._sessions.fail(row, "nobody entered the code in time", before={"polling"})
            return
        try:
            await self._ask(row, facts)
        except OAuthFailed as refusal:
            await self._refused(row, facts, refusal)
        except HeddleError as failure:
            logger.info("device flow %s: the vendor could not be asked: %s", row.id, failure.code)
            await self._again(row, min(facts["interval"] * 2, MAX_INTERVAL_S))

    async def _ask(self, row: ConnectSession, facts: dict[str, Any]) -> None:
        target = await self._registry.get(row.account_id, row.connector)
        kept = token_target(facts["target"])
        consents = self._sessions.consents
        client = await consents.clients.registered(row.account_id, row.connector, kept)
        assert row.verifier_secret_id is not None
        opened = msgspec.json.decode(
            await self._vault.open(
                row.verifier_secret_id, account_id=row.account_id, owner=row.id, purpose=VERIFIER_PURPOSE
            )
        )
        form = {"grant_type": DEVICE_GRANT, "device_code": opened["device_code"]}
        tokens = await request_tokens(self._http, kept, client, form)
        new = await consents.credentials(target, facts, opened["values"], tokens, {})
        await self._sessions.store(row, new)

    async def _refused(self, row: ConnectSession, facts: dict[str, Any], refusal: OAuthFailed) -> None:
        if refusal.oauth_error == "authorization_pending":
            await self._again(row, facts["interval"])
        elif refusal.oauth_error == "slow_down":
            await self._again(row, min(facts["interval"] + SLOW_DOWN_S, MAX_INTERVAL_S))
        elif refusal.oauth_error == "access_denied":
            await self._sessions.decline(row, {"polling"})
        else:
            await self._sessions.fail(row, refusal.message, before={"polling"})

    async def _again(self, row: ConnectSession, interval_s: int) -> None:
        later = {
            "poll_at": self._clock.now_ms() + interval_s * 1000,
            "flow": {**(row.flow or {}), "interval": interval_s},
        }
        await self._sessions.rows.change(row, {"polling"}, **later)

    async def _take(self, row: ConnectSession, now: int) -> bool:
        def write(session: Session) -> bool:
            taken = session.exec(
                update(ConnectSession)
                .where(
                    col(ConnectSession.id) == row.id,
                    col(ConnectSession.status) == "polling",
                    col(ConnectSession.poll_at) == row.poll_at,
                )
                .values(poll_at=now + LEASE_MS)
            )
            return bool(taken.rowcount == 1)

        return await self._db.write(write)

    def _row(
        self,
        account_id: str,
        target: ConnectorTarget,
        end_user_id: str,
        facts: dict[str, Any],
        lifetime_s: int,
    ) -> ConnectSession:
        now = self._clock.now_ms()
        return ConnectSession(
            id=new_id("cs"),
            account_id=account_id,
            connector=target.name,
            end_user_id=end_user_id,
            token_sha256=sha256(secrets.token_urlsafe(32)),  # there is no link
            status="polling",
            flow=facts,
            poll_at=now + facts["interval"] * 1000,
            expires_at=now + lifetime_s * 1000,
            created_at=now,
        )

    def _insert(self, session: Session, row: ConnectSession, sealed: bytes) -> None:
        secret_id = self._vault.seal(
            session, account_id=row.account_id, owner=row.id, purpose=VERIFIER_PURPOSE, plaintext=sealed
        )
        session.add(ConnectSession(**{**row.model_dump(), "verifier_secret_id": secret_id}))


def _seconds(body: Mapping[str, Any], name: str, usual: int) -> int:
    value = body.get(name)
    return max(1, int(value)) if isinstance(value, int | float) else usual
