"""The readable text of an HTML page: headings, paragraphs, lists and links, without what surrounds them.

Built on the standard library's tokenizer, not on a tree: what an HTML5 tree takes is quadratic in the nesting
of a hostile page (a minute for 500 kB, measured), and cannot be interrupted. This here can, and ends after
``BUDGET_S`` with what it has by then.
"""

import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

BUDGET_S = 5.0
PIECE_CHARS = 16_384
MIN_MAIN_CHARS = 200
MIN_MAIN_SHARE = 0.3
_INVISIBLE = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "select", "object", "canvas"}
)
_AROUND = frozenset({"nav", "footer", "aside", "button", "dialog"})
_MAIN = frozenset({"main", "article"})
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = frozenset(
    [
        "address",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "form",
        "header",
        "hr",
        "main",
        "article",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "thead",
        "tr",
        "ul",
    ]
)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")


@dataclass(frozen=True)
class Page:
    title: str
    text: str


def readable(body: bytes, charset: str, url: str) -> Page:
    """``charset``: what the answer's header says, if it does."""
    markup = decoded(body, charset)
    until = time.monotonic() + BUDGET_S
    page = _read(markup, url, _AROUND, until)
    if not page.text:  # something that is usually around the text was not closed, or is all there is
        page = _read(markup, url, frozenset(), until)
    return page


def decoded(body: bytes, charset: str) -> str:
    """By the header, the page's own word, or else as UTF-8 or windows-1252 (WHATWG Encoding)."""
    named = _META_CHARSET.search(body[:2_048])
    for name in filter(None, (charset, named.group(1).decode() if named else "", "utf-8")):
        try:
            return body.decode(name)
        except (LookupError, UnicodeDecodeError):
            continue
    return body.decode("windows-1252", "replace")


def _read(markup: str, url: str, around: frozenset[str], until: float) -> Page:
    reader = _Reader(url, _INVISIBLE | around)
    for start in range(0, len(markup), PIECE_CHARS):
        reader.feed(markup[start : start + PIECE_CHARS])
        if time.monotonic() > until:
            break
    reader.end_block()
    main = "\n\n".join(reader.main_blocks)
    every = "\n\n".join(reader.blocks)
    is_main = len(main) >= MIN_MAIN_CHARS or len(main) > len(every) * MIN_MAIN_SHARE
    return Page(_SPACES.sub(" ", "".join(reader.title)).strip(), main if is_main and main else every)


@dataclass
class _Inside:
    """How deep the reader is inside of what matters."""

    skipped: str = ""
    skipped_depth: int = 0
    main: int = 0
    title: bool = False
    preformatted: int = 0
    heading: str = ""
    hrefs: list[tuple[str, int]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, url: str, skipped: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.blocks: list[str] = []
        self.main_blocks: list[str] = []
        self._url = url
        self._skipped = skipped
        self._at = _Inside()
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = self._at
        if at.skipped:
            at.skipped_depth += tag == at.skipped
            return
        if tag in self._skipped or (tag not in _VOID and any(name == "hidden" for name, _ in attrs)):
            at.skipped, at.skipped_depth = tag, 1
            return
        if tag == "title":
            at.title = not self.title
        elif tag == "a":
            href = next((value for name, value in attrs if name == "href" and value), "")
            at.hrefs = [*at.hrefs[-7:], (href, len(self._words))]
        elif tag == "br":
            self._words.append("\n")
        elif tag in {"td", "th"}:
            self._words.append(" | ")
        elif tag == "li":
            self.end_block()
            self._words.append("- ")
        elif tag in _HEADINGS:
            self.end_block()
            at.heading = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self.end_block()
            at.main += tag in _MAIN
            at.preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        at = self._at
        if at.skipped:
            at.skipped_depth -= tag == at.skipped
            if not at.skipped_depth:
                at.skipped = ""
            return
        if tag == "title":
            at.title = False
        elif tag == "a" and at.hrefs:
            self._link(*at.hrefs.pop())
        elif tag in _HEADINGS or tag in _BLOCKS or tag == "li":
            self.end_block()
            at.main = max(0, at.main - (tag in _MAIN))
            at.preformatted = max(0, at.preformatted - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        at = self._at
        if at.skipped:
            return
        if at.title:
            self.title.append(data)
        else:
            self._words.append(data if at.preformatted else _SPACES.sub(" ", data))

    def _link(self, href: str, start: int) -> None:
        """What was said since the link began leads somewhere."""
        words = "".join(self._words[start:]).strip()
        if (
            not words
            or not href
            or href.startswith(("#", "javascript:", "data:"))
            or start > len(self._words)
        ):
            return
        try:
            where = urljoin(self._url, href.strip())
        except ValueError:
            return
        self._words[start:] = [f"[{words}]({where})"]

    def end_block(self) -> None:
        """What was read since the last one is a paragraph."""
        words = "".join(self._words)
        at, self._words, self._at.hrefs = self._at, [], []
        if not at.preformatted:
            words = "\n".join(_SPACES.sub(" ", line).strip() for line in words.split("\n"))
        words = words.strip(" |\n")
        if words and words != "-":
            block = f"{at.heading}{words}"
            self.blocks.append(block)
            if at.main:
                self.main_blocks.append(block)
            at.heading = ""
