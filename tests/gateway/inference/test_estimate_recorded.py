"""The estimate beside what providers counted, in all exchanges that were recorded with them."""

from statistics import fmean

import pytest

from bench.token_estimate import RECORDED, Exchange, exchanges, table

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    found = exchanges(RECORDED)
    assert len(found) > 400
    return found


def _under(found: list[Exchange]) -> list[str]:
    return [f"{exchange.folder}/{exchange.name}" for exchange in found if exchange.ratio() < 1]


def test_it_is_hardly_ever_under_and_not_far_over(recorded: list[Exchange]) -> None:
    told = [exchange for exchange in recorded if not exchange.estimate().set_aside]
    assert len(told) > 350
    assert len(_under(told)) <= len(told) // 100, _under(told)
    assert fmean(exchange.ratio() for exchange in told) <= 1.6, table(told)


def test_what_is_set_aside_is_always_enough(recorded: list[Exchange]) -> None:
    aside = [exchange for exchange in recorded if exchange.estimate().set_aside]
    assert len(aside) > 50
    assert _under(aside) == []


def test_no_provider_is_far_over(recorded: list[Exchange]) -> None:
    for folder in {exchange.folder for exchange in recorded}:
        told = [each for each in recorded if each.folder == folder and not each.estimate().set_aside]
        if len(told) >= 5:
            assert fmean(exchange.ratio() for exchange in told) <= 1.75, folder
