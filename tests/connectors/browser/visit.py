"""What a person does in a browser, and what the browser asked for meanwhile."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from playwright.async_api import BrowserContext, Page, Request

from tests.node_peers import node_modules

OVERFLOWS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
VIOLATIONS = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .map((found) => [found.id, found.nodes.map((node) => node.html + ' ' + node.failureSummary)])"""


@dataclass
class Visit:
    """A browser profile with one tab. ``allowed``: the origins that pages may ask for; what the pages at
    ``foreign`` ask for is that vendor's own affair."""

    context: BrowserContext
    page: Page
    allowed: list[str]
    foreign: str
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("request", self._note)
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def _note(self, request: Request) -> None:
        if request.is_navigation_request() or not request.frame.url.startswith(self.foreign):
            self.asked.append(request.url)

    def stayed_home(self) -> None:
        elsewhere = [url for url in self.asked if not url.startswith(tuple(self.allowed))]
        assert elsewhere == []
        assert self.errors == []

    async def heading(self, page: Page | None = None) -> str:
        return await (page or self.page).locator("h1").inner_text()

    async def press(self, action: str = "continue", page: Page | None = None) -> None:
        await (page or self.page).locator(f"button[value={action}]").click()

    async def decide(self, decision: str = "approve", page: Page | None = None) -> None:
        """On the vendor's own page."""
        tab = page or self.page
        await tab.wait_for_url("**/consent?flow=*")
        await tab.locator(f"button[value={decision}]").click()
        await tab.wait_for_url("**/connect/callback*")


async def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return int(await page.evaluate(OVERFLOWS))


async def violations(page: Page) -> list[Any]:
    """What axe-core finds fault with: labels, landmarks, contrast, languages and much else."""
    await page.evaluate(_axe())
    found: list[Any] = json.loads(json.dumps(await page.evaluate(VIOLATIONS)))
    return found


@cache
def _axe() -> str:
    return (node_modules() / "axe-core" / "axe.min.js").read_text()
