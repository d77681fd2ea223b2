"""What directives mean, and that a wrong one is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim.directives import Directives, UnknownDirective, read_directives, strip_directives


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", Directives()),
        ("[sim:]", Directives()),
        ("[sim: latency=200ms]", Directives(latency_ms=200)),
        ("[sim: latency=2s pace=20]", Directives(latency_ms=2000, pace_ms=20)),
        ("[SIM: words=100, pace=5ms] hi", Directives(words=100, pace_ms=5)),
        ("[sim: status=429 retry-after=2]", Directives(status=429, retry_after="2")),
        ("[sim: status=500] and [sim: step=2]", Directives(status=500, step=2)),
        ("[sim: fail-times=2]", Directives(fail_times=2, status=500)),
        ("[sim: fail-times=1 break-after=3]", Directives(fail_times=1, break_after=3)),
        ("[sim: stall-after=0 garbage]", Directives(stall_after=0, garbage=True)),
        ("[sim: cache-read=10 cache-write=5]", Directives(cache_read=10, cache_write=5)),
        ("[sim: latency=999999999s]", Directives(latency_ms=600_000)),
        ("[simulate: status=500]", Directives()),
    ],
)
def test_a_text_holds_these_directives(text: str, expected: Directives) -> None:
    assert read_directives(text) == expected


def test_the_users_directive_wins_over_the_system_prompts() -> None:
    assert read_directives("[sim: words=5 pace=1ms]", "[sim: words=7]") == Directives(words=7, pace_ms=1)


@pytest.mark.parametrize(
    "word", ["latncy=5", "status=200", "status=", "words=-1", "words=many", "garbage=1", "x"]
)
def test_a_directive_that_cannot_be_meant_is_refused_by_name(word: str) -> None:
    with pytest.raises(UnknownDirective, match=f"sim: {word}"):
        read_directives(f"[sim: {word}]")


def test_the_model_does_not_read_its_directives() -> None:
    assert strip_directives("tell me [sim: words=3] more").split() == ["tell", "me", "more"]


def test_without_faults_only_the_manners_are_left() -> None:
    directives = read_directives("[sim: words=3 status=500 fail-times=1 step=1 break-after=2 garbage]")
    assert directives.without_faults() == Directives(words=3)


@given(st.text(), st.text())
def test_any_text_is_read_or_refused(inside: str, around: str) -> None:
    try:
        directives = read_directives(f"{around}[sim: {inside}]{around}")
    except UnknownDirective:
        return
    assert isinstance(directives, Directives)
