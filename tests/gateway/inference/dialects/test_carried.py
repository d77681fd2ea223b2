"""Signatures come out as they went in, and nothing else is taken for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.dialects.carried import (
    Carried,
    fitting_id,
    split_signature,
    unwrap,
    with_signature,
    wrap,
)

texts = st.text(st.characters(codec="utf-8"))


@given(st.builds(Carried, texts, texts, st.none() | texts))
def test_what_is_wrapped_comes_back(carried: Carried) -> None:
    text = wrap(carried)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", text)
    assert unwrap(text) == carried


@given(texts | texts.map("hdl1.".__add__) | texts.map("hdl1.YQ.".__add__))
def test_nothing_else_is_unwrapped_or_fails(text: str) -> None:
    found = unwrap(text)
    assert found is None or wrap(found).partition(".")[0] == "hdl1"


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.none() | texts)
def test_a_tool_id_carries_a_signature(tool_id: str, signature: str | None) -> None:
    carrying = with_signature(tool_id, signature)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", carrying)
    if signature is not None:
        assert split_signature(carrying) == (tool_id, signature)


@pytest.mark.parametrize("tool_id", ["toolu_01", "call__hdl1_%", "a__hdl1_ü", "__hdl1_x!"])
def test_an_id_without_a_signature_stays_as_it_is(tool_id: str) -> None:
    assert split_signature(tool_id) == (tool_id, None)


@given(texts)
def test_an_id_is_made_to_fit_always_in_the_same_way(tool_id: str) -> None:
    made = fitting_id(tool_id, pattern=r"[A-Za-z0-9]{9}", max_length=9)
    assert re.fullmatch(r"[A-Za-z0-9]{9}", made)
    assert fitting_id(tool_id, pattern=r"[A-Za-z0-9]{9}", max_length=9) == made
    assert fitting_id(made, pattern=r"[A-Za-z0-9]{9}", max_length=9) == made
