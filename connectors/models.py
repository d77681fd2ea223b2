"""Connectors of an account, connect sessions, connections, and our OAuth client registrations."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from kit.columns import big_int, json_column


class Connector(SQLModel, table=True):
    """An MCP server of an account that end users connect to with their own login."""

    __tablename__ = "connector"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    id: str = Field(primary_key=True)
    account_id: str
    name: str
    display_name: str
    server_url: str
    created_at: int = Field(sa_column=big_int())


class OAuthClient(SQLModel, table=True):
    """This installation's registration at one authorization server (RFC 7591). Bound to its issuer: it is
    never used at another one."""

    __tablename__ = "oauth_client"
    __table_args__ = (UniqueConstraint("issuer", "redirect_uri"),)

    id: str = Field(primary_key=True)
    issuer: str
    redirect_uri: str
    client_id: str
    client_secret_id: str | None = None
    auth_method: str
    created_at: int = Field(sa_column=big_int())


class AccountOAuthClient(SQLModel, table=True):
    """A client that an account registered by hand, for its connections alone. ``authority``: what it is bound
    to (``connectors.token_target``); it is never used elsewhere, whatever the connector says later."""

    __tablename__ = "account_oauth_client"
    __table_args__ = (UniqueConstraint("account_id", "connector"),)

    id: str = Field(primary_key=True)
    account_id: str
    connector: str
    authority: str
    client_id: str
    client_secret_id: str | None = None
    auth_method: str
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class OAuthSigningKey(SQLModel, table=True):
    """A key at authorization servers (``private_key_jwt``); ``id``: whose, an account or the operator."""

    __tablename__ = "oauth_signing_key"

    id: str = Field(primary_key=True)
    secret_id: str
    public_jwk: dict[str, Any] = Field(sa_column=json_column())
    created_at: int = Field(sa_column=big_int())


class ConnectVerification(SQLModel, table=True):
    """The site that vouches for who an account's end users are, and the secret that it does so with."""

    __tablename__ = "connect_verification"

    account_id: str = Field(primary_key=True)
    verify_url: str
    secret_id: str
    created_at: int = Field(sa_column=big_int())


class ConnectSession(SQLModel, table=True):
    """A link for one end user to connect one account: single use, 15 minutes. Only hashes of its token,
    its OAuth state and its browser's cookie are stored. ``poll_at``: when a device flow is
    asked about next."""

    __tablename__ = "connect_session"

    id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    connector: str
    end_user_id: str
    label: str = ""
    return_url: str | None = None
    opener_origin: str | None = None
    """Of the page that opened the link in a popup and is told how it ended."""
    scopes: list[str] | None = Field(default=None, sa_column=json_column(nullable=True))
    token_sha256: str = Field(unique=True)
    status: str = "open"
    browser_sha256: str | None = None
    state_sha256: str | None = Field(default=None, index=True)
    flow: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    verifier_secret_id: str | None = None
    connection_id: str | None = None
    verify_url: str | None = None
    verified_browser_sha256: str | None = None
    poll_at: int | None = Field(default=None, sa_column=big_int(nullable=True, index=True))
    expires_at: int = Field(sa_column=big_int())
    created_at: int = Field(sa_column=big_int())


class Connection(SQLModel, table=True):
    """An end user's account at a vendor. ``generation`` grows with every new credential; ``status`` is
    ``active``, ``expired``, ``revoked`` or ``error`` (``connectors.status``).

    A refresh is under way while ``refresh_owner`` is set and ``refresh_until`` has not come; an owner that is
    still there afterwards never told how its refresh ended. ``keep_alive_at``: when the tokens are refreshed
    although nobody uses them; None: never.
    """

    __tablename__ = "connection"
    __table_args__ = (
        UniqueConstraint("account_id", "connector", "end_user_id", "label"),
        Index("connection_to_keep_alive", "keep_alive_at"),
    )

    id: str = Field(primary_key=True)
    account_id: str
    connector: str
    end_user_id: str
    label: str = ""
    kind: str
    status: str = "active"
    status_reason: str | None = None
    scopes: list[str] = Field(default_factory=list, sa_column=json_column())
    secret_id: str
    generation: int = 1
    expires_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    oauth: dict[str, Any] | None = Field(default=None, sa_column=json_column(nullable=True))
    refresh_owner: str | None = None
    refresh_until: int = Field(default=0, sa_column=big_int())
    account_name: str | None = None
    refresh_failures: int = 0
    refresh_after: int = Field(default=0, sa_column=big_int())
    keep_alive_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    last_used_at: int | None = Field(default=None, sa_column=big_int(nullable=True))
    created_at: int = Field(sa_column=big_int())
    updated_at: int = Field(sa_column=big_int())


class Revocation(SQLModel, table=True):
    """A deleted connection whose tokens the vendor has yet to revoke; ``id`` is the connection's, which the
    tokens stay sealed for until then."""

    __tablename__ = "revocation"

    id: str = Field(primary_key=True)
    account_id: str
    connector: str
    secret_id: str
    oauth: dict[str, Any] = Field(sa_column=json_column())
    attempts: int = 0
    due_at: int = Field(sa_column=big_int(index=True))
    created_at: int = Field(sa_column=big_int())
