"""The terms under which a message is found, and those that a query asks for: the same on every database.

Text is folded (case, width, diacritics) and cut into words at everything that is neither letter nor digit.
Scripts that are written without spaces (Chinese, Japanese, Thai, …; Korean, whose particles stick to words)
become pairs of neighbouring characters and single characters. Every word of three characters or more also
has its first three as a term of its own: the shortest beginning of a word that can be searched for, which
would otherwise be the union of very many words.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

MAX_WORD = 40
"""Longer words are cut, when they are stored and when they are asked for."""
SHORTEST_PREFIX = 3
_SCOPE = "\ue000"
_STEM = "\ue001"
_STRETCH = "\ue002"
"""Marks of our own terms. Private-use characters are no letters, so no text makes such a term."""

_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
_NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_IN_WORDS = f"{_MARKS}\u0900-\u0963\u0966-\u0dff"
"""Vowel signs and the like, which Python's ``\\w`` does not count among a word's characters."""
_TOKEN = re.compile(f"(?P<run>[{_NO_SPACES}]+)|(?P<word>(?:[^\\W_{_NO_SPACES}]|[{_IN_WORDS}])+)")
_ASCII_WORD = re.compile("[a-z0-9]+")
_STRIPPED = re.compile(f"[{_MARKS}]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, or a run of a script without spaces, folded; ``start`` and ``end`` in the text it is from."""

    text: str
    is_run: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """What a query asks for: messages with all of ``exact``, and with a word that begins with ``prefix``."""

    exact: tuple[str, ...]
    prefix: str | None
    tokens: tuple[Token, ...]
    """For highlighting; the last one, if it is a word, stands for what begins with it."""

    def __bool__(self) -> bool:
        return bool(self.exact or self.prefix)

    @property
    def counted(self) -> tuple[str, ...]:
        """Each as it stands between the spaces of an entry's terms, or begins there."""
        words = [f" {term.rstrip(_STEM)}" if term.endswith(_STEM) else f" {term} " for term in self.exact]
        return (*words, f" {self.prefix}") if self.prefix else tuple(words)


def fold(text: str) -> str:
    """Lower case, one width, no diacritics."""
    if text.isascii():
        return text.lower()
    stripped = _STRIPPED.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", stripped).casefold()


def tokens(text: str) -> Iterator[Token]:
    """The words and runs of a text as it is written, one by one."""
    for match in _TOKEN.finditer(text):
        yield Token(fold(match.group()), match.lastgroup == "run", match.start(), match.end())


def index_terms(text: str) -> str:
    """The terms of a text, separated by single spaces: words and pairs in their order, then all else."""
    folded = fold(text)
    if folded.isascii():
        words = [word[:MAX_WORD] for word in _ASCII_WORD.findall(folded)]
        singles: set[str] = set()
    else:
        words, singles = [], set()
        for match in _TOKEN.finditer(folded):
            if match.lastgroup == "run":
                words.extend(_pairs(match.group()))
                singles.update(match.group())
            else:
                words.append(match.group()[:MAX_WORD])
    stems = {word[:SHORTEST_PREFIX] + _STEM for word in words if len(word) >= SHORTEST_PREFIX}
    return " ".join([*words, *sorted(singles), *sorted(stems)])


def query_terms(text: str) -> QueryTerms:
    """What a query asks for; nothing at all if it has no letters or digits."""
    asked = tuple(tokens(text))
    exact: dict[str, None] = {}
    prefix = None
    for number, token in enumerate(asked):
        if token.is_run:
            exact.update(dict.fromkeys(_pairs(token.text) or [token.text]))
            continue
        for word in _TOKEN.finditer(token.text):  # folding can take a word apart: ½ is 1⁄2
            last = number == len(asked) - 1 and word.end() == len(token.text)
            term = word.group()[:MAX_WORD]
            if not last or not SHORTEST_PREFIX <= len(term) < MAX_WORD:
                exact[term] = None
            elif len(term) == SHORTEST_PREFIX:
                exact[term + _STEM] = None
            else:
                prefix = term
    return QueryTerms(tuple(exact), prefix, asked)


def account_term(account_id: str) -> str:
    return _scope("account", account_id)


def end_user_term(account_id: str, end_user_id: str) -> str:
    return _scope("end_user", account_id, end_user_id)


def thread_term(thread_id: str) -> str:
    return _scope("thread", thread_id)


STRETCH = 1 << 11
"""So many consecutive entries have a term in common, on PostgreSQL (migration 0010)."""


def stretch_terms(newest_id: int, count: int) -> list[str]:
    """The terms of the ``count`` newest stretches."""
    last = newest_id // STRETCH
    return [f"{_STRETCH}{number}" for number in range(max(0, last - count + 1), last + 1)]


def _scope(*parts: str) -> str:
    """A term that stands for a tenant: it narrows the search. Rights are checked on the rows found."""
    return _SCOPE + blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]
