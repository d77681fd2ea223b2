"""JSON shapes of the connection routes."""

from typing import Any, Literal

from pydantic import Field

from connectors.device import DeviceCode
from connectors.models import Connection, ConnectSession
from kit.errors import InvalidRequest
from kit.request_body import RequestBody


class CreateSession(RequestBody):
    connector: str = Field(min_length=1, max_length=200)
    end_user_id: str | None = Field(default=None, min_length=1, max_length=200)
    label: str = Field(default="", max_length=100)
    """Tells several accounts of one end user at the same vendor apart."""
    return_url: str | None = Field(default=None, max_length=2000)
    opener_origin: str | None = Field(default=None, max_length=300)
    scopes: list[str] | None = Field(default=None, max_length=100)
    flow: Literal["device"] | None = None
    config: dict[str, str] | None = None
    verify_url: str | None = Field(default=None, max_length=2000)

    def model_post_init(self, _context: Any) -> None:
        if self.flow is None and self.config is not None:
            raise InvalidRequest(
                "config: on a link's page, the end user is asked: expected flow device", param="config"
            )
        if self.flow == "device" and (self.return_url or self.verify_url):
            raise InvalidRequest(
                "flow: no browser comes back: expected no return_url or verify_url", param="flow"
            )


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
        "status_reason": row.status_reason,
        "scopes": row.scopes,
        "account_name": row.account_name,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def render_device_code(code: DeviceCode) -> dict[str, Any]:
    """What a device flow's end user must be shown."""
    return {
        "id": code.id,
        "flow": "device",
        "user_code": code.user_code,
        "verification_uri": code.verification_uri,
        "verification_uri_complete": code.verification_uri_complete,
        "expires_at": code.expires_at,
        "interval_s": code.interval_s,
    }


def render_session(row: ConnectSession) -> dict[str, Any]:
    """How far a connect session is; never its link or code."""
    return {
        "id": row.id,
        "object": "connect_session",
        "connector": row.connector,
        "end_user_id": row.end_user_id,
        "status": row.status,
        "connection_id": row.connection_id,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
    }
