"""Where Stripe sends the customer back to if the developer names no page of their own."""

from starlette.responses import HTMLResponse

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 system-ui; max-width: 32rem; margin: 4rem auto; padding: 0 1rem }}</style>
<h1>{title}</h1><p>{text}</p></html>
"""


def paid_page() -> HTMLResponse:
    """Says no more than it knows: the money is credited when Stripe's event arrives."""
    return _page("Thank you", "Your payment was received. The credit appears in a moment.")


def cancelled_page() -> HTMLResponse:
    return _page("Nothing was paid", "You left the checkout. You can close this page.")


def _page(title: str, text: str) -> HTMLResponse:
    return HTMLResponse(PAGE.format(title=title, text=text), headers=HEADERS)
