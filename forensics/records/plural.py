"""Numbers of things, and shares of them, in words."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str = "") -> str:
    """``1 decision``, ``1,204 decisions``.

    Args:
        number: how many.
        noun: of one.
        plural: of several, where it is not ``noun`` with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def share_words(part: int, whole: int) -> str:
    """A share as ``12 %``, with as many digits as tell it from 0 and 100."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 9.95:
        return f"{percent:.2g} %"
    return f"{percent:.1f} %" if 99 < percent < 100 else f"{percent:.0f} %"
