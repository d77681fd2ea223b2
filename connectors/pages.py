"""The hosted connect pages: server-rendered, in the visitor's language, nothing from third parties."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from connectors.brand import Brand, theme_of
from connectors.languages import LANGUAGES, Language, load_catalogue, marked
from connectors.models import ConnectSession
from connectors.registry import ConnectorTarget
from connectors.scope_words import ScopeWords, in_words

HEADERS = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}

NOTICES = {
    "unknown": (
        marked("This link does not work"),
        marked("It may be incomplete. Ask for a new one where you got it."),
    ),
    "used": (
        marked("This link was already used"),
        marked("Each link works once. Ask for a new one if you need it."),
    ),
    "expired": (marked("This link has expired"), marked("Links work for 15 minutes. Ask for a new one.")),
    "other_browser": (
        marked("This was started in another browser"),
        marked("For your safety, finish in the browser you began in, or ask for a new link."),
    ),
    "other_person": (
        marked("This link is for somebody else"),
        marked(
            "You are signed in as another person than the one this link was made for. Nothing was connected."
        ),
    ),
    "not_verified": (
        marked("We could not see who you are"),
        marked("Open the link again where you got it, signed in there. Nothing was connected."),
    ),
    "cancelled": (marked("Nothing was connected"), marked("You can close this page.")),
    "connected": (marked("Connected"), marked("You can close this page and go on where you were.")),
    "failed": (
        marked("That did not work"),
        marked("Nothing was connected. Ask for a new link to try again."),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """How a flow ended, for the page that opened it and for the way back."""

    status: str
    connection_id: str | None = None
    opener_origin: str | None = None
    go_on: str | None = None


@dataclass(frozen=True)
class Problems:
    """What is wrong with a form: fields by name (``missing`` or ``malformed``), or the vendor as a whole.
    ``detail``: in English, for whoever is asked for help."""

    fields: Mapping[str, str] = field(default_factory=dict)
    detail: str | None = None


class Pages:
    """All pages in all languages."""

    def __init__(self) -> None:
        self._catalogues = {code: load_catalogue(code) for code in LANGUAGES}
        self._environments = {code: _environment(found) for code, found in self._catalogues.items()}

    def consent(
        self,
        row: ConnectSession,
        target: ConnectorTarget,
        *,
        brand: Brand,
        language: Language,
        csrf: str,
        problems: Problems | None = None,
        values: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> HTMLResponse:
        """Who asks, for what, what happens, and Continue, a form, or Cancel."""
        return self._page(
            "consent.html",
            language,
            brand,
            status=status,
            isolated=row.opener_origin is None,
            vendor=target.display_name,
            end_user_id=row.end_user_id,
            scopes=self._scopes(row, target, language),
            pastes=target.auth == "api_key",
            fields=_fields(target.config_schema, values or {}, problems),
            csrf=csrf,
            problems=problems,
        )

    def notice(
        self,
        reason: str,
        *,
        language: Language,
        brand: Brand | None = None,
        status: int = 200,
        detail: str | None = None,
        vendor: str | None = None,
        outcome: Outcome | None = None,
        switch: str = "",
    ) -> HTMLResponse:
        """A page that only says something. ``switch``: where its other languages are, if not here."""
        title, text = NOTICES[reason]
        opened = outcome is not None and outcome.opener_origin is not None
        return self._page(
            "notice.html",
            language,
            brand,
            status=status,
            isolated=not opened,
            scripted=opened,
            title=title,
            text=text,
            reason=reason,
            detail=detail,
            vendor=vendor,
            outcome=outcome,
            switch=switch,
        )

    def _page(
        self,
        template: str,
        language: Language,
        brand: Brand | None,
        *,
        status: int,
        isolated: bool,
        scripted: bool = False,
        switch: str = "",
        **shown: Any,
    ) -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        page = (
            self._environments[language.code]
            .get_template(template)
            .render(
                language=language,
                languages=LANGUAGES.values(),
                brand=brand,
                theme=theme_of(brand.color if brand is not None else None),
                nonce=nonce,
                scripted=scripted,
                switch=switch,
                **shown,
            )
        )
        headers = {
            **HEADERS,
            "content-security-policy": _policy(nonce, scripted=scripted),
            "content-language": language.tag,
            # A page that somebody else's window opened keeps no handle on that window, unless the session's
            # maker named the origin that may wait for the outcome.
            "cross-origin-opener-policy": "same-origin" if isolated else "unsafe-none",
        }
        return HTMLResponse(page, status_code=status, headers=headers)

    def _scopes(self, row: ConnectSession, target: ConnectorTarget, language: Language) -> list[ScopeWords]:
        """What is known before the vendor is asked: the session's scopes, else the catalogue's."""
        scopes = tuple(row.scopes or ())
        if not scopes and target.entry is not None and target.auth != "api_key":
            grant = target.entry.oauth2 if target.auth == "oauth2" else target.entry.oauth
            scopes = grant.scopes if grant is not None else ()
        translate = self._catalogues[language.code].gettext
        return [in_words(scope, translate) for scope in scopes]


def _environment(catalogue: NullTranslations) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        catalogue.gettext, catalogue.ngettext, newstyle=True
    )
    return environment


def _policy(nonce: str, *, scripted: bool) -> str:
    return (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; "
        + ("script-src 'self'; " if scripted else "")
        + "base-uri 'none'; frame-ancestors 'none'; "
        # The form's answer redirects to the vendor, and browsers apply form-action to that redirect too.
        "form-action 'self' https: http://127.0.0.1:* http://localhost:*"
    )


def _fields(
    schema: Mapping[str, Any], values: Mapping[str, str], problems: Problems | None
) -> list[dict[str, Any]]:
    """What the form asks for. Secrets that were typed are not sent back."""
    required = schema.get("required", ())
    wrong = problems.fields if problems is not None else {}
    return [
        {
            "name": name,
            "title": described.get("title") or name,
            "description": described.get("description") or "",
            "secret": described.get("format") == "password",
            "choices": described.get("enum") or (),
            "required": name in required,
            "value": "" if described.get("format") == "password" else values.get(name, ""),
            "problem": wrong.get(name),
        }
        for name, described in schema.get("properties", {}).items()
    ]
