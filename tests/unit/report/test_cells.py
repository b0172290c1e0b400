"""Text of any script is cut and set in columns as wide as a terminal shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.report.cells import cells, cut, padded
from forensics.report.spans import Span, fitted, plain, wrapped
from forensics.report.text import table

WIDE = "漢字"


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), (WIDE, 4), ("ＡＢ", 4), ("e\u0301", 1), ("", 0), ("é", 1)]
)
def test_wide_characters_take_two_columns_and_marks_none(text: str, columns: int) -> None:
    assert cells(text) == columns


@given(st.text(alphabet="ab漢Ａe\u0301 ", max_size=30), st.integers(min_value=1, max_value=20))
def test_what_is_cut_fits_and_says_that_it_was_cut(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width
    shown = plain(fitted([Span(text[:7]), Span(text[7:])], width))
    assert cells(shown) <= width
    assert shown == text if cells(text) <= width else shown.endswith("…")


def test_cells_of_a_table_stand_below_each_other() -> None:
    head, *rows = (plain(line) for line in table([("name", "n"), (WIDE, "1"), ("ab", "22")], 40))
    assert {cells(row) for row in rows} == {cells(head)} == {8}
    assert padded(WIDE, 6, right=True) == f"  {WIDE}"


def test_wide_words_are_wrapped_where_they_fit() -> None:
    assert wrapped(f"{WIDE} {WIDE} {WIDE}", 9) == [f"{WIDE} {WIDE}", WIDE]
