"""The part of a message that shows why it was found.

A snippet is HTML: the text is escaped and its matches stand between ``<mark>`` and ``</mark>``, so that it
can be put into a page as it is.
"""

import re
from collections.abc import Sequence
from html import escape

from threads.search_terms import QueryTerms, Token, tokens

SNIPPET_CHARS = 240
_BEFORE = 60
_ELLIPSIS = "…"

Span = tuple[int, int]


def snippet(texts: Sequence[str], query: QueryTerms) -> str:
    """The stretch with the most different matches; the beginning if the words are in none of ``texts``."""
    best, best_spans, best_score = (texts[0] if texts else ""), [], 0
    for text in texts:
        spans = _matches(text, query)
        start, score = _densest(spans)
        if score > best_score:
            best, best_spans, best_score = text, spans[start:], score
    return _cut(best, [(start, end) for start, end, _ in best_spans])


def _matches(text: str, query: QueryTerms) -> list[tuple[int, int, int]]:
    """Where the query's tokens are in the text, as (start, end, number of the token)."""
    if text.isascii():
        return _in_ascii(text, query)
    words = {token.text: number for number, token in enumerate(query.tokens) if not token.is_run}
    runs = [(number, token) for number, token in enumerate(query.tokens) if token.is_run]
    last = query.tokens[-1] if query.tokens else None
    beginning = last.text if last is not None and not last.is_run and len(last.text) > 2 else None
    found = []
    for token in tokens(text):
        if token.is_run:
            found += [match for number, run in runs for match in _in_run(token, run, number)]
        elif (number := words.get(token.text)) is not None:
            found.append((token.start, token.end, number))
        elif beginning is not None and token.text.startswith(beginning):
            found.append((token.start, token.end, words[beginning]))
    return sorted(found)


def _in_ascii(text: str, query: QueryTerms) -> list[tuple[int, int, int]]:
    """The same, without taking every word of the text into the hand."""
    patterns = [
        f"({re.escape(token.text)}{'[a-z0-9]*' if token is query.tokens[-1] and len(token.text) > 2 else ''})"
        for token in query.tokens
    ]
    whole_word = re.compile(f"(?<![a-z0-9])(?:{'|'.join(patterns)})(?![a-z0-9])")
    return [
        (match.start(), match.end(), (match.lastindex or 1) - 1)
        for match in whole_word.finditer(text.lower())
    ]


def _in_run(token: Token, wanted: Token, number: int) -> list[tuple[int, int, int]]:
    found = []
    at = token.text.find(wanted.text)
    while at >= 0:
        end = at + len(wanted.text)
        if len(token.text) == token.end - token.start:
            found.append((token.start + at, token.start + end, number))
        else:  # folding changed its length: there is no telling which characters these were
            return [(token.start, token.end, number)]
        at = token.text.find(wanted.text, end)
    return found


def _densest(spans: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """The first match of the best stretch, and how many different tokens are in it."""
    best, most = 0, 0
    for first, (start, _, _) in enumerate(spans[:200]):
        kinds = {
            number for at, _, number in spans[first : first + 50] if at < start + SNIPPET_CHARS - _BEFORE
        }
        if len(kinds) > most:
            best, most = first, len(kinds)
    return best, most


def _cut(text: str, spans: Sequence[Span]) -> str:
    start = max(0, spans[0][0] - _BEFORE) if spans else 0
    end = min(len(text), start + SNIPPET_CHARS)
    start, end = _at_a_space(text, start, +1), _at_a_space(text, end, -1)
    pieces = [_ELLIPSIS] if start > 0 else []
    at = start
    for first, past in spans:
        if first < at or past > end:
            continue
        pieces += [escape(text[at:first]), "<mark>", escape(text[first:past]), "</mark>"]
        at = past
    pieces.append(escape(text[at:end]))
    return "".join([*pieces, _ELLIPSIS if end < len(text) else ""])


def _at_a_space(text: str, at: int, step: int) -> int:
    """The nearest place between two words, within 20 characters; else the place itself."""
    if at in {0, len(text)}:
        return at
    for offset in range(0, 20 * step, step):
        if 0 < at + offset < len(text) and text[at + offset].isspace():
            return at + offset + (1 if step > 0 else 0)
    return at
