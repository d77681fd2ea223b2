"""``docs/dialects.md`` says what these tests try."""

from itertools import product
from pathlib import Path

from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.matrix import CASES, DROPPED, SUBJECTS
from tests.gateway.inference.crossing.print_matrix import table
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.test_refused import REFUSED

DOCUMENT = Path(__file__).parents[4] / "docs" / "dialects.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->"


def test_the_documented_matrix_is_the_one_that_is_run() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table()


def test_every_combination_is_in_the_matrix() -> None:
    assert len(set(CASES)) == len(CASES) == 3 * 4 * 2 * 7
    assert set(DROPPED) <= set(product(CLIENTS, PROVIDERS, SUBJECTS))


def test_every_refused_field_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    refusals = text.partition("## What is refused")[2].partition("\n## ")[0]
    for refused in REFUSED:
        assert set(refused.fields) & set(refusals.replace("`", " ").replace(",", " ").split()), refused
