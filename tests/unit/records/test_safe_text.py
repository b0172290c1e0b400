"""Logged text on a terminal: shown, never obeyed."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.records.safe_text import safe_text

ACTIVE = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


@given(st.text())
def test_nothing_active_is_left_of_any_text(text: str) -> None:
    assert not {unicodedata.category(character) for character in safe_text(text)} & {*ACTIVE}


def test_nothing_active_is_left_of_any_character_there_is() -> None:
    for point in range(sys.maxunicode + 1):
        shown = safe_text(chr(point))
        assert shown.isprintable() or unicodedata.category(shown) == "Zs", hex(point)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x1b]52;c;cm0gLXJm\x1b\\", "\\x1b]52;c;cm0gLXJm\\x1b\\"),
        ("a\u202eb", "a\\u202eb"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("line\nline\r\ttab", "line\\nline\\r\\ttab"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\x9b31m", "\\x9b31m"),
        ("Grüße, 日本語, 💥", "Grüße, 日本語, 💥"),
        ("plain text", "plain text"),
    ],
)
def test_active_characters_are_spelt_out_and_others_left(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@given(st.text(), st.integers(1, 30))
def test_text_is_never_longer_than_asked_for(text: str, limit: int) -> None:
    assert len(safe_text(text, limit)) <= limit
