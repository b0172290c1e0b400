"""The one writer of answers: everything on standard output passes here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from forensics.records.jsontext import dumps
from forensics.report.spans import Line, Style, Uncut

_STYLES: dict[Style, dict[str, Any]] = {
    "": {},
    "bold": {"bold": True},
    "dim": {"dim": True},
    "good": {"fg": "green"},
    "bad": {"fg": "red", "bold": True},
    "warn": {"fg": "yellow"},
    "accent": {"fg": "cyan"},
}


def is_terminal() -> bool:
    """Whether answers go to a person."""
    return sys.stdout.isatty()


def wants_color() -> bool:
    """Colour only on a terminal, and never against NO_COLOR or on a dumb one."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of the terminal.

    Where there is none, what ``COLUMNS`` says; where that says nothing either, lines are laid out
    for 100 and nothing is cut, since a file or another program has no edge.
    """
    if not is_terminal() and not os.environ.get("COLUMNS", "").isdecimal():
        return Uncut(100)
    import shutil

    return shutil.get_terminal_size((100, 40)).columns


def table_width() -> int:
    """Columns for tables; as many as they need where nobody's screen is concerned."""
    return max(width(), 80) if is_terminal() else 1_000


def text(line: str = "") -> None:
    """One line of plain text."""
    _write(line + "\n")


def lines(styled: Iterable[Line]) -> None:
    """Lines of styled text, coloured where :func:`wants_color`."""
    color = wants_color()
    for line in styled:
        if color:
            _write("".join(click.style(s.text, **_STYLES[s.style]) for s in line).rstrip() + "\n")
        else:
            _write("".join(s.text for s in line).rstrip() + "\n")


def value(answer: Mapping[str, Any]) -> None:
    """One answer as JSON: on one line, or indented for a person."""
    compact = dumps(answer)
    if not is_terminal():
        _write(compact + "\n")
        return
    # Numbers that no float holds must survive being indented, so they travel as they are written.
    exact = json.loads(compact, parse_float=_Verbatim, parse_int=_Verbatim)
    _write(_indented(exact, "") + "\n")


def record(row: Mapping[str, Any]) -> None:
    """One of many answers as JSON, on a line of its own."""
    _write(dumps(row) + "\n")


class _Verbatim(str):
    """A number in the words it was written in."""

    __slots__ = ()


def _indented(item: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(item, dict) and item:
        parts = (f"{inner}{dumps(key)}: {_indented(child, inner)}" for key, child in item.items())
        return "{\n" + ",\n".join(parts) + f"\n{margin}}}"
    if isinstance(item, list) and item:
        return (
            "[\n" + ",\n".join(inner + _indented(child, inner) for child in item) + f"\n{margin}]"
        )
    return str(item) if isinstance(item, _Verbatim) else dumps(item)


def _write(data: str) -> None:
    try:
        sys.stdout.write(data)
    except UnicodeEncodeError:  # a terminal that cannot show bars and arrows
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(data.encode(encoding, "replace").decode(encoding))
