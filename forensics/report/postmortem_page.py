"""A postmortem as a tree of blocks: its prose as it stands, its pins as framed statements."""

from __future__ import annotations

from forensics.incident.document import Prose
from forensics.report import blocks, character_charts, charts
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

_FOOT = (
    blocks.Text("Below each statement stands the command that its fact comes from. With "),
    blocks.Code("FORENSICS_LAKE"),
    blocks.Text(
        " set to the lake it prints JSON; the fact is the part at the JSON pointer (RFC 6901) "
        "after the arrow."
    ),
)


def page_of(report: Report) -> blocks.Page:
    """The whole postmortem."""
    parts: list[blocks.Part] = []
    if report.facts:
        parts.append(blocks.Facts(tuple(report.facts)))
    kind: blocks.Kind = "unknown" if report.lake is None else "holds" if report.holds else "differs"
    parts.append(blocks.Verdict(kind, report.verdict, report.asked))
    for part in report.parts:
        if isinstance(part, Prose):
            parts.append(blocks.Authored(part.text))
        elif isinstance(part, Broken):
            parts.append(blocks.Broken(f"This block is no pin: {part.why}", part.text))
        else:
            parts.append(_pinned(part, report))
    return blocks.Page(report.document.title, tuple(parts), _FOOT if report.stated else ())


def _pinned(stated: Stated, report: Report) -> blocks.Pinned:
    pin, status = stated.pin, stated.status
    rate, why = rate_answer(stated), attribution(stated)
    drawn_ = []
    if rate is not None:
        svg = charts.rate_chart(rate, report.window)
        drawn_.append(blocks.Chart(svg, tuple(character_charts.rate(rate))))
    if why is not None:
        svg = charts.waterfall(why, stated.features)
        drawn_.append(blocks.Chart(svg, tuple(character_charts.waterfall(why))))
    return blocks.Pinned(
        id=pin.id,
        kind=status or "unknown",
        text=pin.statement,
        mark=MARKS[status],
        status=SAID[status],
        command=stated.command,
        where=stated.pointer,
        value=stated.value,
        note=pin.note,
        charts=tuple(drawn_),
        compared=tuple(differences_table(stated)),
        found=tuple(stated.lines),
        remark=stated.remark,
    )


def drawn(stated: Stated) -> list[str]:
    """A pin's chart in characters: a rate over time, or what a score is made of."""
    rate, why = rate_answer(stated), attribution(stated)
    return [
        *(character_charts.rate(rate) if rate is not None else ()),
        *(character_charts.waterfall(why) if why is not None else ()),
    ]
