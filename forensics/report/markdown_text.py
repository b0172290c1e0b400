"""A report as Markdown: what a person wrote as it stands, all else as text that does nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from forensics.records.safe_text import safe_text
from forensics.report import blocks
from forensics.report.blocks import Mark, Paged, Part
from forensics.report.words import capital

#: What means something within a line of Markdown, or makes GitHub's form of it draw a link: an
#: underscore does so only at the edge of a word.
_ACTIVE = re.compile(
    r"[\\`*\[\]<>&~|$@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|(?<=mailto):|(?<=xmpp):",
    re.IGNORECASE,
)
#: What means something at its beginning.
_BEGINS = re.compile(r"[#+=-]|\d+[.)]")
_JOINERS = "\u200c\u200d"
#: HTML would take these up even after a backslash, where somebody reads the file as HTML.
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def inert(text: str, *, lines: bool = False) -> str:
    """Text with every active character spelt out, but those that join letters and emoji.

    Args:
        text: anything.
        lines: keep the ends of lines too.
    """
    if text.isprintable():
        return text
    kept = f"{_JOINERS}\n" if lines else _JOINERS
    return "".join(c if c in kept else safe_text(c) for c in text)


def escaped(text: str) -> str:
    """``text`` as Markdown that shows it: nothing in it is markup, a link, or HTML."""
    shown = _ACTIVE.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), safe_text(text))
    if begins := _BEGINS.match(shown):
        return f"{shown[: begins.end() - 1]}\\{shown[begins.end() - 1 :]}"
    return shown


def coded(text: str) -> str:
    """``text`` as code within a line."""
    shown = safe_text(text) or " "
    runs = re.findall("`+", shown)
    fence = "`" * (max(map(len, runs)) + 1 if runs else 1)
    pad = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


#: Parts that are items of one list where they follow each other.
_ITEMS = (blocks.Said, blocks.Blank)


def markdown(report: Paged) -> str:
    """The whole file."""
    page = report.page()
    text = f"# {escaped(page.title)}\n"
    before: Part | None = None
    for part in page.parts:
        if isinstance(part, blocks.Authored):
            text += part.text if text.endswith("\n\n") else f"\n{part.text.lstrip(chr(10))}"
            continue
        gap = "" if text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        if isinstance(part, _ITEMS) and type(part) is type(before):
            gap = ""  # a list goes on
        before = part
        text += gap + "\n".join(_lines(part)) + "\n"
    return text


def _lines(part: Part) -> Iterator[str]:
    match part:
        case blocks.Facts(pairs):
            yield from (f"{escaped(key)}: {_within(value)}  " for key, value in pairs)
        case blocks.Verdict(_, said, note):
            yield f"**{escaped(capital(said))}.**"
            if note:
                yield f"{escaped(note)}."
        case blocks.Broken(why):
            yield f"? **{escaped(why)}**"
        case blocks.Pinned():
            yield from _pinned(part)
        case blocks.Chart(_, lines):
            yield from ["```text", *lines, "```"]
        case blocks.Said(text, mark, strong):
            said = f"**{escaped(text)}**" if strong else escaped(text)
            yield f"- {said} — {_mark(mark)}"
        case blocks.Grid(head, rows):
            yield from _table([*map(_within, head), "evidence"])
            for cells, mark in rows:
                yield f"| {' | '.join([*map(_within, cells), _mark(mark, cell=True)])} |"
        case blocks.Blank(text):
            yield f"- \\[{escaped(text)}\\]"
        case blocks.Sources(items):
            for one in items:
                command = f"{coded(one.command)} — " if one.command else ""
                yield f"- \\[{one.number}\\] {command}{escaped(one.text)}"
        case blocks.Heading(level, parts):
            yield f"{'#' * level} {_inlines(parts, within=True)}"
        case blocks.Paragraph(parts):
            yield _inlines(parts)
        case blocks.Table(heads, cells_):
            yield from _table([_inlines(cell, within=True) for cell in heads])
            for row in cells_:
                yield f"| {' | '.join(_inlines(cell, within=True) for cell in row)} |"
        case blocks.Listing(start, items_):
            for number, item in enumerate(items_, start or 0):
                lead = "- " if start is None else f"{number}. "
                inner = [line for each in item for line in _lines(each)]
                yield f"{lead}{inner[0] if inner else ''}"
                yield from (" " * len(lead) + line for line in inner[1:])
        case blocks.Quote(inner_):
            for each in inner_:
                yield from (f"> {line}" for line in _lines(each))
        case blocks.CodeBlock(text):
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
            yield from [fence, *inert(text, lines=True).split("\n"), fence]
        case blocks.Rule():
            yield "---"


def _table(head: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"


def _mark(mark: Mark, *, cell: bool = False) -> str:
    """How a statement is known, in italics."""
    reason = f": {escaped(mark.reason)}" if mark.reason else ""
    where = f" \\[{mark.source}\\]" if mark.source is not None else ""
    place = coded(mark.place).replace("|", "\\|") if mark.place and cell else ""
    if mark.place and not cell:
        place = coded(mark.place)
    return f"_{escaped(mark.evidence)}_{reason}{where}{f' {place}' if place else ''}"


def _pinned(pin: blocks.Pinned) -> Iterator[str]:
    yield f"- {pin.mark} {escaped(pin.text)} — **{pin.status}**"
    if pin.note:
        yield f"  - note: {escaped(pin.note)}"
    for line in pin.found:
        yield f"  - {escaped(line)}"
    if pin.remark:
        yield f"  - {escaped(pin.remark)}"
    where = coded(pin.where) if pin.where else "the whole answer"
    value = f" = {coded(pin.value)}" if pin.value is not None else ""
    yield f"  - {coded(pin.command)} → {where}{value}"
    for chart in pin.charts:
        yield from ["", "  ```text", *(f"  {line}" for line in chart.lines), "  ```"]
    if pin.compared:
        yield from ["", "  | | one | other |", "  | --- | --- | --- |"]
        yield from (f"  | {' | '.join(map(escaped, row))} |" for row in pin.compared)


def _inlines(parts: Sequence[blocks.Inline], *, within: bool = False) -> str:
    found: list[str] = []
    for part in parts:
        match part:
            case blocks.Text(text):
                found.append(_within(text) if found or within else escaped(text))
            case blocks.Code(text):
                found.append(coded(text))
            case blocks.Styled(style, inner):
                mark = "**" if style == "strong" else "_"
                found.append(f"{mark}{_inlines(inner)}{mark}")
            case blocks.Link(address, inner):
                shown = _inlines(inner)
                found.append(shown if address.startswith("#") else f"{shown} ({coded(address)})")
            case blocks.Break():
                found.append("  \n")
    return "".join(found)


def _within(text: str) -> str:
    """Text that does not begin a line."""
    return escaped(f" {text}")[1:]
