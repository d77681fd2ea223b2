"""Counting tokens of text without a tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.estimate.text import text_tokens
from tests.gateway.inference.estimate_samples import MADE_UP, NATURAL, Sample, samples

ANY_BYTES = st.binary(max_size=3_000)


def _name(sample: Sample) -> str:
    return sample.kind


@pytest.mark.parametrize("sample", samples(NATURAL), ids=_name)
def test_natural_text_is_counted_a_little_high(sample: Sample) -> None:
    """The texts are one sentence long, so the ratios spread more than those of requests do."""
    assert 0.85 * sample.tokens <= text_tokens(sample.text.encode()) <= 2.1 * sample.tokens


@pytest.mark.parametrize("sample", samples(MADE_UP), ids=_name)
def test_text_made_to_be_dear_is_not_counted_cheap(sample: Sample) -> None:
    assert 0.92 * sample.tokens <= text_tokens(sample.text.encode()) <= 2.1 * sample.tokens


@pytest.mark.parametrize("sample", samples(MADE_UP), ids=_name)
def test_length_does_not_change_the_rate(sample: Sample) -> None:
    text = sample.text.encode()
    assert text_tokens(text * 50) == pytest.approx(50 * text_tokens(text), rel=0.02)


def test_no_text_has_no_tokens() -> None:
    assert text_tokens(b"") == 0


@given(ANY_BYTES, ANY_BYTES)
def test_more_text_never_has_fewer_tokens(text: bytes, more: bytes) -> None:
    assert text_tokens(text + more) >= text_tokens(text)


@given(ANY_BYTES)
def test_no_byte_is_more_than_four_tokens_and_a_run_of_letters(text: bytes) -> None:
    assert 0 <= text_tokens(text) <= 4 * len(text)
