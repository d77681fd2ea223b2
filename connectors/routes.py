"""Connections over HTTP: the developer's routes."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from connectors.connect import ConnectSessions
from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.device import DeviceFlows
from connectors.schemas import CreateSession, render_connection, render_device_code, render_session
from connectors.status import Status
from kit.caller import Standard
from kit.errors import InvalidRequest
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def connection_routes(
    connections: Connections,
    credentials: Credentials,
    sessions: ConnectSessions,
    devices: DeviceFlows,
) -> APIRouter:
    router = APIRouter(prefix="/v1/connections", tags=["connections"])

    @router.post("/sessions", status_code=201)
    async def create_session(body: CreateSession, caller: Standard) -> dict[str, Any]:
        end_user_id = caller.acting_for(body.end_user_id)
        if end_user_id is None:
            raise InvalidRequest("end_user_id: expected the end user who connects", param="end_user_id")
        if body.flow == "device":
            code = await devices.begin(
                caller.account_id, body.connector, end_user_id, scopes=body.scopes, config=body.config
            )
            return render_device_code(code)
        link = await sessions.create(
            caller.account_id,
            body.connector,
            end_user_id,
            label=body.label,
            return_url=body.return_url,
            scopes=body.scopes,
            verify_url=body.verify_url,
            opener_origin=body.opener_origin,
        )
        return {"id": link.id, "connect_url": link.connect_url, "expires_at": link.expires_at}

    @router.get("/sessions/{session_id}")
    async def get_session(session_id: str, caller: Standard) -> dict[str, Any]:
        row = await sessions.rows.get(caller.account_id, session_id)
        caller.must_see(f"connect session {session_id}", row.end_user_id)
        return render_session(row)

    @router.get("")
    async def list_connections(
        caller: Standard,
        end_user_id: str | None = None,
        connector: str | None = None,
        label: str | None = None,
        status: Status | None = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        before = decode_cursor(cursor, int, str) if cursor else None
        rows = await connections.page(
            caller.account_id,
            end_user_id=caller.acting_for(end_user_id),
            connector=connector,
            label=label,
            status=status,
            limit=limit,
            before=before,
        )
        return page(rows, limit, render_connection, lambda row: (row.created_at, row.id))

    @router.get("/{connection_id}")
    async def get_connection(connection_id: str, caller: Standard) -> dict[str, Any]:
        row = await connections.get(caller.account_id, connection_id)
        caller.must_see(f"connection {connection_id}", row.end_user_id)
        return render_connection(row)

    @router.post("/{connection_id}/refresh")
    async def refresh_connection(connection_id: str, caller: Standard) -> dict[str, Any]:
        row = await connections.get(caller.account_id, connection_id)
        caller.must_see(f"connection {connection_id}", row.end_user_id)
        await credentials.refresh(row)
        return render_connection(await connections.get(caller.account_id, connection_id))

    @router.delete("/{connection_id}")
    async def delete_connection(connection_id: str, caller: Standard) -> dict[str, Any]:
        row = await connections.get(caller.account_id, connection_id)
        caller.must_see(f"connection {connection_id}", row.end_user_id)
        await connections.disconnect(row)
        return {"id": connection_id, "object": "connection.deleted", "deleted": True}

    return router
