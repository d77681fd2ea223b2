"""Connect sessions: a link for one end user, opened in one browser, ending in one connection.

A session goes ``open → started → finishing → done | cancelled | failed``. Each step is a compare-and-swap,
so a link, a form or a callback that comes twice does its work once.
"""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlmodel import Session, col, select, update

from connectors.clients import OAuthClients
from connectors.connections import API_KEY, OAUTH, Connected, Connections, NewCredentials
from connectors.discovery import discover
from connectors.http import OAuthHttp
from connectors.models import Connection, ConnectSession
from connectors.oauth import TokenTarget, authorization_url, exchange_code
from connectors.opener import checked_origin
from connectors.registry import ConnectorRegistry, ConnectorTarget
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, InvalidRequest
from kit.ids import new_id
from vault.store import Vault

LIFETIME_MS = 15 * 60 * 1000
VERIFIER_PURPOSE = "pkce_verifier"
ENDS = {"done": "connected", "cancelled": "cancelled", "failed": "failed"}
MAX_VALUE_LENGTH = 4096
_HEADER_SAFE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True)
class ConnectLink:
    """What a developer gets: the link is the only place where its token exists in clear."""

    id: str
    connect_url: str = field(repr=False)
    expires_at: int


class LinkUnusable(Exception):
    """The link, or the callback, cannot be used; ``reason`` is one of the kind pages."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Declined:
    """Who did not want to connect what."""

    account_id: str
    connector: str
    end_user_id: str


@dataclass(frozen=True)
class FlowEnd:
    """Where a flow ended: ``connected``, ``cancelled`` or ``failed``."""

    status: str
    session: ConnectSession
    connection_id: str | None = None
    problem: str | None = None

    @property
    def redirect(self) -> str | None:
        """The developer's ``return_url`` with the outcome, or None if there is none."""
        if self.session.return_url is None:
            return None
        parts = urlsplit(self.session.return_url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        query["status"] = self.status
        if self.connection_id is not None:
            query["connection_id"] = self.connection_id
        return urlunsplit(parts._replace(query=urlencode(query)))


class ConnectSessions:
    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        http: OAuthHttp,
        clients: OAuthClients,
        registry: ConnectorRegistry,
        connections: Connections,
        *,
        public_url: str,
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._http = http
        self._clients = clients
        self.registry = registry
        self.connections = connections
        self._public_url = public_url
        self._on_declined: list[Callable[[Declined], Awaitable[None]]] = []

    async def create(
        self,
        account_id: str,
        connector: str,
        end_user_id: str,
        *,
        return_url: str | None = None,
        scopes: list[str] | None = None,
        opener_origin: str | None = None,
    ) -> ConnectLink:
        """A fresh link. ``opener_origin``: of the page that waits for a popup's end.

        Raises NotFound for an unknown connector, InvalidRequest for a bad return_url or opener_origin.
        """
        if return_url is not None and urlsplit(return_url).scheme not in {"http", "https"}:
            raise InvalidRequest("return_url: expected an http(s) URL", param="return_url")
        target = await self.registry.get(account_id, connector)
        token = secrets.token_urlsafe(32)
        now = self._clock.now_ms()
        row = ConnectSession(
            id=new_id("cs"),
            account_id=account_id,
            connector=target.name,
            end_user_id=end_user_id,
            return_url=return_url,
            scopes=scopes,
            opener_origin=checked_origin(opener_origin) if opener_origin is not None else None,
            token_sha256=sha256(token),
            expires_at=now + LIFETIME_MS,
            created_at=now,
        )
        await self._db.write(lambda session: session.add(row.model_copy()))
        return ConnectLink(row.id, f"{self._public_url}/connect/{token}", row.expires_at)

    async def look_up(self, token: str) -> tuple[ConnectSession, ConnectorTarget]:
        """The session behind a link. Raises LinkUnusable: forged, used or expired."""
        query = select(ConnectSession).where(ConnectSession.token_sha256 == sha256(token))
        async with self._db.session() as session:
            row = (await session.exec(query)).first()
        if row is None:
            raise LinkUnusable("unknown")
        if row.status in {"done", "cancelled", "failed", "finishing"}:
            raise LinkUnusable("used")
        if row.expires_at <= self._clock.now_ms():
            raise LinkUnusable("expired")
        try:
            return row, await self.registry.get(row.account_id, row.connector)
        except HeddleError:
            raise LinkUnusable("unknown") from None

    async def ended(self, session_id: str) -> FlowEnd:
        """How a flow ended, to be shown again. Raises LinkUnusable if it has not ended."""
        async with self._db.session() as session:
            row = await session.get(ConnectSession, session_id)
        if row is None or row.status not in ENDS:
            raise LinkUnusable("unknown")
        return FlowEnd(ENDS[row.status], row, row.connection_id)

    async def vendor_of(self, row: ConnectSession) -> str:
        """The vendor's name as people know it."""
        try:
            return (await self.registry.get(row.account_id, row.connector)).display_name
        except HeddleError:
            return row.connector

    def on_declined(self, listener: Callable[[Declined], Awaitable[None]]) -> None:
        """Have ``listener`` called when an end user declines, here or at the vendor."""
        self._on_declined.append(listener)

    async def cancel(self, row: ConnectSession) -> FlowEnd:
        return await self._decline(row, {"open", "started"})

    async def paste(self, row: ConnectSession, target: ConnectorTarget, values: dict[str, str]) -> FlowEnd:
        """Store pasted values. Raises InvalidRequest naming the field that is missing or malformed."""
        checked = check_values(target.config_schema, values)
        if not await self._move(row, {"open"}, status="finishing"):
            raise LinkUnusable("used")
        return await self._store(row, NewCredentials(API_KEY, checked))

    async def store_key(
        self, account_id: str, connector: str, end_user_id: str, values: dict[str, str]
    ) -> Connection:
        """Connect an end user by a key that the developer has asked for himself: what the hosted page does.

        Raises NotFound for an unknown connector, InvalidRequest if it takes no keys, or naming a field.
        """
        target = await self.registry.get(account_id, connector)
        if target.auth != API_KEY:
            raise InvalidRequest(
                f"credentials: {target.display_name} is connected by its own login, through a connect_url",
                param="credentials",
            )
        new = NewCredentials(API_KEY, check_values(target.config_schema, values))
        key = Connected(account_id, target.name, end_user_id, "")
        return await self.connections.store(lambda _session, _id: None, key=key, new=new)

    async def authorize(self, row: ConnectSession, target: ConnectorTarget, browser: str) -> str:
        """Prepare the OAuth flow for this browser; returns where to send it.

        Raises UpstreamFailed (discovery, registration): the link can be tried again.
        """
        server = await discover(self._http, target.server_url)
        client = await self._clients.identity(server)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        scopes = tuple(row.scopes) if row.scopes else server.scopes
        flow = {
            "issuer": server.issuer,
            "token_endpoint": server.token_endpoint,
            "revocation_endpoint": server.revocation_endpoint,
            "resource": server.resource,
            "sends_iss": server.sends_iss,
            "scopes": list(scopes),
        }

        def write(session: Session) -> None:
            current = session.exec(
                select(ConnectSession).where(ConnectSession.id == row.id).with_for_update()
            ).one()
            if current.status not in {"open", "started"}:
                raise LinkUnusable("used")
            if current.verifier_secret_id is not None:
                self._vault.forget(session, current.verifier_secret_id)
            current.verifier_secret_id = self._vault.seal(
                session,
                account_id=row.account_id,
                owner=row.id,
                purpose=VERIFIER_PURPOSE,
                plaintext=verifier.encode(),
            )
            current.status, current.flow = "started", flow
            current.state_sha256, current.browser_sha256 = sha256(state), sha256(browser)
            session.add(current)

        await self._db.write(write)
        return authorization_url(
            server,
            client.client_id,
            self._clients.redirect_uri,
            state=state,
            verifier=verifier,
            scopes=scopes,
        )

    async def finish(
        self, *, state: str, browser: str | None, code: str | None, error: str | None, iss: str | None
    ) -> FlowEnd:
        """The browser came back. Raises LinkUnusable for a state that is not this browser's own flow.

        The issuer is compared before anything else of the answer is believed (RFC 9207).
        """
        query = select(ConnectSession).where(ConnectSession.state_sha256 == sha256(state))
        async with self._db.session() as session:
            row = (await session.exec(query)).first()
        if row is None or row.flow is None:
            raise LinkUnusable("unknown")
        if browser is None or not secrets.compare_digest(sha256(browser), row.browser_sha256 or ""):
            raise LinkUnusable("other_browser")
        if row.expires_at <= self._clock.now_ms():
            raise LinkUnusable("expired")
        if not await self._move(row, {"started"}, status="finishing"):
            raise LinkUnusable("used")
        mixed_up = iss != row.flow["issuer"] if iss is not None else row.flow["sends_iss"]
        if mixed_up:
            return await self._fail(row, "the answer came from another authorization server")
        if error is not None or code is None:
            if error == "access_denied":
                return await self._decline(row, {"finishing"})
            return await self._fail(row, "the vendor refused the connection")
        try:
            return await self._exchange(row, code)
        except HeddleError as failure:
            return await self._fail(row, failure.message)

    async def _exchange(self, row: ConnectSession, code: str) -> FlowEnd:
        flow: dict[str, Any] = row.flow or {}
        assert row.verifier_secret_id is not None
        verifier = await self._vault.open(
            row.verifier_secret_id, account_id=row.account_id, owner=row.id, purpose=VERIFIER_PURPOSE
        )
        target = TokenTarget(
            flow["issuer"], flow["token_endpoint"], flow["revocation_endpoint"], flow["resource"]
        )
        client = await self._clients.registered(target.issuer)
        tokens = await exchange_code(
            self._http,
            target,
            client,
            code=code,
            verifier=verifier.decode(),
            redirect_uri=self._clients.redirect_uri,
        )
        expires_at = None
        if tokens.expires_in is not None:
            expires_at = self._clock.now_ms() + tokens.expires_in * 1000
        facts = {name: flow[name] for name in ("issuer", "token_endpoint", "revocation_endpoint", "resource")}
        new = NewCredentials(
            OAUTH,
            {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token},
            scopes=tokens.scopes or tuple(flow["scopes"]),
            expires_at=expires_at,
            oauth=facts,
        )
        return await self._store(row, new)

    async def _store(self, row: ConnectSession, new: NewCredentials) -> FlowEnd:
        def close_session(session: Session, connection_id: str) -> None:
            current = session.exec(select(ConnectSession).where(ConnectSession.id == row.id)).one()
            current.status, current.connection_id = "done", connection_id
            if current.verifier_secret_id is not None:
                self._vault.forget(session, current.verifier_secret_id)
                current.verifier_secret_id = None
            session.add(current)

        key = Connected(row.account_id, row.connector, row.end_user_id, "")
        connection = await self.connections.store(close_session, key=key, new=new)
        return FlowEnd("connected", row, connection.id)

    async def _decline(self, row: ConnectSession, before: set[str]) -> FlowEnd:
        if await self._move(row, before, status="cancelled"):
            for listener in self._on_declined:
                await listener(Declined(row.account_id, row.connector, row.end_user_id))
        return FlowEnd("cancelled", row)

    async def _fail(self, row: ConnectSession, problem: str) -> FlowEnd:
        await self._move(row, {"finishing"}, status="failed")
        return FlowEnd("failed", row, problem=problem)

    async def _move(self, row: ConnectSession, before: set[str], *, status: str) -> bool:
        def write(session: Session) -> bool:
            moved = session.exec(
                update(ConnectSession)
                .where(col(ConnectSession.id) == row.id, col(ConnectSession.status).in_(before))
                .values(status=status)
            )
            return bool(moved.rowcount == 1)

        return await self._db.write(write)


def check_values(schema: dict[str, Any], values: dict[str, str]) -> dict[str, str]:
    """Pasted values, checked against a ``config_schema``. Raises InvalidRequest naming the field."""
    checked: dict[str, str] = {}
    for name, described in schema.get("properties", {}).items():
        value = values.get(name, "").strip()
        title = described.get("title") or name
        if not value:
            if name in schema.get("required", ()):
                raise InvalidRequest(f"{title} is needed", param=name)
            continue
        if len(value) > MAX_VALUE_LENGTH or not _HEADER_SAFE.fullmatch(value):
            raise InvalidRequest(f"{title} has characters that a key cannot have, or is too long", param=name)
        pattern = described.get("pattern")
        if pattern and not re.search(pattern, value):
            raise InvalidRequest(f"{title} does not look right", param=name)
        checked[name] = value
    return checked


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
