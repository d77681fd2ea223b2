"""Reading a web page as text. Redirects are followed one at a time, each checked like the first address."""

import asyncio
from typing import Any
from urllib.parse import urljoin, urlsplit

from broker.builtins.builtin import Answer, Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, text, texts
from broker.builtins.readable import decoded, readable
from broker.calls import shorten
from kit.errors import InvalidRequest

MAX_REDIRECTS = 5
MAX_CHARS, USUAL_CHARS = 100_000, 20_000
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PLAIN = ("text/", "application/json", "application/xml", "application/rss+xml", "application/atom+xml")
HTML = frozenset({"text/html", "application/xhtml+xml"})
HEADERS = {"accept": "text/html,application/xhtml+xml;q=0.9,text/*;q=0.8,application/json;q=0.7"}


async def run(call: Invocation) -> Any:
    url, answer = await _fetched(call)
    if not 200 <= answer.status < 300:
        raise BuiltinFailed(f"The page answered with status {answer.status}.", status=answer.status)
    kind, _, parameters = answer.headers.get("content-type", "text/html").partition(";")
    kind = kind.strip().lower()
    charset = parameters.partition("charset=")[2].strip(" \"'").partition(";")[0]
    if kind in HTML:
        page = await asyncio.to_thread(readable, answer.body, charset, url)
        title, words = page.title, page.text
    elif kind.startswith(PLAIN):
        title, words = "", decoded(answer.body, charset)
    else:
        raise BuiltinFailed(f"The page is of type {kind[:100]}, which is no text.", status="not_text")
    limit = call.input.get("max_chars", USUAL_CHARS)
    return {
        "url": url,
        **({"title": title} if title else {}),
        "text": shorten(words, limit),
        "truncated": len(words) > limit,
    }


async def _fetched(call: Invocation) -> tuple[str, Answer]:
    url = call.input["url"]
    for _ in range(MAX_REDIRECTS + 1):
        url = _checked(call, url)
        answer = await call.http.send("GET", url, headers=HEADERS)
        where = answer.headers.get("location")
        if answer.status not in REDIRECTS or not where:
            return url, answer
        try:
            url = urljoin(url, where)
        except ValueError:
            raise BuiltinFailed(
                "The page leads to an address that cannot be.", status="invalid_url"
            ) from None
    raise BuiltinFailed(f"The page leads on more than {MAX_REDIRECTS} times.", status="too_many_redirects")


def _checked(call: Invocation, url: str) -> str:
    """The address, over TLS where it is a public one, if it may be fetched. Raises BuiltinFailed."""
    policy, url = call.services.policy, url.strip().partition("#")[0]
    try:
        try:
            policy.check_url(url, param="url")
        except InvalidRequest:
            if not url.lower().startswith("http://"):
                raise
            url = "https" + url[4:]
            policy.check_url(url, param="url")
        host = (urlsplit(url).hostname or "").lower()
    except InvalidRequest as refusal:
        raise BuiltinFailed(f"The page cannot be fetched: {refusal.message}.", status=refusal.code) from None
    domains = call.config.get("allowed_domains")
    if domains is not None and not any(host == name or host.endswith(f".{name}") for name in domains):
        raise BuiltinFailed(f"{host} is not among the domains that are allowed.", status="not_allowed")
    return url


TOOL = Builtin(
    slug="fetch-page",
    display_name="Fetch page",
    brand=None,
    description="Fetches a web page and returns its readable text, without navigation and advertisements.",
    input_schema=fields(
        "url",
        url=text("Address of the page", most=4_000),
        max_chars={
            "type": "integer",
            "minimum": 500,
            "maximum": MAX_CHARS,
            "description": f"How much text to return; {USUAL_CHARS} characters if left out",
        },
    ),
    config_schema=fields(
        allowed_domains=texts("Domains that may be fetched, those below them included", each=253),
    ),
    run=run,
    retry_safe=True,
)
