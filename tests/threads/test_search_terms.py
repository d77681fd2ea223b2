"""What is found by what, told from the terms alone; and what a snippet shows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threads.search_terms import index_terms, query_terms, tokens
from threads.snippet import SNIPPET_CHARS, snippet


def found(text: str, query: str) -> bool:
    terms = set(index_terms(text).split(" "))
    asked = query_terms(query)
    begun = asked.prefix is None or any(term.startswith(asked.prefix) for term in terms)
    return bool(asked) and set(asked.exact) <= terms and begun


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The Quick brown fox", "quick FOX"),
        ("The quick brown fox", "fox bro"),
        ("internationalisation", "internat"),
        ("a con game", "con"),
        ("confident", "con"),
        ("Café, ÇA VA", "cafe ca va"),
        ("cafe\u0301", "café"),
        ("Die Straße", "STRASSE"),
        ("Ａｐｐｌｅ ﾃﾞｰﾀ", "apple データ"),
        ("今天天气很好", "天气"),
        ("今天天气很好", "今天天气"),
        ("今天天气很好", "天"),
        ("데이터베이스를 고쳤다", "데이터베이스"),
        ("ภาษาไทยง่าย", "ไทย"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("Привет, мир", "привет"),
        ("foo_bar3.baz@example.com", "bar3 example"),
        ("x" * 500, "x" * 500),
        ("price: 3.14", "3.14"),
    ],
)
def test_a_text_is_found(text: str, query: str) -> None:
    assert found(text, query)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("the quick fox", "quick dog"),
        ("the quick fox", "qu"),
        ("quick", "quicker"),
        ("今天天气很好", "气今"),
        ("हिन्दी", "हानदा"),
        ("anything", "!?*"),
        ("confident", "con x"),
    ],
)
def test_a_text_is_not_found(text: str, query: str) -> None:
    assert not found(text, query)


@given(st.text())
def test_every_word_of_a_text_finds_it_and_terms_are_nothing_but_words(text: str) -> None:
    for token in tokens(text):
        assert found(text, text[token.start : token.end]) or not query_terms(token.text)
    assert not re.search(r"[\s\"'\\*^:&|!()<>\0-]", index_terms(text).replace(" ", ""))


@given(st.text(max_size=500), st.text(max_size=20))
def test_a_snippet_is_a_marked_and_escaped_part_of_the_text(text: str, query: str) -> None:
    shown = snippet([text], query_terms(query))
    bare = shown.replace("<mark>", "").replace("</mark>", "")
    assert not {"<", ">"} & set(bare)
    assert len(re.findall("</?mark>", shown)) % 2 == 0


def test_a_snippet_shows_where_most_of_the_words_are() -> None:
    text = "snow " + "x " * 200 + "in <Oslo> there is snow & ice, as in Bergen. " + "y " * 200
    shown = snippet(["nothing here", text], query_terms("snow oslo berg"))
    assert (
        "in &lt;<mark>Oslo</mark>&gt; there is <mark>snow</mark> &amp; ice, as in <mark>Bergen</mark>."
        in shown
    )
    assert shown.startswith("…") and shown.endswith("…")
    assert len(shown) < SNIPPET_CHARS + 100
    assert snippet(["今天天气很好"], query_terms("天气")) == "今天<mark>天气</mark>很好"
    assert snippet(["Zürich ist schön"], query_terms("zurich")) == "<mark>Zürich</mark> ist schön"
