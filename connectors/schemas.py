"""JSON shapes of the connection routes."""

from typing import Any

from pydantic import Field

from connectors.models import Connection
from kit.request_body import RequestBody


class CreateSession(RequestBody):
    connector: str = Field(min_length=1, max_length=200)
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    return_url: str | None = Field(default=None, max_length=2000)
    scopes: list[str] | None = Field(default=None, max_length=100)
    opener_origin: str | None = Field(default=None, max_length=300)


def render_connection(row: Connection) -> dict[str, Any]:
    """A connection as the wire shows it; never its credentials."""
    return {
        "id": row.id,
        "object": "connection",
        "connector": row.connector,
        "end_user_id": row.end_user_id,
        "label": row.label,
        "kind": row.kind,
        "status": row.status,
        "scopes": row.scopes,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
