"""The pages that end users see. They need no API key: the link's token is the credential."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from connectors.brand import Brands
from connectors.connect import ConnectSessions
from connectors.connect_link import FlowEnd, LinkUnusable
from connectors.languages import Language, choose_language
from connectors.models import ConnectSession
from connectors.pages import HEADERS, NOTICES, Outcome, Pages, Problems
from connectors.registry import ConnectorTarget
from kit.errors import HeddleError

COOKIE = "heddle_connect"
LANGUAGE_COOKIE = "heddle_connect_lang"
LANGUAGE_LIFETIME_S = 365 * 24 * 3600
MAX_FORM_FIELDS = 50
LINK_COOKIE = "heddle_link_"
FLOW_LIFETIME_S = 3600
LINK_STATUS = {
    "unknown": 404,
    "used": 410,
    "expired": 410,
    "other_browser": 403,
    "other_person": 403,
    "not_verified": 403,
}
STATIC = Path(__file__).parent / "static"
SCRIPT_LIFETIME_S = 3600
_SHA256 = re.compile(r"[0-9a-f]{64}")


def connect_pages(sessions: ConnectSessions, brands: Brands, *, secure_cookie: bool) -> APIRouter:
    """The hosted pages, the button's script, and the logos that the pages show."""
    router = APIRouter(prefix="/connect", include_in_schema=False)
    visits = _Visits(sessions, brands, Pages(), secure_cookie=secure_cookie)

    @router.get("/button.js")
    async def button() -> Response:
        return _script("button.js")

    @router.get("/ended.js")
    async def ended_script() -> Response:
        return _script("ended.js")

    @router.get("/logo/{sha256}.png")
    async def logo(sha256: str) -> Response:
        picture = await brands.logo(sha256) if _SHA256.fullmatch(sha256) else None
        if picture is None:
            return Response(status_code=404, headers=HEADERS)
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'",
        }
        return Response(picture, media_type="image/png", headers=headers)

    @router.get("/notice/{reason}")
    async def notice(reason: str, request: Request) -> Response:
        return await visits.notice(request, reason if reason in NOTICES else "unknown")

    @router.get("/ended/{session_id}")
    async def ended(session_id: str, request: Request) -> Response:
        try:
            return await visits.ended(request, await sessions.rows.ended(session_id), told=True)
        except LinkUnusable as unusable:
            return await visits.unusable(request, unusable)

    @router.get("/callback")
    async def callback(request: Request) -> Response:
        query = request.query_params
        try:
            end = await sessions.finish(
                state=query.get("state", ""),
                browser=request.cookies.get(COOKIE),
                code=query.get("code"),
                error=query.get("error"),
                iss=query.get("iss"),
                query=query,
            )
        except LinkUnusable as unusable:
            return await visits.unusable(request, unusable, switch=f"/connect/notice/{unusable.reason}")
        return await visits.ended(request, end)

    @router.get("/verified/{session_id}")
    async def verified(session_id: str, request: Request) -> Response:
        query = request.query_params
        try:
            await sessions.verify(
                session_id,
                request.cookies.get(COOKIE),
                challenge=query.get("challenge", ""),
                end_user_id=query.get("end_user_id", ""),
                signature=query.get("signature", ""),
            )
        except LinkUnusable as unusable:
            return await visits.unusable(request, unusable, switch=f"/connect/notice/{unusable.reason}")
        token = request.cookies.get(LINK_COOKIE + session_id, "")
        return _see_other(f"/connect/{quote(token, safe='')}")

    @router.get("/{token}")
    async def show(token: str, request: Request) -> Response:
        try:
            return await visits.opened(request, token)
        except LinkUnusable as unusable:
            return await visits.unusable(request, unusable)

    @router.post("/{token}")
    async def act(token: str, request: Request) -> Response:
        try:
            row, target = await sessions.look_up(token)
            form = await request.form(max_files=0, max_fields=MAX_FORM_FIELDS)
            return await visits.decided(request, row, target, form)
        except LinkUnusable as unusable:
            return await visits.unusable(request, unusable)

    return router


