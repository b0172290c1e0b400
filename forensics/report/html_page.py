"""A postmortem as one HTML file that fetches nothing, runs nothing, and prints.

Its content security policy allows its own style sheet, by its digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

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

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")


def page(report: Report) -> str:
    """The whole file."""
    style = (Path(__file__).parent / "postmortem.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = _safe(report.document.title)
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
            f"<title>{title}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{_whole_times(report.document.title)}</h1>",
            *_head(report),
            *_body(report),
            "</main>",
            *_foot(report),
            "</body>",
            "</html>",
            "",
        ]
    )


def _head(report: Report) -> Iterator[str]:
    if report.facts:
        pairs = "".join(f"<dt>{_safe(k)}</dt><dd>{_safe(v)}</dd>" for k, v in report.facts)
        yield f'<dl class="facts">{pairs}</dl>'
    kind = "unknown" if report.lake is None else "holds" if report.holds else "differs"
    verdict = report.verdict
    yield (
        f'<p class="verdict {kind}"><strong>{_safe(verdict[:1].upper() + verdict[1:])}.</strong>'
        + (f"<br><span>{_safe(report.asked)}.</span>" if report.asked else "")
        + "</p>"
    )


def _foot(report: Report) -> Iterator[str]:
    if not report.stated:
        return
    yield (
        "<footer><p>Below each statement stands the command that its fact comes from. With "
        "<code>FORENSICS_LAKE</code> set to the lake it prints JSON; the fact is the part at the "
        "JSON pointer (RFC 6901) after the arrow.</p></footer>"
    )


def _body(report: Report) -> Iterator[str]:
    for part in report.parts:
        if isinstance(part, Prose):
            yield from _blocks(prose.blocks(part.text), 0)
        elif isinstance(part, Broken):
            yield '<div class="pin broken">'
            yield f'<p class="statement">This block is no pin: {_safe(part.why)}</p>'
            yield f"<pre>{_safe(part.text, lines=True)}</pre></div>"
        else:
            yield from _pin(part, report)


def _pin(stated: Stated, report: Report) -> Iterator[str]:
    status = stated.status
    pin = stated.pin
    yield f'<section class="pin {status or "unknown"}" id="{_safe(pin.id)}">'
    yield (
        f'<p class="statement"><span class="text">{_whole_times(pin.statement)}</span> '
        f'<span class="status">{MARKS[status]} {SAID[status]}</span></p>'
    )
    if pin.note:
        yield f'<p class="note">{_safe(pin.note)}</p>'
    rate, why = rate_answer(stated), attribution(stated)
    if rate is not None:
        yield f"<figure>{charts.rate_chart(rate, report.window)}</figure>"
    if why is not None:
        yield f"<figure>{charts.waterfall(why, stated.features)}</figure>"
    yield from _diff(stated)
    lines = [_safe(line) for line in stated.lines]
    if lines:
        yield '<ul class="found">' + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"
    if stated.remark:
        yield f'<p class="remark">{_safe(stated.remark)}</p>'
    where = _safe(stated.pointer or "the whole answer")
    value = "" if stated.value is None else f" = <b>{_safe(stated.value)}</b>"
    words = " ".join(f"<span>{_safe(word)}</span>" for word in stated.command.split(" "))
    yield (
        f'<p class="command"><code>{words}</code> <span class="where">→ {where}{value}</span></p>'
    )
    yield "</section>"


def _diff(stated: Stated) -> Iterator[str]:
    rows = differences_table(stated)
    if not rows:
        return
    yield '<div class="wide"><table><thead><tr><th></th><th>one</th><th>other</th></tr></thead>'
    for row in rows:
        yield "<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>"
    yield "</table></div>"


def _blocks(blocks: Sequence[prose.BlockOf], depth: int) -> Iterator[str]:
    for block in blocks:
        match block:
            case prose.Heading(level, parts):
                tag = f"h{min(max(level, 1 if depth else 2), 6)}"
                yield f"<{tag}>{_inlines(parts)}</{tag}>"
            case prose.Paragraph(parts):
                yield f"<p>{_inlines(parts)}</p>"
            case prose.Listing(start, items):
                tag = "ul" if start is None else "ol"
                begins = f' start="{start}"' if start not in (None, 1) else ""
                yield f"<{tag}{begins}>"
                for item in items:
                    match item:
                        case (prose.Paragraph(parts), *rest):
                            yield f"<li>{_inlines(parts)}"
                            yield from _blocks(rest, depth + 1)
                        case _:
                            yield "<li>"
                            yield from _blocks(item, depth + 1)
                    yield "</li>"
                yield f"</{tag}>"
            case prose.Quote(inner):
                yield "<blockquote>"
                yield from _blocks(inner, depth + 1)
                yield "</blockquote>"
            case prose.CodeBlock(text):
                yield f"<pre>{_safe(text, lines=True)}</pre>"
            case prose.Rule():
                yield "<hr>"
            case prose.Table(head, rows):
                yield '<div class="wide"><table><thead><tr>'
                yield "".join(f"<th>{_inlines(cell)}</th>" for cell in head) + "</tr></thead>"
                for row in rows:
                    cells = "".join(f"<td>{_inlines(cell)}</td>" for cell in row)
                    yield f"<tr>{cells}</tr>"
                yield "</table></div>"


def _inlines(parts: Sequence[prose.Inline]) -> str:
    found = []
    for part in parts:
        match part:
            case prose.Text(text):
                found.append(_safe(text))
            case prose.Code(text):
                found.append(f"<code>{_safe(text)}</code>")
            case prose.Styled(style, inner):
                found.append(f"<{style}>{_inlines(inner)}</{style}>")
            case prose.Link(address, inner):
                found.append(f'<a href="{_safe(address)}" rel="noreferrer">{_inlines(inner)}</a>')
            case prose.Break():
                found.append("<br>")
    return "".join(found)


def _whole_times(text: str) -> str:
    """``text`` with times that are not torn apart at the end of a line."""
    return _TIME.sub(r'<span class="time">\g<0></span>', _safe(text))


def _safe(text: str, *, lines: bool = False) -> str:
    return escape(inert(text, lines=lines), quote=True)
