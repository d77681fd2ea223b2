"""Finding the right tool among more than a thousand by what somebody wants."""

import pytest

from broker.dynamic.terms import terms_of
from broker.dynamic.tool_index import Described, ToolIndex
from tests.tool_library import Intent, fresh, intents, tools

TOP = 5


@pytest.fixture(scope="module")
def library() -> tuple[list[Described], ToolIndex]:
    described = [Described(tool.name, tool.description, tool.input_schema) for tool in tools().values()]
    return described, ToolIndex(described)


def missed(library: tuple[list[Described], ToolIndex], wanted: list[Intent]) -> list[str]:
    described, index = library
    return [
        intent.text
        for intent in wanted
        if not intent.right & {described[at].name for at in index.search(intent.text, TOP)}
    ]


def test_the_right_tool_is_among_the_first_five(library: tuple[list[Described], ToolIndex]) -> None:
    tuned, held_out = intents()
    assert len(library[0]) >= 1_000 and len(tuned) + len(held_out) >= 100
    wrong, wrong_held_out = missed(library, tuned), missed(library, held_out)
    right = 1 - (len(wrong) + len(wrong_held_out)) / (len(tuned) + len(held_out))
    assert right >= 0.9, wrong + wrong_held_out
    assert len(wrong_held_out) / len(held_out) <= 0.12, wrong_held_out  # the ranking was not made for these,
    wrong_fresh = missed(library, fresh())
    assert len(wrong_fresh) / len(fresh()) <= 0.12, wrong_fresh  # and these came after it


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("createPullRequest", ["creat", "pull", "request", "createpullrequest"]),
        ("create_pull-requests", ["creat", "pull", "request"]),
        ("HTTPServer2", ["http", "server", "2", "httpserver2"]),
        ("shipped shipping ships", ["ship", "ship", "ship"]),
        ("we paid the invoices", ["we", "pay", "the", "invoic"]),
        ("天気を調べる", ["天気", "気を", "を調", "調べ", "べる"]),
        ("…!?", []),
    ],
)
def test_words_that_mean_the_same_have_the_same_terms(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_a_search_finds_only_what_has_to_do_with_it() -> None:
    shelf = [
        Described("weather/get_forecast", "The weather of the coming days.", {"type": "object"}),
        Described("notes/add", "Keep a note.", {"properties": {"text": {"description": "What to keep."}}}),
        Described("odd", "", {"properties": ["not", "an", "object"]}),
    ]
    index = ToolIndex(shelf)
    assert index.search("weather tomorrow", 5) == [0]
    assert index.search("keep this text", 5) == [1]
    assert index.search("weather, or keep a note", 5, among=[1]) == [1]
    assert index.search("zzzz", 5) == index.search("", 5) == index.search("the of and", 0) == []
    assert ToolIndex([]).search("anything", 5) == []


def test_an_intent_of_any_length_is_cheap(library: tuple[list[Described], ToolIndex]) -> None:
    _, index = library
    assert len(index.search("create update delete list search " * 10_000, TOP)) == TOP