class _Visits:
    """What a visitor sees after each step, in their language and in the account's colours."""

    def __init__(
        self, sessions: ConnectSessions, brands: Brands, pages: Pages, *, secure_cookie: bool
    ) -> None:
        self._sessions = sessions
        self._brands = brands
        self._pages = pages
        self._secure = secure_cookie

    async def opened(self, request: Request, token: str) -> Response:
        """What the link asks, once the developer's site has vouched for the visitor where it is to. Raises
        LinkUnusable."""
        row, target = await self._sessions.look_up(token)
        browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        if self._sessions.is_verified(row, browser):
            return await self.consent(request, row, target)
        response = _see_other(await self._sessions.verification_url(row, browser))
        self._set_cookie(response, LINK_COOKIE + row.id, token, lifetime_s=FLOW_LIFETIME_S)
        self._set_cookie(response, COOKIE, browser, lifetime_s=FLOW_LIFETIME_S)
        return self._remembering(request, response)

    async def consent(
        self,
        request: Request,
        row: ConnectSession,
        target: ConnectorTarget,
        *,
        problems: Problems | None = None,
        values: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        response = self._pages.consent(
            row,
            target,
            brand=await self._brands.of(row.account_id),
            language=_language(request),
            csrf=browser,
            problems=problems,
            values=values,
            status=status,
        )
        self._set_cookie(response, COOKIE, browser, lifetime_s=FLOW_LIFETIME_S)
        return self._remembering(request, response)

    async def decided(
        self, request: Request, row: ConnectSession, target: ConnectorTarget, form: FormData
    ) -> Response:
        """Continue, the form, or Cancel. Raises LinkUnusable."""
        browser = request.cookies.get(COOKIE)
        sent = str(form.get("csrf", ""))
        if browser is None or not secrets.compare_digest(browser.encode(), sent.encode()):
            raise LinkUnusable("other_browser")
        if form.get("action") != "continue":
            return await self.ended(request, await self._sessions.cancel(row))
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            if target.auth == "api_key":
                return await self.ended(request, await self._sessions.paste(row, target, values, browser))
            return _see_other(await self._sessions.authorize(row, target, browser, values))
        except HeddleError as refusal:
            return await self.consent(
                request,
                row,
                target,
                problems=_problems(target.config_schema, values, refusal),
                values=values,
                status=400 if refusal.status < 500 else 502,
            )

    async def ended(self, request: Request, end: FlowEnd, *, told: bool = False) -> Response:
        """The end of a flow. ``told``: the page that opened it has been told, this only shows it again."""
        row = end.session
        if end.redirect is not None and row.opener_origin is None and not told:
            return _see_other(end.redirect)
        outcome = Outcome(end.status, end.connection_id, None if told else row.opener_origin, end.redirect)
        response = self._pages.notice(
            end.status,
            language=_language(request),
            brand=await self._brands.of(row.account_id),
            status=502 if end.status == "failed" and not told else 200,
            detail=end.problem,
            vendor=await self._vendor(row),
            outcome=outcome,
            switch=f"/connect/ended/{row.id}",
        )
        return self._remembering(request, response)

    async def _vendor(self, row: ConnectSession) -> str:
        """The vendor's name as people know it."""
        try:
            return (await self._sessions.registry.get(row.account_id, row.connector)).display_name
        except HeddleError:
            return row.connector

    async def unusable(self, request: Request, link: LinkUnusable, *, switch: str = "") -> Response:
        response = self._pages.notice(
            link.reason, language=_language(request), status=LINK_STATUS[link.reason], switch=switch
        )
        return self._remembering(request, response)

    async def notice(self, request: Request, reason: str) -> Response:
        return self._remembering(request, self._pages.notice(reason, language=_language(request)))

    def _remembering(self, request: Request, response: Response) -> Response:
        """Keep the language that was chosen on the page: a cookie that the choice needs."""
        asked = request.query_params.get("lang")
        language = _language(request)
        if asked == language.code:
            self._set_cookie(response, LANGUAGE_COOKIE, language.code, lifetime_s=LANGUAGE_LIFETIME_S)
        return response

    def _set_cookie(self, response: Response, name: str, value: str, *, lifetime_s: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=lifetime_s,
            path="/connect",
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )


def _language(request: Request) -> Language:
    return choose_language(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language", ""),
    )


def _problems(schema: Mapping[str, Any], values: Mapping[str, str], refusal: HeddleError) -> Problems:
    """Every field that is missing, and the one that was refused; or what the vendor's side said."""
    wrong = {name: "missing" for name in schema.get("required", ()) if not values.get(name, "").strip()}
    if refusal.param in schema.get("properties", {}) and refusal.param not in wrong:
        wrong[str(refusal.param)] = "malformed"
    return Problems(wrong) if wrong else Problems(detail=refusal.message)


def _see_other(url: str) -> Response:
    return RedirectResponse(url, status_code=303, headers=HEADERS)


def _script(name: str) -> Response:
    headers = {
        "cache-control": f"public, max-age={SCRIPT_LIFETIME_S}",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "cross-origin",
    }
    return Response((STATIC / name).read_bytes(), media_type="text/javascript", headers=headers)
