"""One thing is never said to be several."""

from __future__ import annotations

import pytest

from forensics.records.plural import count_of, share_words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 decisions"), (1, "1 decision"), (1_204, "1,204 decisions")]
)
def test_a_number_agrees_with_its_noun(number: int, words: str) -> None:
    assert count_of(number, "decision") == words


def test_a_plural_of_its_own_is_used_for_several_only() -> None:
    assert count_of(1, "entry", "entries") == "1 entry"
    assert count_of(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (1, 3, "33 %"), (9, 9, "100 %"), (36, 30_000, "0.12 %"),
     (29_964, 30_000, "99.9 %"), (489, 29_964, "1.6 %")],
)  # fmt: skip
def test_shares_are_said_with_the_digits_they_need(part: int, whole: int, words: str) -> None:
    assert share_words(part, whole) == words
