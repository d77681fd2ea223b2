"""Connect sessions: a link for one end user, opened in one browser, ending in one connection.

A session goes ``open → started → finishing → done | cancelled | failed``. Each step is a compare-and-swap,
so a link, a form or a callback that comes twice does its work once.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from sqlmodel import Session, select

from connectors.clients import OAuthClients
from connectors.config_values import check_values
from connectors.connect_link import ConnectLink, Declined, FlowEnd, LinkUnusable
from connectors.connections import API_KEY, OAUTH, Connected, Connections, NewCredentials
from connectors.consent import Consent, Consents
from connectors.http import OAuthHttp
from connectors.issuers import expire_of_other_issuers, mixed_up
from connectors.models import Connection, ConnectSession
from connectors.opener import checked_origin
from connectors.registry import ConnectorRegistry, ConnectorTarget
from connectors.session_rows import SessionRows
from connectors.verification import Verification
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, InvalidRequest
from kit.ids import new_id
from vault.store import Vault

LIFETIME_MS = 15 * 60 * 1000
VERIFIER_PURPOSE = "pkce_verifier"
FINISHING = frozenset({"finishing"})


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
        self.registry = registry
        self.connections = connections
        self._public_url = public_url
        self.rows = SessionRows(db)
        self.consents = Consents(http, clients, clock)
        self.verification = Verification(db, vault, clock, public_url)
        self._on_declined: list[Callable[[Declined], Awaitable[None]]] = []
        registry.prefer_clients(clients.has_client)

    async def create(
        self,
        account_id: str,
        connector: str,
        end_user_id: str,
        *,
        label: str = "",
        return_url: str | None = None,
        scopes: list[str] | None = None,
        verify_url: str | None = None,
        opener_origin: str | None = None,
    ) -> ConnectLink:
        """A fresh link. Raises NotFound for an unknown connector, InvalidRequest for a bad return_url or
        opener_origin, and ClientNeeded where end users could not be sent to the vendor."""
        if return_url is not None and urlsplit(return_url).scheme not in {"http", "https"}:
            raise InvalidRequest("return_url: expected an http(s) URL", param="return_url")
        target = await self.registry.get(account_id, connector)
        await self.consents.clients.must_have(account_id, target)
        token, now = secrets.token_urlsafe(32), self._clock.now_ms()
        row = ConnectSession(
            id=new_id("cs"),
            account_id=account_id,
            connector=target.name,
            end_user_id=end_user_id,
            label=label,
            return_url=return_url,
            scopes=scopes,
            opener_origin=checked_origin(opener_origin) if opener_origin is not None else None,
            verify_url=await self.verification.url_for(account_id, verify_url),
            token_sha256=sha256(token),
            expires_at=now + LIFETIME_MS,
            created_at=now,
        )
        await self._db.write(lambda session: session.add(row.model_copy()))
        return ConnectLink(row.id, f"{self._public_url}/connect/{token}", row.expires_at)

    async def look_up(self, token: str) -> tuple[ConnectSession, ConnectorTarget]:
        """The session behind a link. Raises LinkUnusable: forged, used or expired."""
        row = await self.rows.by(ConnectSession.token_sha256 == sha256(token))
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

    def on_declined(self, listener: Callable[[Declined], Awaitable[None]]) -> None:
        """Have ``listener`` called when an end user declines, here or at the vendor."""
        self._on_declined.append(listener)

    def is_verified(self, row: ConnectSession, browser: str | None) -> bool:
        """Whether the developer's site has vouched for the person in this browser, if it is asked to."""
        if row.verify_url is None:
            return True
        known = row.verified_browser_sha256 or ""
        return browser is not None and secrets.compare_digest(sha256(browser), known)

    async def verification_url(self, row: ConnectSession, browser: str) -> str:
        """Where to have the developer's site say who is in this browser. Raises LinkUnusable."""
        return await self.verification.challenge(row, sha256(browser))

    async def verify(
        self, session_id: str, browser: str | None, *, challenge: str, end_user_id: str, signature: str
    ) -> None:
        """The developer's site sent the browser back. Raises LinkUnusable: ``not_verified``, or
        ``other_person``, with which the link is spent."""
        row = await self.rows.by(ConnectSession.id == session_id)
        if row is None or browser is None or row.verify_url is None:
            raise LinkUnusable("not_verified")
        if not await self.verification.signed_by_site(
            row, sha256(browser), challenge=challenge, end_user_id=end_user_id, signature=signature
        ):
            raise LinkUnusable("not_verified")
        if end_user_id != row.end_user_id:
            await self.rows.change(row, {"open", "started"}, status="failed")
            raise LinkUnusable("other_person")
        await self.rows.change(row, {"open", "started"}, verified_browser_sha256=sha256(browser))

    async def cancel(self, row: ConnectSession) -> FlowEnd:
        return await self.decline(row, {"open", "started"})

    async def paste(
        self,
        row: ConnectSession,
        target: ConnectorTarget,
        values: dict[str, str],
        browser: str | None = None,
    ) -> FlowEnd:
        """Store pasted values. Raises InvalidRequest naming the field that is missing or malformed."""
        if not self.is_verified(row, browser):
            raise LinkUnusable("not_verified")
        checked = check_values(target.config_schema, values)
        if not await self.rows.change(row, {"open"}, status="finishing"):
            raise LinkUnusable("used")
        headers = target.entry.header_values(checked) if target.entry is not None else {}
        name = await self.consents.account_name(target, headers, checked)
        return await self.store(row, NewCredentials(API_KEY, checked, account_name=name))

    async def store_key(
        self, account_id: str, connector: str, end_user_id: str, values: dict[str, str], *, label: str = ""
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
        key = Connected(account_id, target.name, end_user_id, "", label)
        return await self.connections.store(lambda _session, _id: None, key=key, new=new)

    async def authorize(
        self,
        row: ConnectSession,
        target: ConnectorTarget,
        browser: str,
        values: dict[str, str] | None = None,
    ) -> str:
        """Prepare the OAuth flow for this browser, with values of ``config_schema``; where to send it.

        Raises InvalidRequest naming a value, ClientNeeded, or UpstreamFailed (discovery, registration): the
        link can be tried again.
        """
        if not self.is_verified(row, browser):
            raise LinkUnusable("not_verified")
        checked = check_values(target.config_schema, values or {})
        granted = await self.granted(row.account_id, row.connector, row.end_user_id, row.label)
        consent = await self.consents.begin(
            row.account_id, target, checked, requested=row.scopes, granted=granted
        )
        await self._db.write(lambda session: self._start(session, row, consent, browser))
        return consent.url

    async def granted(
        self, account_id: str, connector: str, end_user_id: str, label: str = ""
    ) -> Sequence[str]:
        """The scopes that this end user has granted before, for this account of his."""
        known = await self.connections.find(account_id, connector, end_user_id, label)
        return known.scopes if known is not None and known.kind == OAUTH else ()

    def _start(self, session: Session, row: ConnectSession, consent: Consent, browser: str) -> None:
        """The newest start counts: an older tab's state is forgotten with it."""
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
            plaintext=consent.sealed,
        )
        current.status, current.flow = "started", consent.facts
        current.state_sha256, current.browser_sha256 = sha256(consent.state), sha256(browser)
        session.add(current)

    async def finish(
        self,
        *,
        state: str,
        browser: str | None,
        code: str | None,
        error: str | None,
        iss: str | None,
        query: Mapping[str, str] | None = None,
    ) -> FlowEnd:
        """The browser came back. Raises LinkUnusable for a state that is not this browser's own flow.

        The issuer is compared before anything else of the answer is believed (RFC 9207). ``query``: the whole
        answer, for what else some vendors say in it.
        """
        row = await self.rows.by(ConnectSession.state_sha256 == sha256(state))
        if row is None or row.flow is None:
            raise LinkUnusable("unknown")
        if browser is None or not secrets.compare_digest(sha256(browser), row.browser_sha256 or ""):
            raise LinkUnusable("other_browser")
        if row.expires_at <= self._clock.now_ms():
            raise LinkUnusable("expired")
        if not await self.rows.change(row, {"started"}, status="finishing"):
            raise LinkUnusable("used")
        if mixed_up(row.flow, iss):
            return await self.fail(row, "the answer came from another authorization server")
        if error is not None or code is None:
            if error == "access_denied":
                return await self.decline(row, {"finishing"})
            return await self.fail(row, "the vendor refused the connection")
        try:
            return await self._exchange(row, code, query or {})
        except HeddleError as failure:
            return await self.fail(row, failure.message)

    async def _exchange(self, row: ConnectSession, code: str, query: Mapping[str, str]) -> FlowEnd:
        assert row.verifier_secret_id is not None
        sealed = await self._vault.open(
            row.verifier_secret_id, account_id=row.account_id, owner=row.id, purpose=VERIFIER_PURPOSE
        )
        target = await self.registry.get(row.account_id, row.connector)
        new = await self.consents.finish(
            row.account_id, target, row.flow or {}, sealed, code=code, callback=query
        )
        return await self.store(row, new)

    async def store(self, row: ConnectSession, new: NewCredentials) -> FlowEnd:
        def close_session(session: Session, connection_id: str) -> None:
            current = session.exec(select(ConnectSession).where(ConnectSession.id == row.id)).one()
            current.status, current.connection_id = "done", connection_id
            if current.verifier_secret_id is not None:
                self._vault.forget(session, current.verifier_secret_id)
                current.verifier_secret_id = None
            session.add(current)
            expire_of_other_issuers(session, row, self._clock.now_ms())

        key = Connected(row.account_id, row.connector, row.end_user_id, "", row.label)
        connection = await self.connections.store(close_session, key=key, new=new)
        return FlowEnd("connected", row, connection.id)

    async def decline(self, row: ConnectSession, before: set[str]) -> FlowEnd:
        if await self.rows.change(row, before, status="cancelled"):
            for listener in self._on_declined:
                await listener(Declined(row.account_id, row.connector, row.end_user_id, row.label))
        return FlowEnd("cancelled", row)

    async def fail(
        self, row: ConnectSession, problem: str, *, before: frozenset[str] | set[str] = FINISHING
    ) -> FlowEnd:
        await self.rows.change(row, set(before), status="failed")
        return FlowEnd("failed", row, problem=problem)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
