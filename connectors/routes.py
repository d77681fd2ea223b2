"""Connections over HTTP: the developer's routes, and the pages that end users see."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from connectors.connect import ConnectSessions
from connectors.connect_link import FlowEnd, LinkUnusable
from connectors.connections import Connections
from connectors.credentials import Credentials
from connectors.device import DeviceFlows
from connectors.pages import HEADERS, consent_page, notice_page
from connectors.schemas import CreateSession, render_connection, render_device_code, render_session
from connectors.status import Status
from kit.caller import Standard
from kit.errors import HeddleError, InvalidRequest
from kit.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
COOKIE = "heddle_connect"
MAX_FORM_FIELDS = 50
LINK_COOKIE = "heddle_link_"
"""With a session's id: its link's token, while the developer's site says who is there."""
LINK_STATUS = {
    "unknown": 404,
    "used": 410,
    "expired": 410,
    "other_browser": 403,
    "other_person": 403,
    "not_verified": 403,
}


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


def connect_pages(
    sessions: ConnectSessions, account_name: Callable[[str], Awaitable[str]], *, secure_cookie: bool
) -> APIRouter:
    """The hosted pages. They need no API key: the link's token is the credential."""
    router = APIRouter(prefix="/connect", include_in_schema=False)

    def keep(response: Response, name: str, value: str) -> None:
        response.set_cookie(
            name,
            value,
            max_age=3600,
            path="/connect",
            httponly=True,
            samesite="lax",
            secure=secure_cookie,
        )

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
            return notice_page(unusable.reason, status=LINK_STATUS[unusable.reason])
        return _ended(end)

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
            return notice_page(unusable.reason, status=LINK_STATUS[unusable.reason])
        token = request.cookies.get(LINK_COOKIE + session_id, "")
        return _see_other(f"/connect/{quote(token, safe='')}")

    @router.get("/{token}")
    async def show(token: str, request: Request) -> Response:
        try:
            row, target = await sessions.look_up(token)
        except LinkUnusable as unusable:
            return notice_page(unusable.reason, status=LINK_STATUS[unusable.reason])
        browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        response: Response
        try:
            if sessions.is_verified(row, browser):
                name = await account_name(row.account_id)
                response = consent_page(row, target, account_name=name, csrf=browser)
            else:
                response = _see_other(await sessions.verification_url(row, browser))
                keep(response, LINK_COOKIE + row.id, token)
        except LinkUnusable as unusable:
            return notice_page(unusable.reason, status=LINK_STATUS[unusable.reason])
        keep(response, COOKIE, browser)
        return response

    @router.post("/{token}")
    async def act(token: str, request: Request) -> Response:
        try:
            row, target = await sessions.look_up(token)
            form = await request.form(max_files=0, max_fields=MAX_FORM_FIELDS)
            browser = request.cookies.get(COOKIE)
            sent = str(form.get("csrf", ""))
            if browser is None or not secrets.compare_digest(browser.encode(), sent.encode()):
                raise LinkUnusable("other_browser")
            if form.get("action") != "continue":
                return _ended(await sessions.cancel(row))
            try:
                values = {name: value for name, value in form.items() if isinstance(value, str)}
                if target.auth == "api_key":
                    return _ended(await sessions.paste(row, target, values, browser))
                return _see_other(await sessions.authorize(row, target, browser, values))
            except HeddleError as problem:
                name = await account_name(row.account_id)
                return consent_page(
                    row,
                    target,
                    account_name=name,
                    csrf=browser,
                    problem=problem.message,
                    status=400 if problem.status < 500 else 502,
                )
        except LinkUnusable as unusable:
            return notice_page(unusable.reason, status=LINK_STATUS[unusable.reason])

    return router


def _ended(end: FlowEnd) -> Response:
    if end.redirect is not None:
        return _see_other(end.redirect)
    return notice_page(end.status, detail=end.problem, status=502 if end.status == "failed" else 200)


def _see_other(url: str) -> Response:
    return RedirectResponse(url, status_code=303, headers=HEADERS)
