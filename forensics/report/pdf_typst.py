"""A report as PDF, set by typst with the fonts that it brings: nothing is fetched.

All text stands in string literals of typst's, in which nothing is markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from forensics.errors import DependencyError, LakeError
from forensics.report import blocks, charts
from forensics.report import postmortem_prose as prose
from forensics.report.blocks import Mark, Paged, Part
from forensics.report.markdown_text import inert
from forensics.report.words import capital

#: More characters make no column wider.
_WIDE = 34
_COLOURS = {"holds": "#1a6b2d", "differs": "#b3261e", "gone": "#7d4e00", "unknown": "#59636e"}
_PREAMBLE = """
#set page(paper: "a4", margin: (x: 2.2cm, y: 2.2cm), numbering: "1 / 1")
#set text(font: ("Libertinus Serif", "DejaVu Sans Mono"), size: 10.5pt, fallback: true)
#set par(leading: 0.62em)
#show heading.where(level: 1): set text(size: 17pt)
#show heading.where(level: 2): it => block(above: 1.5em, below: 0.8em, it)
#show raw: set text(font: "DejaVu Sans Mono", size: 8pt)
#let muted = rgb("#59636e")
#let pin(colour, body) = block(breakable: false, above: 1em, below: 1em, width: 100%,
  inset: (left: 8pt, y: 1pt), stroke: (left: 1.5pt + rgb(colour)),
  { set par(spacing: 0.6em); body })
#let mark(body) = text(size: 8pt, fill: muted, hyphenate: false, body)
#let said(body, known) = block(above: 0.7em, below: 0.7em, width: 100%, breakable: false,
  grid(columns: (1fr, 4.6cm), column-gutter: 0.6cm, body, mark(known)))
#let marked(columns, ..cells) = { set text(size: 8.5pt); set par(leading: 0.5em)
  table(columns: columns, stroke: (x, y) => (bottom: 0.4pt + muted), inset: (x: 4pt, y: 4pt),
  ..cells) }
"""


def pdf(report: Paged) -> bytes:
    """The whole file.

    Raises:
        DependencyError: when typst is not installed.
        LakeError: when typst cannot set it.
    """
    try:
        import typst
    except ImportError as error:
        raise DependencyError(
            "A PDF needs typst.", "", "Install it: pip install 'decision-forensics[report]'"
        ) from error
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
    compiler = typst.Compiler(source(report).encode(), font_paths=fonts)
    try:
        made: Any = compiler.compile(format="pdf")
    except typst.TypstError as error:
        raise LakeError("typst cannot set this report.", f"{error}.") from error
    return bytes(made)


def source(report: Paged) -> str:
    """The report in typst's language."""
    page = report.page()
    lines = [
        f"#set document(title: {_literal(page.title)}, date: none)",
        _PREAMBLE,
        _call("heading", ["level: 1"], _text(page.title)),
        *(line for part in page.parts for line in _part(part)),
    ]
    return "\n".join(lines) + "\n"


def _part(part: Part) -> Iterator[str]:
    match part:
        case blocks.Facts(pairs):
            for name, value in pairs:
                yield f"{_muted(name)} #h(0.6em) {_text(value)} #linebreak()"
        case blocks.Verdict(kind, text, note):
            yield "#v(0.3em)"
            said = _text(f"{capital(text)}.")
            yield f"#text(fill: rgb({_literal(_COLOURS[kind])}))[*{said}*]"
            if note:
                yield f"#linebreak() {_muted(note + '.')}"
        case blocks.Authored(text):
            yield from _blocks(prose.blocks(text), 0)
        case blocks.Broken(why):
            yield f"#pin({_literal(_COLOURS['differs'])})[{_text(why)}]"
        case blocks.Pinned():
            yield _pinned(part)
        case blocks.Chart():
            yield f"#block({_image(part)})"
        case blocks.Said(text, mark, strong):
            said = f"#strong[{_text(text)}]" if strong else _text(text)
            yield f"#said([{said}], [{_mark(mark)}])"
        case blocks.Grid(head, rows):
            cells = [f"[#strong[{_text(cell)}]]" for cell in (*head, "evidence")]
            for row, mark in rows:
                cells += [*(f"[{_cell(cell)}]" for cell in row), f"[#mark[{_mark(mark)}]]"]
            columns = f"({', '.join(_widths(head, [row for row, _ in rows]))}, 1fr)"
            yield f"#marked({columns}, {', '.join(cells)})"
        case blocks.Blank(text):
            yield f"#par[{_muted(f'[{text}]')}]"
        case blocks.Sources(items):
            for one in items:
                command = f"#raw({_literal(one.command)}) #linebreak()" if one.command else ""
                inner = f"{_text(f'[{one.number}]')} #h(0.4em) {command} {_text(one.text)}"
                yield f"#block(above: 0.7em, below: 0.7em)[#text(size: 8.5pt)[{inner}]]"
        case _:
            yield from _blocks([part], 0)


