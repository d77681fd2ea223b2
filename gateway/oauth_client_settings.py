"""OAuth clients that the operator registered by hand: ``[oauth_clients.<slug or issuer>]`` in heddle.toml."""

import os
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.catalog_grants import TokenAuth
from connectors.clients import ConfiguredClient


class OAuthClientSettings(BaseModel):
    """``client_secret_env`` names a variable that has the secret. ``issuer``: whom it was registered with,
    for an MCP server named by slug. ``token_auth``: how it proves itself, if not as is usual there."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = Field(min_length=1, max_length=500)
    client_secret: str | None = Field(default=None, repr=False, min_length=1, max_length=4000)
    client_secret_env: str | None = None
    issuer: str | None = Field(default=None, pattern=r"^https?://\S+$")
    token_auth: TokenAuth | None = None

    @model_validator(mode="after")
    def _has_what_it_proves_itself_with(self) -> "OAuthClientSettings":
        if self.client_secret is not None and self.client_secret_env is not None:
            raise ValueError("expected client_secret or client_secret_env, not both")
        secret = self.client_secret or self.client_secret_env
        if self.token_auth in {"client_secret_basic", "client_secret_post"} and not secret:
            raise ValueError(f"token_auth {self.token_auth} needs client_secret or client_secret_env")
        return self


def configured_clients(
    settings: Mapping[str, OAuthClientSettings], environ: Mapping[str, str] | None = None
) -> dict[str, ConfiguredClient]:
    """The clients by slug or issuer. Raises ValueError naming a variable that is not set."""
    variables = os.environ if environ is None else environ
    clients = {}
    for name, own in settings.items():
        secret = own.client_secret
        if own.client_secret_env is not None:
            secret = variables.get(own.client_secret_env)
            if not secret:
                raise ValueError(f"oauth_clients.{name}: {own.client_secret_env} is not set")
        clients[name] = ConfiguredClient(own.client_id, secret, own.token_auth, own.issuer)
    return clients
