"""CSV by RFC 4180, without formulas."""

import csv
import io
from decimal import Decimal

import pytest

from kit.csv_text import Cell, csv_lines


def test_lines_are_as_rfc_4180_has_them() -> None:
    rows: list[list[Cell]] = [
        ["a", 'say "hi"', "x,y", "two\r\nlines", None, True],
        ["", 7, Decimal("1E-9"), -3],
    ]
    text = csv_lines(rows)
    assert text == 'a,"say ""hi""","x,y","two\r\nlines",,true\r\n,7,0.000000001,-3\r\n'


@pytest.mark.parametrize("start", list("=+-@\t\r\n\0＝＋－＠"))
def test_a_text_never_begins_like_a_formula(start: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_lines([[f"{start}1+1", f"a{start}"]]), newline=""))
    assert row == [f"'{start}1+1", f"a{start}"]


def test_numbers_keep_their_sign() -> None:
    assert csv_lines([[-1, Decimal("-0.5")]]) == "-1,-0.5\r\n"
