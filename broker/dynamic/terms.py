"""Cutting names, descriptions and intents into terms that can be compared."""

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_VOWEL = re.compile(r"[aeiouy]")
MAX_WORD_CHARS = 40

_STOP_WORDS = (
    "a an and any are as at be been but by can could did do does for from had has have how i if in into is "
    "it its just let like may me my need of on or our please s should so some t than that the their them "
    "then there these they this those to us want was we were what when where which who will with would "
    "you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""What an intent says without meaning it. Names and descriptions keep them, where they cost nothing."""


_IRREGULAR = {
    past: verb
    for verb, forms in {
        "buy": "bought",
        "build": "built",
        "draw": "drew drawn",
        "find": "found",
        "get": "got",
        "give": "gave given",
        "hold": "held",
        "leave": "left",
        "lose": "lost",
        "make": "made",
        "pay": "paid",
        "run": "ran",
        "say": "said",
        "see": "saw seen",
        "sell": "sold",
        "send": "sent",
        "speak": "spoke spoken",
        "spend": "spent",
        "take": "took taken",
        "throw": "threw thrown",
        "win": "won",
        "write": "wrote written",
    }.items()
    for past in forms.split()
}


def terms_of(text: str) -> list[str]:
    """The terms of a text, in order. ``createPullRequest`` has those of ``create_pull_request``."""
    found: list[str] = []
    for word in _WORD.findall(text):
        found += _terms_of_word(word[:MAX_WORD_CHARS])
    return found


@lru_cache(maxsize=20_000)
def _terms_of_word(word: str) -> tuple[str, ...]:
    if _CJK.search(word):  # no spaces: each two characters that stand side by side
        return tuple(word[at : at + 2] for at in range(max(1, len(word) - 1)))
    parts = _PART.findall(word) if word.isascii() else []
    whole = stem(word.lower())
    return (*(stem(part.lower()) for part in parts), whole) if len(parts) > 1 else (whole,)


def stem(word: str) -> str:
    """A word without its usual English endings: enough to bring forms together, not to be read."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        if word.endswith("ies") and len(word) > 4:
            word = f"{word[:-3]}y"
        elif word.endswith(("ches", "shes", "sses", "xes", "zes")):
            word = word[:-2]
        else:
            word = word[:-1]
    for ending in ("ing", "ed"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) > 2 and _VOWEL.search(root):
            word = root[:-1] if root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
