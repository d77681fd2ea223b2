"""The hosted connect pages: server-rendered, no script, nothing from third parties."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from connectors.models import ConnectSession
from connectors.registry import ConnectorTarget

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)

HEADERS = {
    # The form's answer redirects to the vendor, and browsers apply form-action to that redirect too.
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self' https: http://127.0.0.1:* http://localhost:*"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}

NOTICES = {
    "unknown": ("This link does not work", "It may be incomplete. Ask for a new one where you got it."),
    "used": ("This link was already used", "Each link works once. Ask for a new one if you need it."),
    "expired": ("This link has expired", "Links work for 15 minutes. Ask for a new one."),
    "other_browser": (
        "This was started in another browser",
        "For your safety, finish in the browser you began in, or ask for a new link.",
    ),
    "other_person": (
        "This link is for somebody else",
        "You are signed in as another person than the one this link was made for. Nothing was connected.",
    ),
    "not_verified": (
        "We could not see who you are",
        "Open the link again where you got it, signed in there. Nothing was connected.",
    ),
    "cancelled": ("Nothing was connected", "You can close this page."),
    "connected": ("Connected", "You can close this page and go on where you were."),
    "failed": ("That did not work", "Nothing was connected. Ask for a new link to try again."),
}


def consent_page(
    row: ConnectSession,
    target: ConnectorTarget,
    *,
    account_name: str,
    csrf: str,
    problem: str | None = None,
    status: int = 200,
) -> HTMLResponse:
    """Who asks, for what, and Continue, a paste form, or Cancel."""
    fields: list[dict[str, Any]] = []
    required = target.config_schema.get("required", ())
    for name, described in target.config_schema.get("properties", {}).items():
        fields.append(
            {
                "name": name,
                "title": described.get("title") or name,
                "description": described.get("description") or "",
                "secret": described.get("format") == "password",
                "required": name in required,
            }
        )
    page = _TEMPLATES.get_template("consent.html").render(
        title=f"Connect {target.display_name}",
        account_name=account_name,
        vendor=target.display_name,
        end_user_id=row.end_user_id,
        scopes=row.scopes or [],
        fields=fields,
        csrf=csrf,
        problem=problem,
    )
    return HTMLResponse(page, status_code=status, headers=HEADERS)


def notice_page(reason: str, *, status: int = 200, detail: str | None = None) -> HTMLResponse:
    """A page that only says something."""
    title, text = NOTICES[reason]
    page = _TEMPLATES.get_template("notice.html").render(title=title, text=text, detail=detail)
    return HTMLResponse(page, status_code=status, headers=HEADERS)