def _cell(text: str) -> str:
    """Text of a cell, which may be parted after a point or the like."""
    return "#sym.zws;".join(map(_text, filter(None, re.split(r"(?<=[/._:])(?=\D)", text))))


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Shares of the width by how much stands in each column; all together three of the marks'."""
    longest = [
        min(max(len(cell) for cell in column), _WIDE) + 3
        for column in zip(head, *rows, strict=True)
    ]
    return [f"{3 * each / sum(longest):.2f}fr" for each in longest]


def _mark(mark: Mark) -> str:
    """How a statement is known, and where to look."""
    said = [f"#strong[{_text(mark.evidence)}]"]
    if mark.reason:
        said.append(_text(mark.reason))
    if mark.source is not None:
        said.append(_text(f"[{mark.source}]"))
    if mark.place:
        said.append(f"#raw({_literal(mark.place)})")
    return " ".join(said)


def _image(chart: blocks.Chart) -> str:
    coloured = chart.svg.replace("<title>", f"<style>{charts.COLOURS}</style><title>", 1)
    return f'image(bytes({_literal(coloured)}), format: "svg", width: 100%)'


def _pinned(pin: blocks.Pinned) -> str:
    colour = _literal(_COLOURS[pin.kind])
    lines = [
        f"{_text(pin.text)} #h(0.5em) #box(text(fill: rgb({colour}), size: 8.5pt)"
        f"[{_text(f'{pin.mark} {pin.status}')}])"
    ]
    if pin.note:
        lines.append(f"#parbreak() #emph[{_text(pin.note)}]")
    for chart in pin.charts:
        lines.append(f"#parbreak() #{_image(chart)}")
    if pin.compared:
        cells = ", ".join(f"[{_text(cell)}]" for row in pin.compared for cell in row)
        lines.append(
            "#parbreak() #text(size: 8.5pt, table(columns: (1fr, 1fr, 1fr), stroke: 0.4pt + muted, "
            f"[], [{_text('one')}], [{_text('other')}], {cells}))"
        )
    for line in pin.found:
        lines.append(f"#linebreak() #text(fill: rgb({colour}), size: 9pt)[{_text(line)}]")
    if pin.remark:
        lines.append(f"#linebreak() #text(fill: muted, size: 9pt)[{_text(pin.remark)}]")
    value = "" if pin.value is None else f" = {pin.value}"
    where = pin.where or "the whole answer"
    command = f"#raw({_literal(f'{pin.command} → {where}{value}')})"
    lines.append(f"#parbreak() #text(fill: muted)[{command}]")
    return f"#pin({colour})[{' '.join(lines)}]"


def _blocks(parts_: Sequence[blocks.BlockOf], depth: int) -> Iterator[str]:
    for block in parts_:
        match block:
            case blocks.Heading(level, parts):
                yield _call("heading", [f"level: {max(level, 1 if depth else 2)}"], _inlines(parts))
            case blocks.Paragraph(parts):
                yield f"#par[{_inlines(parts)}]"
            case blocks.Listing(start, items):
                bodies = ", ".join(f"[{' '.join(_blocks(item, depth + 1))}]" for item in items)
                yield f"#list({bodies})" if start is None else f"#enum(start: {start}, {bodies})"
            case blocks.Quote(inner):
                yield f"#quote(block: true)[{' '.join(_blocks(inner, depth + 1))}]"
            case blocks.CodeBlock(text):
                yield f"#raw(block: true, {_literal(text, lines=True)})"
            case blocks.Rule():
                yield "#line(length: 100%, stroke: 0.4pt + muted)"
            case blocks.Table(head, rows):
                cells = [f"[*{_inlines(cell)}*]" for cell in head]
                cells += [f"[{_inlines(cell)} #v(0pt)]" for row in rows for cell in row]
                columns = f"({'1fr, ' * len(head)})"
                yield f"#table(columns: {columns}, stroke: 0.4pt + muted, {', '.join(cells)})"


def _inlines(parts: Sequence[blocks.Inline]) -> str:
    found = []
    for part in parts:
        match part:
            case blocks.Text(text):
                found.append(_text(text))
            case blocks.Code(text):
                found.append(f"#raw({_literal(text)})")
            case blocks.Styled(style, inner):
                found.append(f"#{'strong' if style == 'strong' else 'emph'}[{_inlines(inner)}]")
            case blocks.Link(address, inner):
                found.append(f"#underline[{_inlines(inner)}]")
                if not address.startswith("#"):
                    found.append(f"#footnote[{_text(address)}]")
            case blocks.Break():
                found.append("#linebreak()")
    return "".join(found)


def _call(name: str, arguments: Sequence[str], body: str) -> str:
    return f"#{name}({', '.join(arguments)})[{body}]"


def _text(text: str) -> str:
    return f"#text({_literal(text)})"


def _muted(text: str) -> str:
    return f"#text(fill: muted, {_literal(text)})"


def _literal(text: str, *, lines: bool = False) -> str:
    shown = inert(text, lines=lines).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + shown.replace("\n", "\\n") + '"'
