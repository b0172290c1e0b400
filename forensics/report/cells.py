"""How many columns of a terminal text takes: some characters take two, some none."""

from __future__ import annotations

import unicodedata


def cells(text: str) -> int:
    """The columns that inert text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, room: int) -> str:
    """As much of the beginning of a text as ``room`` columns hold."""
    if text.isascii():
        return text[: max(room, 0)]
    kept = 0
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept += 1
    return text[:kept]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """A text with spaces behind it, or before it, so that it takes ``width`` columns at least."""
    spaces = " " * (width - cells(text))
    return spaces + text if right else text + spaces


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
