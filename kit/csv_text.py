"""CSV as RFC 4180 has it, safe to open in a spreadsheet.

A text that begins with one of ``= + - @`` (full-width, too) or a control character gets an apostrophe, or
a spreadsheet would run it as a formula (OWASP ASVS 5.0, 1.2.10). Numbers are written as they are.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal

from starlette.responses import StreamingResponse

Cell = str | int | Decimal | None
MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """The rows as lines that end in CRLF; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_field(cell) for cell in row] for row in rows)
    return text.getvalue()


async def csv_stream(
    header: Sequence[str], pages: AsyncIterator[Iterable[Sequence[Cell]]]
) -> AsyncIterator[str]:
    """The whole file, piece by piece: the header, then each page's lines."""
    yield csv_lines([header])
    async for rows in pages:
        yield csv_lines(rows)


def csv_response(text: AsyncIterator[str], filename: str) -> StreamingResponse:
    """A CSV file as a download, sent while it is read."""
    disposition = {"content-disposition": f'attachment; filename="{filename}"'}
    return StreamingResponse(text, media_type=MEDIA_TYPE, headers=disposition)


def _field(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
