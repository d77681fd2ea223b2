"""``GET /v1/end-users/{id}/statement`` (admin)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path
from starlette.responses import Response

from gateway.statements.page import statement_page
from gateway.statements.printed import Printed, printed
from gateway.statements.schemas import COLUMNS, render_statement, statement_rows
from gateway.statements.statement import Month, Statement
from gateway.statements.statements import Statements
from kit.caller import Admin
from kit.csv_text import MEDIA_TYPE, csv_lines

EndUserId = Annotated[str, Path(min_length=1, max_length=200)]
Form = Literal["json", "csv", "html", "pdf"]


def statement_routes(statements: Statements, account_name: Callable[[str], Awaitable[str]]) -> APIRouter:
    router = APIRouter(prefix="/v1/end-users", tags=["billing"])

    @router.get("/{end_user_id}/statement")
    async def statement(
        end_user_id: EndUserId, caller: Admin, month: str | None = None, format: Form = "json"
    ) -> Response:
        wanted = None if month is None else Month.named(month)
        found = await statements.of(caller.account_id, end_user_id, wanted, mode=caller.mode)
        if format == "json":
            return Response(msgspec.json.encode(render_statement(found)), media_type="application/json")
        if format == "csv":
            text = csv_lines([COLUMNS, *statement_rows(found)])
            return Response(text, media_type=MEDIA_TYPE, headers=_download(found, "csv"))
        page = printed(found, await account_name(caller.account_id))
        if format == "html":
            return statement_page(page)
        file = await asyncio.to_thread(_pdf, page)
        return Response(file, media_type="application/pdf", headers=_download(found, "pdf"))

    return router


def _download(statement: Statement, extension: str) -> dict[str, str]:
    mark = "TEST-" if statement.mode == "test" else ""
    disposition = f'attachment; filename="{mark}statement-{statement.month.name}.{extension}"'
    return {"content-disposition": disposition, "cache-control": "no-store"}


def _pdf(page: Printed) -> bytes:
    from gateway.statements.pdf import statement_pdf  # 20 MB and a third of a second: once it is asked for

    return statement_pdf(page)
