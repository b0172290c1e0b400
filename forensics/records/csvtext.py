"""CSV that spreadsheets read as data: no cell is run as a formula, no line breaks unseen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from forensics.records.jsontext import dumps, number_text, time_text


def csv_line(values: Iterable[Any]) -> str:
    """One row; the standard writer leaves a carriage return unquoted, which begins a new one."""
    cells = map(csv_cell, values)
    return ",".join(
        '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell for cell in cells
    )


def csv_cell(value: Any) -> str:
    """A CSV cell; text that a spreadsheet would run as a formula is made text by a quote."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    if isinstance(value, datetime):
        return time_text(value)
    return number_text(value) if type(value) is float else dumps(value)
