"""Logged text on its way to the screen: what a terminal obeys is spelt out, markup is only text.

Everything that is shown goes through here or through :func:`forensics.report.spans.span`. Textual
parses no string for markup that it is given as :class:`~textual.content.Content`.
"""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len, set_cell_size

from forensics.errors import ForensicsError
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics.report.words import value_words


def cell(name: str, value: Any, limit: int = 60) -> str:
    """A value of a column as one inert cell."""
    if value is None:
        return ""
    if name == "occurred_at":
        return time_words(value)
    return safe_text(value_words(value), limit)


def time_words(micros: int) -> str:
    """A time in UTC to the millisecond."""
    time = from_micros(micros)
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}"


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """``text`` in exactly ``width`` columns of a terminal, in which some characters take two."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(width - 1, 0)) + ("…" if width else "")
    return " " * (width - length) + text if right else text + " " * (width - length)


def said(error: ForensicsError) -> str:
    """An error as one inert line."""
    return safe_text(" ".join(part for part in (error.what, error.why, error.todo) if part))
