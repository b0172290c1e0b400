"""A checked window on a terminal: what was found, what nobody can tell, and what is clean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from forensics.reconstruct.check import Check, Noticed
from forensics.records.plural import count_of, share_words
from forensics.report import bulk
from forensics.report.pieces import flowing, marked
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics.report.words import age_words

_MARKS: dict[str, tuple[str, Style]] = {
    "error": ("✗", "bad"),
    "warning": ("!", "warn"),
    "info": ("·", "accent"),
    "not_checkable": ("?", "warn"),
}


def screen(check: Check, width: int) -> list[Line]:
    """The whole answer as lines of at most ``width`` characters (40 at least)."""
    width = max(width, 40)
    lines: list[Line] = list(_head(check, width))
    problems = [one for one in check.found if one.severity != "info"]
    by_kind: dict[str, list[Noticed]] = {}
    for one in problems:
        by_kind.setdefault(one.kind, []).append(one)
    for kind, noticed in by_kind.items():
        lines += [[], *_kind(kind, noticed, width)]
    if not problems:
        lines += [[], [Span("  "), Span("✓ ", "good"), Span("nothing wrong was found")]]
    others = [one for one in check.found if one.severity == "info"]
    if others:
        lines += [[], [Span("worth knowing", "bold")]]
        for one in others:
            example = f" (forensics trace {one.examples[0]})" if one.examples else ""
            text = f"{_counted(one)} {_words(one.kind)}: {one.statement}{example}"
            lines += marked("·", "accent", text, width)
    if check.not_checkable:
        lines += [[], [Span("not checkable", "bold")]]
        for one in check.not_checkable:
            text = f"{_counted(one)} {_words(one.kind)}, because {one.statement}"
            lines += marked("?", "warn", text, width)
    if check.clean_kinds:
        names = ", ".join(map(_words, check.clean_kinds))
        lines += [[], [Span("nothing found by", "bold")], *marked("✓", "good", names, width)]
    if check.beyond_columns:
        lines += [[], [Span("not told by a window's columns", "bold")]]
        for kind, why in check.beyond_columns.items():
            lines += marked("·", "dim", f"{_words(kind)}: {why}", width, "dim")
    for replay in check.replays.values():
        lines += [[], [Span("replay", "bold")], *bulk.screen(replay, width)]
    return [fitted(line, width) for line in lines]


def _head(check: Check, width: int) -> Iterator[Line]:
    points = ", ".join(check.decision_points)
    facts = [count_of(check.decisions, "decision"), bulk.period(check.since, check.until)]
    yield from flowing([span(points, "bold"), Span("   ")], facts, width)


def _kind(kind: str, noticed: list[Noticed], width: int) -> Iterator[Line]:
    yield [span(_words(kind), "bold")]
    for one in noticed:
        mark, style = _MARKS[one.severity]
        yield from marked(mark, style, f"{_counted(one)}: {one.statement}", width)
        for change in one.changes_before:
            age = age_words(one.first - change.occurred_at)
            text = f"{age} before the first: {change.statement}"
            for number, part in enumerate(wrapped(span(text).text, width - 8)):
                yield [Span("      → " if number == 0 else " " * 8, "accent"), Span(part)]
        facts = [_span(one.first, one.last)]
        if one.examples:
            facts.append(f"forensics trace {one.examples[0]}")
        if len(one.examples) > 1:
            facts.append(f"also {', '.join(one.examples[1:])}")
        for text in wrapped(span(" · ".join(facts)).text, width - 6):
            yield [Span(" " * 6), Span(text, "dim")]


def _counted(one: Noticed) -> str:
    share = share_words(one.count, round(one.count / one.share))
    return f"{one.count:,} ({share})"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _span(first: datetime, last: datetime) -> str:
    if first == last:
        return f"at {first:%Y-%m-%d %H:%M:%S}"
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {until}"
