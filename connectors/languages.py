"""The languages of the hosted pages: their catalogues, and which of them a visitor gets."""

import gettext
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent / "locale"
SOURCE = "en"
"""The language that the texts are written in; it needs no catalogue."""


@dataclass(frozen=True)
class Language:
    """``code``: as visitors ask for it. ``tag``: as a page says what it is in (BCP 47)."""

    code: str
    tag: str
    name: str


LANGUAGES = {
    language.code: language
    for language in (
        Language("en", "en", "English"),
        Language("de", "de", "Deutsch"),
        Language("es", "es", "Español"),
        Language("zh", "zh-Hans", "简体中文"),
    )
}


def marked(text: str) -> str:
    """Marks a text for the catalogues where it is written; it is translated where it is shown."""
    return text


@cache
def load_catalogue(code: str) -> gettext.NullTranslations:
    """The translations of one language, compiled from its ``.po`` file."""
    if code == SOURCE:
        return gettext.NullTranslations()
    compiled = BytesIO()
    with (FOLDER / f"{code}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def choose_language(asked: str | None, remembered: str | None, accepted: str) -> Language:
    """What was asked for on the page, else remembered, else ``Accept-Language``'s best, else English."""
    for code in (asked, remembered):
        if code in LANGUAGES:
            return LANGUAGES[code]
    for code in _by_preference(accepted):
        if code in LANGUAGES:
            return LANGUAGES[code]
    return LANGUAGES[SOURCE]


def _by_preference(accepted: str) -> list[str]:
    """The languages of an ``Accept-Language`` header, best first, without their regions (RFC 9110, 12.5.4;
    RFC 4647, 3.4). What cannot be read, or has weight 0, is left out."""
    weighted: list[tuple[float, str]] = []
    for part in accepted[:1000].split(","):
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if quality > 0:
            weighted.append((quality, tag.strip().lower().partition("-")[0]))
    return [code for _, code in sorted(weighted, key=lambda found: -found[0])]
