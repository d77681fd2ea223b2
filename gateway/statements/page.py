"""A statement as a page to print: one file, no script, nothing from elsewhere."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gateway.statements.printed import TEST_NOTE, Printed

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def statement_page(page: Printed) -> HTMLResponse:
    return HTMLResponse(
        _TEMPLATES.get_template("statement.html").render(page=page, test_note=TEST_NOTE), headers=_HEADERS
    )
