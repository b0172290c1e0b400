"""Prose of a postmortem as lines of a width, each with the line of the source it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from forensics.report import postmortem_prose as prose
from forensics.report.postmortem_prose import BlockOf, Inline
from forensics.report.spans import Line, Span, Style, plain, span
from forensics.report.text import table

_TEXT_MAX = 20_000
_ITEM = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:[ \t]|$)")


class Laid(NamedTuple):
    """A line, and the number of the line of the source that it comes from, counted from 0."""

    line: Line
    source: int


def laid_out(text: str, width: int, first: int = 0) -> list[Laid]:
    """Markdown laid out; nothing in it is obeyed: links are told, HTML is text.

    Args:
        text: the source.
        width: columns of the terminal.
        first: the number of the source's first line.
    """
    found: list[Laid] = []
    for at, chunk in _chunks(text.replace("\r\n", "\n").split("\n")):
        lines = list(_blocks(prose.blocks("\n".join(chunk)), width))
        if found and lines:
            found.append(Laid([], first + at))
        last = max(len(chunk) - 1, 0)
        found += [Laid(line, first + at + min(number, last)) for number, line in enumerate(lines)]
    return found


def _chunks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Blocks that no list or fence spans, each with the number of its first line."""
    begun, chunk, fence = 0, list[str](), ""
    for number, line in enumerate(lines):
        bare = line.strip()
        new = bare and chunk and not chunk[-1].strip() and not fence
        if new and not line.startswith(" ") and not _ITEM.match(line):
            yield begun, chunk
            begun, chunk = number, []
        if fence:
            fence = "" if set(bare) == {fence[0]} and len(bare) >= len(fence) else fence
        elif bare.startswith(("```", "~~~")):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
        if chunk or bare:
            chunk.append(line)
        else:
            begun = number + 1
    if chunk:
        yield begun, chunk


def _blocks(blocks: Iterable[BlockOf], width: int, *, tight: bool = False) -> Iterator[Line]:
    for number, block in enumerate(blocks):
        if number and not tight:
            yield []
        yield from _block(block, max(width, 8))


def _block(block: BlockOf, width: int) -> Iterator[Line]:
    match block:
        case prose.Heading():
            lines = _wrapped([Span(part.text, "bold") for part in _spans(block.parts)], width)
            yield from lines
            if block.level < 3:
                longest = max((cell_len(plain(line)) for line in lines), default=0)
                yield [Span(("═" if block.level == 1 else "─") * longest, "dim")]
        case prose.Paragraph():
            yield from _wrapped(_spans(block.parts), width)
        case prose.Listing():
            yield from _listing(block, width)
        case prose.Quote():
            for line in _blocks(block.blocks, width - 2):
                yield [Span("│ ", "dim"), *line]
        case prose.CodeBlock():
            for text in block.text.split("\n"):
                yield [span(f"  {text}", "dim", _TEXT_MAX)]
        case prose.Rule():
            yield [Span("─" * width, "dim")]
        case prose.Table():
            rows = [tuple(plain(_spans(cell)) for cell in row) for row in (block.head, *block.rows)]
            yield from table(rows, width)


def _listing(block: prose.Listing, width: int) -> Iterator[Line]:
    for number, item in enumerate(block.items):
        sign = "• " if block.start is None else f"{block.start + number}. "
        tight = all(isinstance(one, prose.Paragraph | prose.Listing) for one in item)
        empty = True
        for line in _blocks(item, width - len(sign), tight=tight):
            yield [Span(sign if empty else " " * len(sign)), *line]
            empty = False
        if empty:
            yield [Span(sign)]


def _spans(parts: Sequence[Inline], style: Style = "") -> Line:
    """The spans of what stands in a block; a line that ends is a span of its own."""
    found: Line = []
    for part in parts:
        match part:
            case prose.Text():
                found.append(span(part.text.replace("\n", " "), style, _TEXT_MAX))
            case prose.Code():
                found.append(span(part.text, "accent", _TEXT_MAX))
            case prose.Styled():
                if part.style == "strong":
                    found += _spans(part.parts, "bold")
                else:
                    found += [Span("_", style), *_spans(part.parts, style), Span("_", style)]
            case prose.Link():
                found += _spans(part.parts, style)
                found.append(span(f" ({part.address})", "dim", _TEXT_MAX))
            case prose.Break():
                found.append(Span("\n"))
    return found


def _wrapped(spans: Sequence[Span], width: int) -> list[Line]:
    """Spans broken at spaces into lines; a word that is longer than a line is cut."""
    lines: list[Line] = [[]]
    room = width
    for word in _words(spans):
        length = cell_len(plain(word)) if word is not None else 0
        if word is None or (lines[-1] and length + 1 > room):
            lines.append([])
            room = width
        if word is None:
            continue
        if lines[-1]:
            lines[-1].append(Span(" ", lines[-1][-1].style))
            room -= 1
        for part in word:
            for text in _cut(part.text, room, width):
                if text is None:
                    lines.append([])
                    room = width
                else:
                    lines[-1].append(Span(text, part.style))
                    room -= cell_len(text)
    return lines


def _words(spans: Sequence[Span]) -> Iterator[Line | None]:
    """Words, each of one or several spans; None where a line ends."""
    word: Line = []
    for part in spans:
        if part.text == "\n":
            if word:
                yield word
            word = []
            yield None
            continue
        for number, text in enumerate(part.text.split(" ")):
            if number and word:
                yield word
                word = []
            if text:
                word.append(Span(text, part.style))
    if word:
        yield word


def _cut(text: str, room: int, width: int) -> Iterator[str | None]:
    """A word in pieces that a line holds, with None where a line ends."""
    piece, left = "", room
    for character in text:
        length = cell_len(character)
        if length > left:
            if piece:
                yield piece
            yield None
            piece, left = "", width
        piece, left = piece + character, left - length
    if piece:
        yield piece
