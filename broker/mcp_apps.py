"""MCP Apps: tools whose results are shown by a user interface of their server's (extension
``io.modelcontextprotocol/ui``, revision 2026-01-26).

Heddle shows nothing itself. What a host needs goes to the client as the server gave it: the tool's ``_meta``
with its start, the whole result with its end, and the resource on demand.
"""

from collections.abc import Mapping
from typing import Any

SCHEME = "ui://"


def user_interface(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``_meta`` of a tool that has a user interface, by what its server says of it."""
    meta = details.get("_meta") or {}
    ui = meta.get("ui")
    named = [ui.get("resourceUri") if isinstance(ui, dict) else None, meta.get("ui/resourceUri")]
    shows = any(isinstance(uri, str) and uri.startswith(SCHEME) for uri in named)
    return meta if shows else None


def for_models(details: Mapping[str, Any]) -> bool:
    """Whether the tool may be put before models; some are only for their server's user interfaces."""
    ui = (details.get("_meta") or {}).get("ui")
    visibility = ui.get("visibility") if isinstance(ui, dict) else None
    return not isinstance(visibility, list) or "model" in visibility


def shown_to_client(server_id: str, tool: str, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the start of a call tells the client of its tool."""
    meta = user_interface(details)
    return None if meta is None else {"server_id": server_id, "tool": tool, "_meta": meta}
