"""Names that models accept, and back."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.names import model_names

SAFE = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@pytest.mark.parametrize("name", ["get_weather", "Get-Weather-2", "x" * 64])
def test_a_safe_name_stays_as_it_is(name: str) -> None:
    assert model_names([name]) == {name: name}


def test_a_server_and_its_tool_are_joined_by_two_underscores() -> None:
    assert model_names(["github/create_issue"]) == {"github/create_issue": "github__create_issue"}


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("notion/pages.search", "notion__pages_search"),
        ("docs/Größe", "docs__Gr__e"),
        ("a/" + "x" * 80, "a__" + "x" * 52),
    ],
)
def test_any_other_name_gets_a_hash_of_the_whole(name: str, readable: str) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    assert model_names([name]) == {name: f"{readable}_{digest}"}


def test_a_webhook_tool_that_looks_like_a_server_tool_keeps_its_name() -> None:
    mapping = model_names(["a/b", "a__b"])
    assert mapping["a__b"] == "a__b"
    assert mapping["a/b"].startswith("a__b_")


def test_a_name_that_is_the_hash_of_another_one_does_not_take_its_place() -> None:
    hashed = model_names(["a.b"])["a.b"]
    mapping = model_names(["a.b", hashed])
    assert mapping[hashed] == hashed
    assert mapping["a.b"] != hashed


@given(st.sets(st.text(min_size=1, max_size=90) | st.from_regex(r"[ab./_]{1,5}", fullmatch=True)))
def test_all_names_are_safe_and_none_collide(names: set[str]) -> None:
    mapping = model_names(names)
    assert set(mapping) == names
    assert len(set(mapping.values())) == len(names)
    assert all(SAFE.fullmatch(name) for name in mapping.values())
    assert mapping == model_names(sorted(names, reverse=True))
