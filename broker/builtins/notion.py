"""What the Notion tools have in common (Notion API, version 2025-09-03)."""

from typing import Any

from broker.builtins.answers import at, listed
from broker.builtins.builtin import Invocation
from broker.builtins.fields import secret

API = "https://api.notion.com/v1"
ERRORS = ("message",)
CONNECTOR = "notion-api"
TOKEN = secret("Secret of a Notion integration")
ID = "^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"


def headers(call: Invocation) -> dict[str, str]:
    return {
        "notion-version": "2025-09-03",
        **(call.own or {"authorization": f"Bearer {call.config['token']}"}),
    }


def title_of(item: dict[str, Any]) -> str:
    """The title of a page, or of a data source."""
    parts = listed(item.get("title"))
    for value in (item.get("properties") or {}).values():
        if at(value, "type") == "title":
            parts = listed(at(value, "title"))
    return "".join(str(part.get("plain_text", "")) for part in parts)
