"""OAuth clients over HTTP: an account's own, and what we tell authorization servers about ourselves."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from connectors.catalog_grants import TokenAuth
from connectors.client_auth import ClientIdentity
from connectors.clients import OAuthClients
from connectors.connect import ConnectSessions
from connectors.models import AccountOAuthClient
from connectors.registration import KEYS_PATH, PLAIN_PATH, SIGNED_PATH
from connectors.registry import ConnectorRegistry
from kit.caller import Admin
from kit.errors import InvalidRequest, NotFound
from kit.request_body import RequestBody


class PutClient(RequestBody):
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: str | None = Field(default=None, min_length=1, max_length=4000, repr=False)
    token_auth: TokenAuth | None = None


class PutVerification(RequestBody):
    verify_url: str = Field(min_length=1, max_length=2000)


def client_routes(registry: ConnectorRegistry, sessions: ConnectSessions) -> APIRouter:
    """An account's own clients; admin keys only."""
    router = APIRouter(prefix="/v1/oauth-clients", tags=["connections"])
    clients = sessions.consents.clients

    @router.put("/{connector}")
    async def put_client(connector: str, body: PutClient, caller: Admin) -> dict[str, Any]:
        target = await registry.get(caller.account_id, connector, prefer="oauth2")
        authority, usual = await sessions.consents.authority(target)
        method = body.token_auth or (usual if body.client_secret or usual == "private_key_jwt" else "none")
        if method.startswith("client_secret") and body.client_secret is None:
            raise InvalidRequest(f"token_auth {method} needs a client_secret", param="client_secret")
        identity = ClientIdentity(body.client_id, method, body.client_secret)
        if method == "private_key_jwt":
            await clients.keys.private(caller.account_id)  # published from now on
        row = await clients.store.put_account_client(
            caller.account_id, target.name, authority=authority, identity=identity
        )
        return render_client(row, clients)

    @router.get("/{connector}")
    async def get_client(connector: str, caller: Admin) -> dict[str, Any]:
        row = await clients.store.account_row(caller.account_id, connector)
        if row is None:
            raise NotFound(f"there is no OAuth client of yours for {connector}", param="connector")
        return render_client(row, clients)

    @router.delete("/{connector}")
    async def delete_client(connector: str, caller: Admin) -> dict[str, Any]:
        if not await clients.store.delete_account_client(caller.account_id, connector):
            raise NotFound(f"there is no OAuth client of yours for {connector}", param="connector")
        return {"connector": connector, "object": "oauth_client.deleted", "deleted": True}

    return router


def verification_routes(sessions: ConnectSessions) -> APIRouter:
    """Who vouches for an account's end users; admin keys only."""
    router = APIRouter(prefix="/v1/connect-verification", tags=["connections"])

    @router.put("")
    async def put_verification(body: PutVerification, caller: Admin) -> dict[str, Any]:
        made = await sessions.verification.put(caller.account_id, body.verify_url)
        return {"object": "connect_verification", "verify_url": made.verify_url, "secret": made.secret}

    @router.get("")
    async def get_verification(caller: Admin) -> dict[str, Any]:
        url = await sessions.verification.url(caller.account_id)
        return {"object": "connect_verification", "verify_url": url}

    @router.delete("")
    async def delete_verification(caller: Admin) -> dict[str, Any]:
        await sessions.verification.delete(caller.account_id)
        return {"object": "connect_verification.deleted", "deleted": True}

    return router


def client_documents(clients: OAuthClients) -> APIRouter:
    """Our Client ID Metadata Documents and public key. They need no API key."""
    router = APIRouter(include_in_schema=False)

    @router.get(PLAIN_PATH)
    async def plain() -> dict[str, Any]:
        return clients.documents.document(signed=False)

    @router.get(SIGNED_PATH)
    async def signed() -> dict[str, Any]:
        return clients.documents.document(signed=True)

    @router.get(KEYS_PATH)
    async def keys() -> dict[str, Any]:
        return await clients.keys.public_set()

    @router.get(KEYS_PATH + "/{account_id}")
    async def account_keys(account_id: str) -> dict[str, Any]:
        return await clients.keys.public_set_of(account_id)

    return router


def render_client(row: AccountOAuthClient, clients: OAuthClients) -> dict[str, Any]:
    """A client as the wire shows it; never its secret."""
    return {
        "object": "oauth_client",
        "connector": row.connector,
        "registered_with": row.authority,
        "client_id": row.client_id,
        "has_secret": row.client_secret_id is not None,
        "token_auth": row.auth_method,
        "jwks_uri": clients.documents.key_set(row.account_id)
        if row.auth_method == "private_key_jwt"
        else None,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
