"""Which pages may be told how a popup ended: exact origins that a browser can name."""

import pytest

from connectors.opener import checked_origin
from kit.errors import InvalidRequest


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        ("https://app.example", "https://app.example"),
        ("https://App.Example:443", "https://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, exact: str) -> None:
    assert checked_origin(given) == exact


@pytest.mark.parametrize(
    "given",
    [
        "*",
        "null",
        "https://*.example",
        "app.example",
        "https://app.example/",
        "https://app.example/path",
        "https://user@app.example",
        "https://app.example?",
        "https://app.example:99999",
        "http://app.example",
        "https://app.example evil",
        "https://bücher.example",
        "javascript:alert(1)",
        "https://",
    ],
)
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest, match="opener_origin: expected an origin"):
        checked_origin(given)
