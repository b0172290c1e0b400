"""A postmortem as PDF, set by typst with the fonts that it brings: nothing is fetched.

All text stands in string literals of typst's, in which nothing is markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from forensics.errors import DependencyError, LakeError
from forensics.incident.document import Prose
from forensics.report import charts
from forensics.report import postmortem_prose as prose
from forensics.report.postmortem import (
    MARKS,
    SAID,
    Broken,
    Report,
    Stated,
    attribution,
    differences_table,
    rate_answer,
)
from forensics.report.postmortem_text import inert

_COLOURS = {"holds": "#1a6b2d", "differs": "#b3261e", "gone": "#7d4e00", None: "#59636e"}
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
"""


def pdf(report: Report) -> bytes:
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
        raise LakeError("typst cannot set this postmortem.", f"{error}.") from error
    return bytes(made)


def source(report: Report) -> str:
    """The postmortem in typst's language."""
    lines = [
        f"#set document(title: {_literal(report.document.title)}, date: none)",
        _PREAMBLE,
        _call("heading", ["level: 1"], _text(report.document.title)),
        *_head(report),
    ]
    for part in report.parts:
        if isinstance(part, Prose):
            lines += _blocks(prose.blocks(part.text), 0)
        elif isinstance(part, Broken):
            body = _text(f"This block is no pin: {part.why}")
            lines.append(f"#pin({_literal(_COLOURS['differs'])})[{body}]")
        else:
            lines.append(_pin(part, report))
    return "\n".join(lines) + "\n"


def _head(report: Report) -> Iterator[str]:
    for name, value in report.facts:
        yield f"{_muted(name)} #h(0.6em) {_text(value)} #linebreak()"
    kind = None if report.lake is None else "holds" if report.holds else "differs"
    verdict = report.verdict
    yield "#v(0.3em)"
    said = _text(f"{verdict[:1].upper()}{verdict[1:]}.")
    yield f"#text(fill: rgb({_literal(_COLOURS[kind])}))[*{said}*]"
    if report.asked:
        yield f"#linebreak() {_muted(report.asked + '.')}"


def _pin(stated: Stated, report: Report) -> str:
    pin, status = stated.pin, stated.status
    colour = _literal(_COLOURS[status])
    lines = [
        f"{_text(pin.statement)} #h(0.5em) #box(text(fill: rgb({colour}), size: 8.5pt)"
        f"[{_text(f'{MARKS[status]} {SAID[status]}')}])"
    ]
    if pin.note:
        lines.append(f"#parbreak() #emph[{_text(pin.note)}]")
    rate, why = rate_answer(stated), attribution(stated)
    for drawing in (
        None if rate is None else charts.rate_chart(rate, report.window),
        None if why is None else charts.waterfall(why, stated.features),
    ):
        if drawing is not None:
            coloured = drawing.replace("<title>", f"<style>{charts.COLOURS}</style><title>", 1)
            lines.append(
                f'#parbreak() #image(bytes({_literal(coloured)}), format: "svg", width: 100%)'
            )
    rows = differences_table(stated)
    if rows:
        cells = ", ".join(f"[{_text(cell)}]" for row in rows for cell in row)
        lines.append(
            "#parbreak() #text(size: 8.5pt, table(columns: (1fr, 1fr, 1fr), stroke: 0.4pt + muted, "
            f"[], [{_text('one')}], [{_text('other')}], {cells}))"
        )
    for line in stated.lines:
        lines.append(f"#linebreak() #text(fill: rgb({colour}), size: 9pt)[{_text(line)}]")
    if stated.remark:
        lines.append(f"#linebreak() #text(fill: muted, size: 9pt)[{_text(stated.remark)}]")
    where = stated.pointer or "the whole answer"
    value = "" if stated.value is None else f" = {stated.value}"
    command = f"#raw({_literal(f'{stated.command} → {where}{value}')})"
    lines.append(f"#parbreak() #text(fill: muted)[{command}]")
    return f"#pin({colour})[{' '.join(lines)}]"


def _blocks(blocks: Sequence[prose.BlockOf], depth: int) -> Iterator[str]:
    for block in blocks:
        match block:
            case prose.Heading(level, parts):
                yield _call("heading", [f"level: {max(level, 1 if depth else 2)}"], _inlines(parts))
            case prose.Paragraph(parts):
                yield f"#par[{_inlines(parts)}]"
            case prose.Listing(start, items):
                bodies = ", ".join(f"[{' '.join(_blocks(item, depth + 1))}]" for item in items)
                yield f"#list({bodies})" if start is None else f"#enum(start: {start}, {bodies})"
            case prose.Quote(inner):
                yield f"#quote(block: true)[{' '.join(_blocks(inner, depth + 1))}]"
            case prose.CodeBlock(text):
                yield f"#raw(block: true, {_literal(text, lines=True)})"
            case prose.Rule():
                yield "#line(length: 100%, stroke: 0.4pt + muted)"
            case prose.Table(head, rows):
                cells = [f"[*{_inlines(cell)}*]" for cell in head]
                cells += [f"[{_inlines(cell)} #v(0pt)]" for row in rows for cell in row]
                columns = f"({'1fr, ' * len(head)})"
                yield f"#table(columns: {columns}, stroke: 0.4pt + muted, {', '.join(cells)})"


def _inlines(parts: Sequence[prose.Inline]) -> str:
    found = []
    for part in parts:
        match part:
            case prose.Text(text):
                found.append(_text(text))
            case prose.Code(text):
                found.append(f"#raw({_literal(text)})")
            case prose.Styled(style, inner):
                found.append(f"#{'strong' if style == 'strong' else 'emph'}[{_inlines(inner)}]")
            case prose.Link(address, inner):
                found.append(f"#underline[{_inlines(inner)}]")
                if not address.startswith("#"):
                    found.append(f"#footnote[{_text(address)}]")
            case prose.Break():
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
