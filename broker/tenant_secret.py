"""The developer's own credentials for an MCP server, sealed: fixed headers, or a client that gets tokens."""

from collections.abc import Mapping

import msgspec
from sqlmodel import Session

from broker.models import McpServer
from connectors.own_client import OwnClient
from vault.store import Vault

HEADERS, CLIENT = "mcp_headers", "mcp_client"
"""The purposes that they are sealed for."""
TenantSecret = Mapping[str, str] | OwnClient


def seal_anew(vault: Vault, session: Session, server: McpServer, secret: TenantSecret) -> None:
    """In place of what the server had, if anything; the id of the secret is another one then."""
    if server.headers_secret_id is not None:
        vault.forget(session, server.headers_secret_id)
    server.headers_secret_id = None
    if secret:
        server.headers_secret_id = vault.seal(
            session,
            account_id=server.account_id,
            owner=server.id,
            purpose=CLIENT if isinstance(secret, OwnClient) else HEADERS,
            plaintext=msgspec.json.encode(secret),
        )


async def opened(vault: Vault, server: McpServer) -> TenantSecret:
    """No headers if it has none. Raises SecretNotFound, SecretTampered."""
    if server.headers_secret_id is None:
        return {}
    purpose, plaintext = await vault.open_one_of(
        server.headers_secret_id,
        account_id=server.account_id,
        owner=server.id,
        purposes=(HEADERS, CLIENT),
    )
    if purpose == CLIENT:
        return msgspec.json.decode(plaintext, type=OwnClient)
    headers: dict[str, str] = msgspec.json.decode(plaintext)
    return headers


async def opened_clients(vault: Vault, account_id: str) -> dict[str, OwnClient]:
    """The clients of an account, by server. Raises SecretTampered."""
    sealed = await vault.of_account(account_id, CLIENT)
    return {owner: msgspec.json.decode(plaintext, type=OwnClient) for owner, plaintext in sealed.items()}
