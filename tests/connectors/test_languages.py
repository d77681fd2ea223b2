"""The pages' texts: every one of them in every language, and the language that a visitor gets."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import connectors
from connectors.languages import FOLDER, LANGUAGES, SOURCE, choose_language
from connectors.scope_words import in_words

METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
PLACEHOLDER = re.compile(r"%\(\w+\)s")


def written() -> set[str]:
    """Every text that the code and the templates show."""
    folder = str(Path(connectors.__file__).parent)
    keywords = {"_": None, "gettext": None, "marked": None}
    return {str(found[2]) for found in extract_from_dir(folder, METHODS, keywords=keywords)}


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != SOURCE])
def test_a_catalogue_has_every_text_with_its_placeholders_and_nothing_else(code: str) -> None:
    with (FOLDER / f"{code}.po").open("rb") as file:
        translated = {str(message.id): str(message.string) for message in read_po(file) if message.id}
    assert translated.keys() == written()
    for text, translation in translated.items():
        assert translation.strip(), text
        assert sorted(PLACEHOLDER.findall(translation)) == sorted(PLACEHOLDER.findall(text)), text
        assert translation.count("%") == len(PLACEHOLDER.findall(translation)), text


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "expected"),
    [
        ("de", "es", "zh", "de"),
        (None, "es", "zh", "es"),
        ("xx", "yy", "de-CH, en;q=0.5", "de"),
        (None, None, "fr, zh-TW;q=0.8, de;q=0.9", "de"),
        (None, None, "en;q=0, ES-mx", "es"),
        (None, None, "de;q=many, *;q=0.1, ;;;=,", "en"),
        (None, None, "de;q=nan, es", "es"),
        (None, None, "", "en"),
    ],
)
def test_a_visitor_gets_the_language_asked_for(
    asked: str | None, remembered: str | None, accepted: str, expected: str
) -> None:
    assert choose_language(asked, remembered, accepted).code == expected


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("email", "See your e-mail address"),
        ("issues:read", "Read: issues"),
        ("write:repo_hook", "Change: repo hook"),
        ("crm.objects.contacts.read", "Read: crm objects contacts"),
        ("https://vendor.example/auth/mail.readonly", None),
        ("admin", None),
    ],
)
def test_a_scope_is_put_in_words_where_they_are_known(scope: str, words: str | None) -> None:
    assert in_words(scope, str).words == words
