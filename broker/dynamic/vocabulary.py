"""Words that developers and their users say for one another, so that an intent meets a tool's own words."""

from functools import cache
from pathlib import Path

from broker.dynamic.terms import stem

_SAME = Path(__file__).with_name("vocabulary.txt")

_ONE_WAY = {
    "pr": ("pull", "request"),
    "mr": ("merge", "request"),
    "ci": ("pipeline", "workflow", "build", "job"),
    "cdn": ("cache",),
    "dm": ("direct", "message"),
    "sms": ("message",),
    "2fa": ("one", "time", "code"),
    "mfa": ("factor",),
    "otp": ("one", "time", "code"),
    "db": ("database",),
    "k8s": ("kubernetes", "pod"),
    "vm": ("instance", "virtual", "machine"),
    "todo": ("task",),
    "bitcoin": ("cryptocurrency",),
    "crypto": ("cryptocurrency",),
    "apple": ("stock",),
    "dollar": ("currency", "exchange"),
    "euro": ("currency", "exchange"),
    "yen": ("currency", "exchange"),
    "km": ("unit",),
    "kilometre": ("unit",),
    "mile": ("unit",),
    "https": ("url", "page", "link", "fetch"),
    "http": ("url", "page", "link", "fetch"),
    "com": ("domain",),
    "org": ("domain",),
    "io": ("domain",),
    "plate": ("task",),
    "svg": ("export", "image"),
    "umbrella": ("weather", "forecast"),
    "sunny": ("weather", "forecast"),
    "snow": ("weather", "forecast"),
    "storm": ("alert", "severe"),
}


_LANGUAGES = (
    "arabic chinese danish dutch english french german greek italian japanese korean polish portuguese "
    "russian spanish swedish turkish ukrainian"
)


@cache
def synonyms() -> dict[str, frozenset[str]]:
    """By stem. Not transitive: each line stands for itself."""
    table: dict[str, set[str]] = {}
    for line in _SAME.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        words = [stem(word) for word in line.split()]
        for word in words:
            table.setdefault(word, set()).update(other for other in words if other != word)
    for word in _LANGUAGES.split():
        table.setdefault(stem(word), set()).update(("translat", "languag"))
    for word, others in _ONE_WAY.items():
        table.setdefault(stem(word), set()).update(map(stem, others))
    return {word: frozenset(others) for word, others in table.items()}
