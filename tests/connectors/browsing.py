"""What a person's browser does with a connect link."""

import re
from urllib.parse import urljoin

import httpx

CSRF = re.compile(r'name="csrf" value="([^"]+)"')


async def press(
    browser: httpx.AsyncClient, url: str, action: str = "continue", **fields: str
) -> httpx.Response:
    """Open a connect link and press one of its buttons."""
    page = await browser.get(url)
    found = CSRF.search(page.text)
    assert found is not None, page.text
    return await browser.post(url, data={"csrf": found.group(1), "action": action, **fields})


async def follow(
    browser: httpx.AsyncClient, answer: httpx.Response, *, user: str = "ada", decision: str = "approve"
) -> httpx.Response:
    """Follow redirects by hand, deciding on the vendor's consent page; stops at what is not loopback."""
    url = str(answer.request.url)
    for _ in range(20):
        if not answer.is_redirect:
            return answer
        url = urljoin(url, answer.headers["location"])
        if not url.startswith(("http://127.0.0.1", "https://127.0.0.1")):
            return answer
        answer = await browser.get(url)
        if "/consent" in url and answer.status_code == 200:
            answer = await browser.post(url, data={"user": user, "action": decision})
    raise AssertionError(f"redirected for ever, last to {url}")


async def connect(browser: httpx.AsyncClient, url: str, *, user: str = "ada") -> httpx.Response:
    return await follow(browser, await press(browser, url), user=user)
