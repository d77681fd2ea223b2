"""The demo's notebook: an MCP server protected by its own authorization server, in one process.

It stands for a vendor: OAuth 2.1 with dynamic registration, PKCE, rotating refresh tokens and revocation,
a consent page, and tools that act as whoever signed in. A refresh token that comes twice ends the user's
grants (RFC 9700, section 4.14.2). Everything is kept in memory.
"""

import secrets
import time
from dataclasses import dataclass, field
from html import escape
from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp_types import ToolAnnotations
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

SCOPE = "notes"
CODE_LIFETIME_S = 300


@dataclass
class _Flow:
    client_id: str
    params: AuthorizationParams


@dataclass
class NotebookVendor:
    """The vendor's state: clients, grants, tokens, and every user's notes. Tests may reach into it."""

    base_url: str
    token_lifetime_s: int = 3600
    clients: dict[str, OAuthClientInformationFull] = field(default_factory=dict)
    flows: dict[str, _Flow] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    access: dict[str, AccessToken] = field(default_factory=dict)
    refreshing: dict[str, RefreshToken] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    refreshes: int = 0
    spent: dict[str, RefreshToken] = field(default_factory=dict)
    reuses: int = 0

    def build(self, base_url: str) -> Starlette:
        """Its HTTP application at this address; the MCP endpoint is ``{base_url}/mcp``."""
        self.base_url = base_url
        return _application(self)

    # --- the authorization server, as the MCP SDK's provider protocol asks for it -----------------

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        assert client_info.client_id is not None
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        flow = secrets.token_urlsafe(16)
        assert client.client_id is not None
        self.flows[flow] = _Flow(client.client_id, params)
        return f"{self.base_url}/consent?flow={flow}"

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        code = self.codes.get(authorization_code)
        return code if code is not None and code.client_id == client.client_id else None

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        if self.codes.pop(authorization_code.code, None) is None:
            raise TokenError("invalid_grant", "the code was used already")
        return self._grant(str(client.client_id), authorization_code.subject, authorization_code.resource)

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        token = self.refreshing.get(refresh_token)
        reused = self.spent.get(refresh_token)
        if reused is not None:
            self.reuses += 1
            self.revoke_user(reused.subject)
        return token if token is not None and token.client_id == client.client_id else None

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        if self.refreshing.pop(refresh_token.token, None) is None:
            raise TokenError("invalid_grant", "the refresh token was used already")
        self.spent[refresh_token.token] = refresh_token
        self.refreshes += 1
        return self._grant(str(client.client_id), refresh_token.subject, f"{self.base_url}/mcp", scopes)

    async def load_access_token(self, token: str) -> AccessToken | None:
        found = self.access.get(token)
        if found is None or (found.expires_at is not None and found.expires_at <= time.time()):
            return None
        return found

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.revoke_user(token.subject)

    async def exchange_identity_assertion(self, *_args: Any, **_kwargs: Any) -> OAuthToken:
        raise TokenError("unsupported_grant_type", "not offered")

    def revoke_user(self, subject: str | None) -> None:
        """End every grant of a user, as the vendor's own settings page would."""
        self.access = {key: token for key, token in self.access.items() if token.subject != subject}
        self.refreshing = {key: token for key, token in self.refreshing.items() if token.subject != subject}

    def expire_access(self) -> None:
        """Let every access token run out now; refresh tokens live on."""
        self.access.clear()

    def _grant(
        self, client_id: str, subject: str | None, resource: str | None, scopes: list[str] | None = None
    ) -> OAuthToken:
        access, renew = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        granted = scopes or [SCOPE]
        self.access[access] = AccessToken(
            token=access,
            client_id=client_id,
            scopes=granted,
            expires_at=int(time.time()) + self.token_lifetime_s,
            resource=resource,
            subject=subject,
        )
        self.refreshing[renew] = RefreshToken(
            token=renew, client_id=client_id, scopes=granted, subject=subject
        )
        return OAuthToken(
            access_token=access,
            token_type="Bearer",  # noqa: S106 - a token type
            expires_in=self.token_lifetime_s,
            scope=" ".join(granted),
            refresh_token=renew,
        )

    # --- the consent page -------------------------------------------------------------------------

    async def consent(self, request: Request) -> Response:
        flow_id = request.query_params.get("flow", "")
        flow = self.flows.get(flow_id)
        if flow is None:
            return HTMLResponse("<h1>This sign-in has ended</h1>", status_code=404)
        if request.method == "GET":
            return HTMLResponse(_consent_html(str(self.clients[flow.client_id].client_name)))
        form = await request.form()
        del self.flows[flow_id]
        params = flow.params
        answer: dict[str, str | None] = {"state": params.state, "iss": self.base_url}
        if form.get("action") == "approve":
            code = secrets.token_urlsafe(24)
            self.codes[code] = AuthorizationCode(
                code=code,
                scopes=params.scopes or [SCOPE],
                expires_at=time.time() + CODE_LIFETIME_S,
                client_id=flow.client_id,
                code_challenge=params.code_challenge,
                redirect_uri=params.redirect_uri,
                redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
                resource=params.resource,
                subject=str(form.get("user") or "ada"),
            )
            answer["code"] = code
        else:
            answer["error"] = "access_denied"
        return RedirectResponse(construct_redirect_uri(str(params.redirect_uri), **answer), status_code=303)


def _application(vendor: NotebookVendor) -> Starlette:
    server = MCPServer(
        "notebook",
        auth_server_provider=vendor,
        auth=AuthSettings(
            issuer_url=vendor.base_url,
            resource_server_url=f"{vendor.base_url}/mcp",
            client_registration_options=ClientRegistrationOptions(
                enabled=True, valid_scopes=[SCOPE], default_scopes=[SCOPE]
            ),
            revocation_options=RevocationOptions(enabled=True),
            required_scopes=[SCOPE],
            validate_token_resource=True,
        ),
        log_level="ERROR",
    )

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def list_notes() -> str:
        """List the notes of the user who is signed in."""
        user = _user()
        notes = vendor.notes.get(user, [])
        return f"{user} has {len(notes)} notes" + (": " + "; ".join(notes) if notes else ".")

    @server.tool()
    def add_note(text: str) -> str:
        """Write a note into the notebook of the user who is signed in."""
        user = _user()
        vendor.notes.setdefault(user, []).append(text)
        return f"Noted for {user}: {text}"

    app = server.streamable_http_app()
    app.add_route("/consent", vendor.consent, methods=["GET", "POST"])
    return app


def _user() -> str:
    token = get_access_token()
    assert token is not None and token.subject is not None
    return token.subject


def _consent_html(client_name: str) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Notebook</title>"
        "<style>body{font:1rem system-ui;max-width:24rem;margin:4rem auto;padding:0 1rem}</style>"
        f"<h1>Notebook</h1><p><strong>{escape(client_name)}</strong> wants to read and write your notes.</p>"
        "<form method=post><p><label>Sign in as <input name=user value=ada></label></p>"
        "<p><button name=action value=approve>Approve</button> "
        "<button name=action value=deny>Deny</button></p></form></html>"
    )
