"""Texts that PostgreSQL cannot keep: found, named, replaced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidRequest
from kit.json import storable, unstorable_place
from kit.paging import decode_cursor, encode_cursor
from kit.request_body import RequestBody

ANY_TEXT = st.text(st.characters(codec=None))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_storable_stays_and_what_is_not_becomes_so(value: object) -> None:
    changed = storable(value)
    assert unstorable_place(changed) is None
    assert (unstorable_place(value) is None) == (changed == value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("a\0", ""),
        ({"a": [1, {"b": "\ud800"}]}, "a.1.b"),
        ({"a": {"b\0": 1}}, "a.(a field's name)"),
        ([["ok"], ["\0"]], ".1.0"),
    ],
)
def test_the_place_is_named(value: object, place: str) -> None:
    assert unstorable_place(value) == place


def test_a_deep_value_is_searched_without_recursion() -> None:
    value: object = "\0"
    for _ in range(100_000):
        value = [value]
    assert str(unstorable_place(value)).endswith(".0.0")


def test_a_request_says_which_field() -> None:
    class Body(RequestBody):
        name: str

    with pytest.raises(InvalidRequest) as refusal:
        Body.model_validate({"name": "x\0"})
    assert refusal.value.param == "name"


@pytest.mark.parametrize("key", [(2**63, "a"), (-(2**63), "a"), (1, "\0")])
def test_a_cursor_that_no_database_takes_is_refused(key: tuple[int, str]) -> None:
    with pytest.raises(InvalidRequest):
        decode_cursor(encode_cursor(*key), int, str)
    assert decode_cursor(encode_cursor(2**63 - 1, "a"), int, str) == (2**63 - 1, "a")


def test_each_character_that_cannot_be_kept_is_replaced_by_one() -> None:
    assert storable({"a\0": ["\ud800b\0", "c"]}) == {"a\ufffd": ["\ufffdb\ufffd", "c"]}
