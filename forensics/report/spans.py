"""Lines of styled text, so that a report can be laid out without knowing what prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from forensics.records.safe_text import safe_text
from forensics.report.cells import cells, cut

Style = Literal["", "bold", "dim", "good", "bad", "warn", "accent"]


class Span(NamedTuple):
    """Text that is shown in one style. Always inert: make it with :func:`span`."""

    text: str
    style: Style = ""


Line = list[Span]


def span(text: object, style: Style = "", limit: int | None = None) -> Span:
    """A span of anything that was logged, made inert."""
    return Span(safe_text(text, limit), style)


def plain(line: Sequence[Span]) -> str:
    """A line's text without its styles."""
    return "".join(part.text for part in line)


class Uncut(int):
    """A width to lay lines out for where no screen ends: a line that needs more may have it."""

    __slots__ = ()


def fitted(line: Line, width: int) -> Line:
    """``line`` cut to ``width`` columns, with an ellipsis where something was cut.

    Not where the width is :class:`Uncut`.
    """
    if isinstance(width, Uncut) or cells(plain(line)) <= width:
        return line
    kept: Line = []
    room = width - 1
    for part in line:
        if cells(part.text) > room:
            kept += [Span(cut(part.text, room), part.style), Span("…", "dim")]
            break
        kept.append(part)
        room -= cells(part.text)
    return kept


def wrapped(text: str, width: int) -> list[str]:
    """``text`` broken at spaces into lines of at most ``width`` columns where words allow."""
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        if current and cells(current) + 1 + cells(word) > width:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]
