"""Pages are read as text; redirects go only where the first address might go."""

import httpx
import pytest
import respx

from broker.builtins import readable as reading
from broker.builtins.readable import readable
from broker.calls import ToolResult
from kit.clock import ManualClock
from kit.db import Database
from kit.outbound import OutboundPolicy
from tests.broker.rig import ACME, Rig, rigged

PAGE = """<!doctype html><html><head><title>Looms &amp; cloth</title><style>p {}</style>
<script>if (a < b) document.write("<p>no</p>")</script></head><body>
<header><a href="/">Home</a></header><nav><ul><li><a href="/shop">Shop</a></ul></nav>
<main><h1>How looms work</h1><p>The <b>warp</b> is
held   taut; see <a href="shuttle">the shuttle</a>.</p><ul><li>Heddles<li>Reed</ul>
<p hidden>Subscribe!</p><pre>a
  b</pre></main><aside>Buy now</aside><footer>© 2026</footer></body></html>"""


async def fetch(rig: Rig, url: str, **given: object) -> ToolResult:
    await rig.broker.builtins.create(ACME, "fetch-page", {"name": "fetch"})
    return await rig.call("fetch", {"url": url, **given})


def test_the_main_text_without_what_surrounds_it() -> None:
    page = readable(PAGE.encode(), "", "https://example.com/a/")
    assert page.title == "Looms & cloth"
    assert page.text == (
        "# How looms work\n\nThe warp is held taut; see [the shuttle](https://example.com/a/shuttle).\n\n"
        "- Heddles\n\n- Reed\n\na\n  b"
    )


def test_a_page_that_is_only_navigation_is_still_read() -> None:
    page = readable(b"<nav>Unclosed <p>Everything is in here.", "", "https://example.com/")
    assert "Everything is in here." in page.text


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("Grüße".encode("latin-1"), "iso-8859-1", "Grüße"),
        (b'<meta charset="iso-8859-1">' + "Grüße".encode("latin-1"), "", "Grüße"),
        ("Grüße".encode(), "", "Grüße"),
        ("Grüße".encode("cp1252"), "", "Grüße"),
        ("Grüße".encode(), "no-such-charset", "Grüße"),
    ],
)
def test_charsets(body: bytes, charset: str, text: str) -> None:
    assert readable(body, charset, "https://example.com/").text == text


@pytest.mark.parametrize("hostile", ["<div>", "<a href=x>", "<", "<!--", "<a b=", "<td>", "<nav>"])
def test_a_hostile_page_ends_in_time(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BUDGET_S", 0.2)
    clock = iter(range(1_000_000))
    monkeypatch.setattr("broker.builtins.readable.time.monotonic", lambda: next(clock) / 10)
    page = readable((hostile * 2_000_000)[:2_000_000].encode(), "", "https://example.com/")
    assert next(clock) < 12 and len(page.text) < 2_000_000


async def test_a_page_over_redirects(rig: Rig) -> None:
    with respx.mock() as web:
        web.get("https://example.com/old").mock(
            return_value=httpx.Response(301, headers={"location": "http://www.example.com/new?a=1#top"})
        )
        web.get("https://www.example.com/new?a=1").mock(return_value=httpx.Response(200, html=PAGE))
        result = await fetch(rig, "http://example.com/old", max_chars=500)
    assert result.output["url"] == "https://www.example.com/new?a=1"
    assert result.output["title"] == "Looms & cloth"
    assert result.output["truncated"] is False


@pytest.mark.parametrize(
    "where",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        "https://user:pass@example.com/",
    ],
)
async def test_neither_address_nor_redirect_leads_to_private_places(
    sqlite_db: Database, clock: ManualClock, where: str
) -> None:
    async with rigged(sqlite_db, clock, policy=OutboundPolicy()) as rig:
        with respx.mock() as web:
            web.get("https://example.com/").mock(
                return_value=httpx.Response(302, headers={"location": where})
            )
            redirected = await fetch(rig, "https://example.com/")
            assert len(web.calls) == 1
        with respx.mock() as web:
            direct = await rig.call("fetch", {"url": where})
            assert not web.calls
    for result in (redirected, direct):
        assert result.is_error and "cannot be fetched" in result.output["error"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(302, headers={"location": "https://example.com/"}), "more than 5 times"),
        (httpx.Response(200, content=b"%PDF", headers={"content-type": "application/pdf"}), "is no text"),
        (httpx.Response(404), "status 404"),
        (httpx.Response(200, content=b"x" * 2_200_000), "more than"),
    ],
)
async def test_what_is_no_page_is_told(rig: Rig, answer: httpx.Response, told: str) -> None:
    with respx.mock() as web:
        web.get("https://example.com/").mock(return_value=answer)
        result = await fetch(rig, "https://example.com/")
    assert result.is_error and told in result.output["error"], result


async def test_only_the_allowed_domains(rig: Rig) -> None:
    config = {"allowed_domains": ["example.com"]}
    await rig.broker.builtins.create(ACME, "fetch-page", {"name": "fetch"}, config=config)
    with respx.mock() as web:
        web.get("https://docs.example.com/").mock(return_value=httpx.Response(200, text="plain words"))
        allowed = await rig.call("fetch", {"url": "https://docs.example.com/"})
        refused = await rig.call("fetch", {"url": "https://notexample.com/"})
    assert allowed.output["text"] == "plain words"
    assert refused.is_error and "not among the domains" in refused.output["error"]
