"""JSON shape of a developer's own client at an MCP server: ``auth`` of a registration and of a change."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from connectors.own_client import GRANT, JWT, OwnClient
from kit.errors import InvalidRequest
from kit.request_body import RequestBody

ScopeToken = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,200}$")]  # RFC 6749, section 3.3


class OwnClientAuth(RequestBody):
    """``client_id`` may be left out where there is a client already, to change its secret or scopes; with it,
    it is another client, bound to the authorization server that is named now, or to ``issuer``."""

    type: Literal["client_credentials"]
    client_id: str | None = Field(default=None, min_length=1, max_length=500, pattern=r"^[\x20-\x7e]+$")
    client_secret: str | None = Field(default=None, min_length=1, max_length=4000, repr=False)
    token_auth: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] | None = None
    scopes: list[ScopeToken] | None = Field(default=None, max_length=100)
    issuer: str | None = Field(default=None, min_length=1, max_length=2000)

    @field_validator("client_secret")
    @classmethod
    def _is_text(cls, secret: str | None) -> str | None:
        if secret is not None and not secret.isprintable():
            raise ValueError("expected printable characters")
        return secret

    @model_validator(mode="after")
    def _proves_itself_one_way(self) -> "OwnClientAuth":
        if self.token_auth == JWT and self.client_secret is not None:
            raise InvalidRequest(
                "auth.client_secret: expected none with token_auth private_key_jwt",
                param="auth.client_secret",
            )
        if self.issuer is not None and self.client_id is None:
            raise InvalidRequest(
                "auth.client_id: expected the client that is registered with auth.issuer",
                param="auth.client_id",
            )
        return self

    def client(self, values: dict[str, str] | None = None, *, now: OwnClient | None = None) -> OwnClient:
        """The client that is meant; ``now``: what the server has. Raises InvalidRequest."""
        if self.client_id is None:
            return self._changed(now)
        if self.client_secret is None and self.token_auth != JWT:
            raise InvalidRequest(
                "auth.client_secret: expected the client's secret, or token_auth private_key_jwt",
                param="auth.client_secret",
            )
        return OwnClient(
            self.client_id,
            self.client_secret,
            self.token_auth,
            None if self.scopes is None else tuple(self.scopes),
            self.issuer or "",
            dict(values or (now.values if now is not None else {})),
        )

    def _changed(self, now: OwnClient | None) -> OwnClient:
        if now is None:
            raise InvalidRequest(
                "auth.client_id: expected the id that your client has at the authorization server",
                param="auth.client_id",
            )
        changed = now
        if self.client_secret is not None:
            method = now.token_auth if now.token_auth != JWT else None
            changed = replace(changed, client_secret=self.client_secret, token_auth=method)
        if self.token_auth is not None:
            secret = None if self.token_auth == JWT else changed.client_secret
            changed = replace(changed, token_auth=self.token_auth, client_secret=secret)
        if "scopes" in self.model_fields_set:
            changed = replace(changed, scopes=None if self.scopes is None else tuple(self.scopes))
        if changed.client_secret is None and changed.token_auth != JWT:
            raise InvalidRequest(
                f"auth.client_secret: expected one for token_auth {changed.token_auth}",
                param="auth.client_secret",
            )
        return changed


def render_auth(client: OwnClient | None) -> dict[str, Any] | None:
    """What reads show of a client; never what proves it."""
    return None if client is None else {"type": GRANT, "client_id": client.client_id}
