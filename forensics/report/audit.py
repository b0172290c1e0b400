"""An audit on a terminal: how many decisions can be reconstructed, and whether any is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from forensics.reconstruct.audit_answer import CLASSES, Audit, Class, Point, Writer
from forensics.records.plural import count_of, share_words
from forensics.records.times import from_micros
from forensics.report import bulk
from forensics.report.pieces import flowing, marked
from forensics.report.spans import Line, Span, Style, fitted, span
from forensics.report.text import table
from forensics.report.words import age_words

#: What each class means, for people who have not read the glossary.
MEANINGS: dict[Class, str] = {
    "none": "what happened cannot be reproduced",
    "C0": "what happened can be reproduced",
    "C1": "also what a stricter rule would have done",
    "C2": "also what a looser rule would have done",
}
#: More days than these are shown by the week.
_DAYS_MAX = 31
_WRITERS_MAX = 5
_HOLES_MAX = 3
_SILENT = timedelta(days=1)


def screen(audit: Audit, width: int, now: datetime | None = None) -> list[Line]:
    """The whole answer as lines of at most ``width`` characters (40 at least).

    Args:
        audit: the answer.
        width: of the terminal.
        now: to say how long ago the last decision was; the clock's time where None.
    """
    width = max(width, 40)
    lines: list[Line] = list(_head(audit, width, now or datetime.now(UTC)))
    lines += [[], *_coverage(audit, width)]
    for point in audit.points:
        lines += [[], *_point(point, width)]
    return [fitted(line, width) for line in lines]


def _head(audit: Audit, width: int, now: datetime) -> Iterator[Line]:
    facts = [count_of(audit.decisions, "decision"), bulk.period(audit.since, audit.until)]
    yield from flowing([Span("audit", "bold"), Span("   ")], facts, width)
    yield []
    for one in reversed(CLASSES):
        count = audit.classes[one]
        share = share_words(count, audit.decisions)
        style: Style = "" if one != "none" or not count else "bad"
        text = f"{one:<5}{count:>12,}  {share:>9}  {MEANINGS[one]}"
        yield [Span("  "), span(text, style if count else "dim")]
    if audit.required is not None:
        yield []
        if audit.below:
            below = count_of(audit.below, "decision is", "decisions are")
            text = f"{below} below {audit.required}, which is required"
            yield from marked("✗", "bad", text, width)
        else:
            text = f"every decision is {audit.required} or better, as is required"
            yield from marked("✓", "good", text, width)
    if audit.newest >= audit.since and now - audit.newest > _SILENT and audit.until > audit.newest:
        text = (
            f"the last decision was made {age_words(now - audit.newest)} ago, at "
            f"{audit.newest:%Y-%m-%d %H:%M}"
        )
        yield from marked("!", "warn", text, width)


def _point(point: Point, width: int) -> Iterator[Line]:
    yield [span(point.decision_point, "bold"), Span(f"   {count_of(point.decisions, 'decision')}")]
    rows: list[tuple[str, ...]] = [("day" if _daily(point) else "week from", "decisions",
                                    *reversed(CLASSES))]  # fmt: skip
    for name, classes in _periods(point):
        total = sum(classes.values())
        counts = (f"{classes[one]:,}" if classes[one] else "·" for one in reversed(CLASSES))
        rows.append((name, f"{total:,}" if total else "none made", *counts))
    yield from table(rows, width)
    empty = [day.day for day in point.days if not day.decisions]
    if empty and len(empty) < len(point.days):
        some = ", ".join(f"{day:%Y-%m-%d}" for day in empty[:5])
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        yield from marked("!", "warn", f"no decision at all on {some}{more}", width)
    if point.gaps:
        yield [Span("  what is missing, by what it costs", "dim")]
    for gap in point.gaps:
        better = f"; {gap.alone:,} lack nothing else for a better class" if gap.alone else ""
        share = share_words(gap.decisions, point.decisions)
        text = f"{gap.field}: {gap.decisions:,} ({share}), so {gap.why}{better}"
        worst = gap.keeps_from == "C0"
        yield from marked("✗" if worst else "·", "bad" if worst else "dim", text, width)


def _daily(point: Point) -> bool:
    return len(point.days) <= _DAYS_MAX


def _periods(point: Point) -> Iterator[tuple[str, dict[Class, int]]]:
    step = 1 if _daily(point) else 7
    for at in range(0, len(point.days), step):
        some = point.days[at : at + step]
        yield str(some[0].day), {one: sum(day.classes[one] for day in some) for one in CLASSES}


def _coverage(audit: Audit, width: int) -> Iterator[Line]:
    yield [Span("is any decision missing?", "bold")]
    if audit.coverage == "proven":
        text = "no: independent counts of the whole window give what the lake holds"
        yield from marked("✓", "good", text, width)
    elif audit.coverage == "assumed":
        text = (
            "nothing says so, and nothing proves that none is: no independent count covers the "
            "whole window (--count FILE)"
        )
        yield from marked("?", "warn", text, width)
    broken = [writer for writer in audit.writers if writer.missing or writer.twice]
    for writer in sorted(broken, key=lambda one: -one.missing)[:_WRITERS_MAX]:
        yield from _writer(writer, width)
    if len(broken) > _WRITERS_MAX:
        yield [Span(f"    and {len(broken) - _WRITERS_MAX} more writers: --json", "dim")]
    whole = len(audit.writers) - len(broken)
    if whole:
        text = f"{count_of(whole, 'writer')} numbered their records without a gap"
        yield from marked("✓", "good", text, width)
    for writer in audit.writers:
        if writer.dropped:
            text = f"writer {writer.writer} says that it lost {count_of(writer.dropped, 'record')}"
            yield from marked("✗", "bad", text, width)
    for point in audit.points:
        if point.unnumbered:
            text = (
                f"{point.decision_point}: {point.unnumbered:,} records have no number of their "
                "writer, so that missing ones do not show"
            )
            yield from marked("?", "warn", text, width)
    differing = [one for one in audit.compared if one.missing]
    for one in differing[:10]:
        counted = one.counted
        what = f"{counted.decision_point or 'all decision points'}, "
        when = bulk.period(counted.since, counted.until)
        less = (
            f"{one.missing:,} are not in the lake"
            if one.missing > 0
            else f"{-one.missing:,} more are in the lake than were counted"
        )
        text = f"{what}{when}: {counted.source} counted {counted.decisions:,}, {less}"
        yield from marked("✗", "bad", text, width)
    if len(differing) > 10:
        yield [Span(f"    and {len(differing) - 10} more: --json", "dim")]
    same = len(audit.compared) - len(differing)
    if same:
        yield from marked("✓", "good", f"{same:,} independent counts agree", width)
    for text in audit.unused_counts:
        yield from marked("!", "warn", text, width)


def _writer(writer: Writer, width: int) -> Iterator[Line]:
    numbers = f"{writer.first:,} to {writer.last:,}"
    facts = []
    if writer.missing:
        facts.append(f"{writer.missing:,} numbers never came")
    if writer.twice:
        facts.append(f"{writer.twice:,} records have a number that another has too")
    text = f"writer {writer.writer} ({numbers}): {', '.join(facts)}"
    yield from marked("✗" if writer.missing else "!", "bad" if writer.missing else "warn", text,
                      width)  # fmt: skip
    largest = sorted(writer.holes, key=lambda hole: -hole.missing)[:_HOLES_MAX]
    for hole in sorted(largest, key=lambda hole: hole.after):
        times = (from_micros(us) for us in (hole.after_us, hole.before_us))
        when = " to ".join(f"{time:%Y-%m-%d %H:%M:%S}" for time in times)
        text = f"{hole.missing:,} between {hole.after:,} and {hole.before:,}, {when}"
        yield [Span("      "), span(text, "dim")]
