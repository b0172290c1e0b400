"""What was found as items of an outline: by severity, the gravest first.

A detector that found one thing is one line; where it found several it can be folded.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from rich.cells import cell_len

from forensics.lake.window import DECISION, REQUEST
from forensics.reconstruct.check import Noticed
from forensics.reconstruct.findings import RANK
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.report.spans import Line, Span, span
from forensics_tui.finding_lines import ID_MAX, SIGNS, row_line, share, words_of
from forensics_tui.found import Example, Found, Kind, One
from forensics_tui.inert import fitted
from forensics_tui.widgets.outline import Item

#: So many decisions of a finding are listed.
SHOWN = 20
_WIDE = 100


def items(found: Found, marks: Container[str], width: int) -> Iterator[Item]:
    """All that was found, then what could not be checked, then what is clean.

    Args:
        found: what is told.
        marks: ids of the decisions that are marked.
        width: columns of the terminal.
    """
    check = found.check
    wrong = [one for one in check.found if RANK[one.severity] <= RANK["warning"]]
    known = [one for one in check.found if RANK[one.severity] > RANK["warning"]]
    yield Item([Span("wrong", "bold")])
    if not wrong:
        looked = len(check.clean_kinds)
        words = f"nothing, as far as {looked} of {len(check.kinds)} detectors can tell"
        yield Item([Span("  "), Span(words)])
    yield from _group("wrong", wrong, found, marks, width)
    if known:
        yield Item([Span("worth knowing", "bold")])
        yield from _group("known", known, found, marks, width)
    if check.not_checkable:
        yield Item([Span("not checkable", "bold"), Span(" · neither clean nor wrong", "dim")])
        for one in check.not_checkable:
            yield from _finding(one, f"{words_of(one.kind)}, because ", found, marks, width, "")
    if check.clean_kinds:
        words = f" · each looked at all of {count_of(check.decisions, 'decision')}"
        yield Item([Span("nothing found", "bold"), Span(words, "dim")])
        for kind in check.clean_kinds:
            yield Item([Span("  ✓ ", "good"), Span(words_of(kind))], Kind(kind, "clean"))
    if check.beyond_columns:
        yield Item([Span("not told by a window's columns", "bold"), Span(" alone", "bold")])
        for kind in check.beyond_columns:
            yield Item([Span("  · ", "dim"), Span(words_of(kind))], Kind(kind, "beyond"))


def _group(
    group: str, noticed: Sequence[Noticed], found: Found, marks: Container[str], width: int
) -> Iterator[Item]:
    """Detectors, the gravest first and of those the one that says most; what they found."""
    kinds = dict.fromkeys(one.kind for one in noticed)
    by_kind = {kind: [one for one in noticed if one.kind == kind] for kind in kinds}
    ranked = sorted(by_kind.items(), key=lambda item: (RANK[item[1][0].severity], -_most(item[1])))
    for kind, ones in ranked:
        if len(ones) == 1:
            yield from _finding(ones[0], f"{words_of(kind)}: ", found, marks, width, "")
            continue
        data = Kind(kind, group)
        is_open = data in found.unfolded
        sign, style = SIGNS[ones[0].severity]
        fold = "▾" if is_open else "▸"
        line: Line = [Span(f"{fold} "), Span(f"{sign} ", style), Span(words_of(kind), "bold")]
        words = f" · {count_of(len(ones), 'finding')}, up to {count_of(_most(ones), 'decision')}"
        yield Item([*line, Span(words, "dim")], data)
        for one in ones if is_open else ():
            yield from _finding(one, "", found, marks, width, "  ")


def _finding(
    one: Noticed, lead: str, found: Found, marks: Container[str], width: int, margin: str
) -> Iterator[Item]:
    """What a detector says, and below it decisions of which it says that."""
    data = One(one.kind, one.about)
    is_open = data in found.unfolded
    sign, style = SIGNS[one.severity]
    count = f"{one.count:>7,} {share(one, found.check):>8}"
    track = f"  {found.track(one)}" if width >= _WIDE else ""
    before = f"{margin}{'▾' if is_open else '▸'} "
    room = max(width - len(before) - len(count) - len(track) - 4, 12)
    words = fitted(span(lead + one.statement, limit=room + 1).text, room)
    bold = min(len(lead), len(words))
    yield Item([Span(before), Span(f"{sign} ", style), Span(words[:bold], "bold"),
                Span(words[bold:]), Span(f"  {count}"), Span(track, style)], data)  # fmt: skip
    if not is_open:
        return
    rows = found.examples.get(data)
    margin += "    "
    if rows is None:
        yield Item([Span(f"{margin}looking for the first of them …", "dim")])
        return
    names = max((cell_len(safe_text(row[REQUEST], ID_MAX)) for row in rows), default=0)
    for row in rows[:SHOWN]:
        mark = "*" if row[DECISION] in marks else " "
        yield Item([Span(f"{margin}{mark} "), *row_line(row, names)], Example(data, row))
    if one.count > SHOWN:
        more = f"{margin}  the first {len(rows[:SHOWN])} of {one.count:,}"
        yield Item([Span(more, "dim")])


def _most(ones: Sequence[Noticed]) -> int:
    return max(one.count for one in ones)
