"""What a detector checks, what it found, and a decision of which it said something, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from forensics.lake.window import POINT, REQUEST, TIME, Row
from forensics.reconstruct.changes import Change
from forensics.reconstruct.check import Check, Noticed
from forensics.reconstruct.detectors import DETECTORS
from forensics.records.plural import count_of, share_words
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics.report.spans import Line, Span, Style, span
from forensics.report.words import age_words, number_words, value_words
from forensics_tui.facts import flowed
from forensics_tui.found import Found
from forensics_tui.inert import fitted

ID_MAX = 24
BY_KIND = {detector.kind: detector for detector in DETECTORS}
SIGNS: Mapping[str, tuple[str, Style]] = {
    "error": ("✗", "bad"),
    "warning": ("!", "warn"),
    "info": ("·", "accent"),
    "not_checkable": ("?", "warn"),
}


def words_of(kind: str) -> str:
    """A detector's kind as words."""
    return kind.replace("_", " ")


def share(one: Noticed, found: Check) -> str:
    """How much of the window a finding is."""
    return share_words(one.count, found.decisions)


def second(when: datetime) -> str:
    """A time to the second."""
    return f"{when:%Y-%m-%d %H:%M:%S}"


def time_of(row: Row) -> datetime:
    """When a row's decision was made."""
    return from_micros(int(row[TIME]))


def row_line(row: Row, names: int) -> Line:
    """A decision; ``names`` is how wide request ids are."""
    outcome, score, version = row[4:7]
    shown = number_words(float(score)) if score is not None else ""
    request = fitted(safe_text(row[REQUEST], ID_MAX), names)
    return [
        Span(f"{time_of(row):%m-%d %H:%M:%S}  {request}  "),
        Span(fitted(safe_text(value_words(outcome), 20), 9), "bold"),
        span(f" {shown:>9}  {version or ''}", limit=40),
    ]


def of_row(row: Row, found: Check, width: int) -> Iterator[Line]:
    """A decision, and what is said of it where it is among the examples."""
    yield [span(row[REQUEST], "bold"), Span(f" · {safe_text(row[POINT], 40)}", "dim")]
    yield from flow(f"decided {second(time_of(row))} UTC: {value_words(row[4])}", width)
    if row[5] is not None:
        yield from flow(f"score {number_words(float(row[5]))}", width)
    said_of = [one for one in (*found.found, *found.not_checkable) if row[REQUEST] in one.examples]
    if said_of:
        yield [Span("said of it", "bold")]
    for one in said_of:
        sign, style = SIGNS[one.severity]
        for number, part in enumerate(flowed(f"{words_of(one.kind)}: {one.statement}", width - 2)):
            yield [Span(f"{sign} " if number == 0 else "  ", style), Span(part)]
    yield [Span("enter opens it · m marks it", "dim")]


def of_kind(kind: str, found: Check, width: int) -> Iterator[Line]:
    """What a detector checks and needs, and what columns alone do not tell it."""
    detector = BY_KIND[kind]
    yield [Span(words_of(kind), "bold")]
    if kind in found.clean_kinds:
        all_ = count_of(found.decisions, "decision")
        yield [Span("✓ ", "good"), Span(f"nothing in the {all_} of the window")]
    yield [Span("checks", "bold")]
    yield from flow(detector.checks, width)
    yield [Span("needs", "bold")]
    yield from flow(detector.needs, width)
    if kind in found.beyond_columns:
        yield [Span("beyond columns", "bold")]
        yield from flow(found.beyond_columns[kind], width)


def of_finding(one: Noticed, found: Found, width: int) -> Iterator[Line]:
    """What was found, since when, what became different before it, and what its detector checks."""
    check = found.check
    sign, style = SIGNS[one.severity]
    unknown = one.severity == "not_checkable"
    yield [Span(f"{sign} ", style), Span(words_of(one.kind), "bold"),
           Span(f" · {one.severity.replace('_', ' ')}", "dim")]  # fmt: skip
    yield from flow(f"because {one.statement}" if unknown else one.statement, width)
    yield from flow(f"{one.count:,} of {check.decisions:,} ({share(one, check)})", width)
    times = f"at {second(one.first)}"
    if one.first != one.last:
        times = f"{second(one.first)} to {second(one.last)}, {age_words(one.last - one.first)}"
    yield from flow(times, width)
    yield [Span(found.track(one), style), Span(" in the window", "dim")]
    if one.changes_before:
        yield [Span("shortly before the first", "bold")]
    for change in one.changes_before:
        yield from of_change(change, one.first, width)
    words = "v shows all of them as rows" if found.where(one) is not None else (
        f"more than {len(one.examples)}: no filter tells them; + around them makes it fewer"
    )  # fmt: skip
    yield from flow(words, width, "dim")
    detector = BY_KIND[one.kind]
    yield [Span("checks", "bold")]
    yield from flow(detector.checks, width)
    if unknown:
        yield [Span("needs", "bold")]
        yield from flow(detector.needs, width)


def of_change(change: Change, first: datetime, width: int) -> Iterator[Line]:
    """A change that came before something was found first."""
    age = age_words(first - change.occurred_at)
    lines = flowed(f"{age} before: {change.statement}", width - 2)
    for number, part in enumerate(lines):
        yield [Span("→ " if number == 0 else "  ", "accent"), Span(part)]
    told = [second(change.occurred_at), change.evidence]
    told += [f"by {change.actor}"] if change.actor else []
    told += [f"reviewed by {change.reviewed_by}"] if change.reviewed_by else []
    told += [f"run {change.run_id}"] if change.run_id else []
    for part in flowed(" · ".join(told), width - 2):
        yield [Span("  "), Span(part, "dim")]


def flow(text: str, width: int, style: Style = "") -> Iterator[Line]:
    """Text in one style, on lines of a width."""
    for part in flowed(text, width):
        yield [Span(part, style)]
