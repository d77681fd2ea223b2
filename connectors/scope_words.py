"""What OAuth scopes mean in words, where that is known: the standard ones, and names that say it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from connectors.languages import marked

_STANDARD = {
    "openid": marked("Know who you are there"),
    "profile": marked("See your profile, such as your name"),
    "email": marked("See your e-mail address"),
    "offline_access": marked("Stay connected while you are away"),
}
"""OpenID Connect Core, sections 5.4 and 11."""

_READS = marked("Read: %(thing)s")
_WRITES = marked("Change: %(thing)s")
_VERBS = {"read": _READS, "readonly": _READS, "write": _WRITES, "readwrite": _WRITES}
_VERB_FIRST = re.compile(r"(read|write)[:_.](.+)")
_VERB_LAST = re.compile(r"(.+)[:_.](read|readonly|write|readwrite)")


@dataclass(frozen=True)
class ScopeWords:
    """``words``: None where only the vendor knows what the scope means."""

    scope: str
    words: str | None


def in_words(scope: str, translate: Callable[[str], str]) -> ScopeWords:
    if scope in _STANDARD:
        return ScopeWords(scope, translate(_STANDARD[scope]))
    first, last = _VERB_FIRST.fullmatch(scope), _VERB_LAST.fullmatch(scope)
    verb, thing = (first[1], first[2]) if first else (last[2], last[1]) if last else ("", "")
    if not verb or "/" in thing:
        return ScopeWords(scope, None)
    return ScopeWords(scope, translate(_VERBS[verb]) % {"thing": re.sub(r"[:_.]+", " ", thing)})
