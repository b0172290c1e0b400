"""A report as one HTML file that fetches nothing, runs nothing, and prints.

Its content security policy allows its own style sheet, by its digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from forensics.report import blocks
from forensics.report import postmortem_prose as prose
from forensics.report.blocks import Mark, Paged, Part
from forensics.report.markdown_text import inert
from forensics.report.words import capital

#: A longer word may be parted in a table.
_WORD_MAX = 18
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")


def page(report: Paged) -> str:
    """The whole file."""
    made = report.page()
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    foot = [f"<footer><p>{_inlines(made.foot)}</p></footer>"] if made.foot else []
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{_safe(made.title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{_whole_times(made.title)}</h1>",
            *(line for part in made.parts for line in _part(part)),
            "</main>",
            *foot,
            "</body>",
            "</html>",
            "",
        ]
    )


def _part(part: Part) -> Iterator[str]:
    match part:
        case blocks.Facts(pairs):
            rows = "".join(f"<dt>{_safe(k)}</dt><dd>{_safe(v)}</dd>" for k, v in pairs)
            yield f'<dl class="facts">{rows}</dl>'
        case blocks.Verdict(kind, text, note):
            more = f"<br><span>{_safe(note)}.</span>" if note else ""
            said = f"<strong>{_safe(capital(text))}.</strong>"
            yield f'<p class="verdict {kind}">{said}{more}</p>'
        case blocks.Authored(text):
            yield from _blocks(prose.blocks(text), 0)
        case blocks.Broken(why, text):
            yield '<div class="pin broken">'
            yield f'<p class="statement">{_safe(why)}</p>'
            yield f"<pre>{_safe(text, lines=True)}</pre></div>"
        case blocks.Pinned():
            yield from _pinned(part)
        case blocks.Chart(svg):
            yield f"<figure>{svg}</figure>"
        case blocks.Said(text, mark, strong):
            more = " strong" if strong else ""
            yield f'<div class="said{more}"><p><span class="text">{_whole_times(text)}</span></p>'
            yield f'<p class="mark">{_mark(mark)}</p></div>'
        case blocks.Grid(head, rows_):
            yield from _grid(head, rows_)
        case blocks.Blank(text):
            yield f'<p class="blank">[{_safe(text)}]</p>'
        case blocks.Sources(items):
            yield '<ul class="sources">'
            for one in items:
                command = f"<code>{_safe(one.command)}</code><br>" if one.command else ""
                number = f'<span class="number">[{one.number}]</span>'
                yield f'<li id="source-{one.number}">{number} {command}{_safe(one.text)}</li>'
            yield "</ul>"
        case _:
            yield from _blocks([part], 0)


def _mark(mark: Mark) -> str:
    """How a statement is known, and where to look."""
    kind = mark.evidence if mark.evidence in _EVIDENCE else "other"
    said = f'<span class="evidence {kind}">{_safe(mark.evidence)}</span>'
    if mark.reason:
        said += f" <span>{_safe(mark.reason)}</span>"
    if mark.source is not None:
        said += f' <a href="#source-{mark.source}">[{mark.source}]</a>'
    if mark.place:
        said += f" <code>{_breakable(mark.place)}</code>"
    return said


_EVIDENCE = ("recorded", "recomputed", "inferred", "missing", "redacted")


def _breakable(place: str) -> str:
    return _safe(place).replace("/", "/<wbr>")


def _cell(text: str) -> str:
    """Text of a cell, whose long words may be parted where they have a point or the like."""
    if any(len(word) > _WORD_MAX for word in text.split(" ")):
        return re.sub(r"([/._:])", r"\1<wbr>", _safe(text))
    return _whole_times(text)


def _grid(head: Sequence[str], rows: Sequence[tuple[tuple[str, ...], Mark]]) -> Iterator[str]:
    yield '<div class="wide"><table class="grid"><thead><tr>'
    yield "".join(f"<th>{_safe(cell)}</th>" for cell in (*head, "evidence"))
    yield "</tr></thead><tbody>"
    for cells, mark in rows:
        shown = "".join(
            f'<td data-head="{_safe(name)}">{_cell(cell)}</td>'
            for name, cell in zip(head, cells, strict=True)
        )
        yield f'<tr>{shown}<td class="mark" data-head="evidence">{_mark(mark)}</td></tr>'
    yield "</tbody></table></div>"


def _pinned(pin: blocks.Pinned) -> Iterator[str]:
    yield f'<section class="pin {pin.kind}" id="{_safe(pin.id)}">'
    yield (
        f'<p class="statement"><span class="text">{_whole_times(pin.text)}</span> '
        f'<span class="status">{pin.mark} {pin.status}</span></p>'
    )
    if pin.note:
        yield f'<p class="note">{_safe(pin.note)}</p>'
    for chart in pin.charts:
        yield f"<figure>{chart.svg}</figure>"
    if pin.compared:
        yield '<div class="wide"><table><thead><tr><th></th><th>one</th><th>other</th></tr></thead>'
        for row in pin.compared:
            yield "<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>"
        yield "</table></div>"
    lines = [_safe(line) for line in pin.found]
    if lines:
        yield '<ul class="found">' + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"
    if pin.remark:
        yield f'<p class="remark">{_safe(pin.remark)}</p>'
    where = _safe(pin.where or "the whole answer")
    value = "" if pin.value is None else f" = <b>{_safe(pin.value)}</b>"
    words = " ".join(f"<span>{_safe(word)}</span>" for word in pin.command.split(" "))
    yield (
        f'<p class="command"><code>{words}</code> <span class="where">→ {where}{value}</span></p>'
    )
    yield "</section>"


def _blocks(parts_: Sequence[blocks.BlockOf], depth: int) -> Iterator[str]:
    for block in parts_:
        match block:
            case blocks.Heading(level, parts):
                tag = f"h{min(max(level, 1 if depth else 2), 6)}"
                yield f"<{tag}>{_inlines(parts)}</{tag}>"
            case blocks.Paragraph(parts):
                yield f"<p>{_inlines(parts)}</p>"
            case blocks.Listing(start, items):
                tag = "ul" if start is None else "ol"
                begins = f' start="{start}"' if start not in (None, 1) else ""
                yield f"<{tag}{begins}>"
                for item in items:
                    match item:
                        case (blocks.Paragraph(parts), *rest):
                            yield f"<li>{_inlines(parts)}"
                            yield from _blocks(rest, depth + 1)
                        case _:
                            yield "<li>"
                            yield from _blocks(item, depth + 1)
                    yield "</li>"
                yield f"</{tag}>"
            case blocks.Quote(inner):
                yield "<blockquote>"
                yield from _blocks(inner, depth + 1)
                yield "</blockquote>"
            case blocks.CodeBlock(text):
                yield f"<pre>{_safe(text, lines=True)}</pre>"
            case blocks.Rule():
                yield "<hr>"
            case blocks.Table(head, rows):
                yield '<div class="wide"><table><thead><tr>'
                yield "".join(f"<th>{_inlines(cell)}</th>" for cell in head) + "</tr></thead>"
                for row in rows:
                    cells = "".join(f"<td>{_inlines(cell)}</td>" for cell in row)
                    yield f"<tr>{cells}</tr>"
                yield "</table></div>"


def _inlines(parts: Sequence[blocks.Inline]) -> str:
    found = []
    for part in parts:
        match part:
            case blocks.Text(text):
                found.append(_safe(text))
            case blocks.Code(text):
                found.append(f"<code>{_safe(text)}</code>")
            case blocks.Styled(style, inner):
                found.append(f"<{style}>{_inlines(inner)}</{style}>")
            case blocks.Link(address, inner):
                found.append(f'<a href="{_safe(address)}" rel="noreferrer">{_inlines(inner)}</a>')
            case blocks.Break():
                found.append("<br>")
    return "".join(found)


def _whole_times(text: str) -> str:
    """``text`` with times that are not torn apart at the end of a line."""
    return _TIME.sub(r'<span class="time">\g<0></span>', _safe(text))


def _safe(text: str, *, lines: bool = False) -> str:
    return escape(inert(text, lines=lines), quote=True)
