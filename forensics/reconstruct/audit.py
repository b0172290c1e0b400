"""Completeness of all decisions of a window: what can be said of them, and whether any is missing.

Each decision is classed as :mod:`forensics.reconstruct.completeness` classes one, by its columns
and without replay. That none is missing is another question: writers number their records, so a
number that is not there is a record that never came; and somebody else may have counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from forensics.errors import NotFoundError, UsageError
from forensics.lake import coverage
from forensics.lake.coverage import Hole
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.audit_answer import Audit, Class, Compared, Writer
from forensics.reconstruct.audit_classes import conditions_of, point_of
from forensics.reconstruct.counts import Counted, by_day
from forensics.records.times import DAY_US, from_micros, to_micros

#: Told how many decisions are behind us, and of about how many.
Progress = Callable[[int, int], None]
_HOLES_MAX = 20


def audit(
    snapshot: Snapshot,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    days: int | None = None,
    decision_point: str | None = None,
    counts: Iterable[Counted] = (),
    require: Class | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Class every decision of a window, and look for those that never came.

    Args:
        snapshot: the lake.
        since: from this time on; the first decision's day where None and no ``days``.
        until: before this time; the end of the last decision's day where None.
        days: so many days before the end, where ``since`` is None.
        decision_point: only this one's decisions; those of all where None.
        counts: what somebody else counted; see :func:`forensics.reconstruct.counts.read_counts`.
        require: the class that every decision is to have.
        progress: told how far it is.

    Raises:
        NotFoundError: when the window holds no decision.
        UsageError: when there is no such decision point, or the window is no window.
        IntegrityError: when a data file cannot be read.
    """
    known, names = snapshot.points(), snapshot.points(decision_point)
    first, end = window_of(snapshot, names, since, until, days)
    window = to_micros(first), to_micros(end)
    total = sum(
        file.rows for name in names for file in snapshot.files(f"decisions/{name}", *window)
    )
    done, points = 0, []
    for name in names:
        conditions = conditions_of(snapshot, name, window)
        where = [*(one.sql for one in conditions), f"NOT ({coverage.NUMBERED})"]
        found: dict[tuple[int, int], int] = {}
        for cells in coverage.cells(snapshot, name, *window, where):
            for day, lacking, count in cells:
                found[day, lacking] = found.get((day, lacking), 0) + count
                done += count
            if progress is not None:
                progress(done, max(total, done))
        points.append(point_of(name, found, conditions, window))
    if not done:
        raise NotFoundError(
            "No decision in this window.",
            f"It is from {first:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}.",
            "Look what there is: forensics find",
        )
    compared, unused = _compared(snapshot, names, list(counts), first, end)
    newest = max(file.last_us for name in names for file in snapshot.files(f"decisions/{name}"))
    return Audit(
        since=first,
        until=end,
        points=tuple(point for point in points if point.decisions),
        writers=tuple(
            _writer(snapshot, known, window, one)
            for one in coverage.numbers(snapshot, known, *window)
        ),
        compared=compared,
        newest=from_micros(newest),
        required=require,
        unused_counts=unused,
    )


def window_of(
    snapshot: Snapshot, points: Collection[str], since: datetime | None, until: datetime | None,
    days: int | None,
) -> tuple[datetime, datetime]:  # fmt: skip
    """The window that is asked about: whole days (UTC) where ``days`` are.

    They end with the day of the last decision where no end is named: an audit of a lake that is
    no longer written to is one of what it holds, and says when the last decision was.

    Raises:
        NotFoundError: when the lake holds no decision.
        UsageError: when the window ends before it begins.
    """
    spans = [
        (file.first_us, file.last_us)
        for point in points
        for file in snapshot.files(f"decisions/{point}")
    ]
    if not spans:
        raise NotFoundError("The lake holds no decision.", "Nothing was audited.")
    last = max(end for _, end in spans)
    end = until or from_micros((last // DAY_US + 1) * DAY_US)
    if since is None:
        first = min(start for start, _ in spans)
        since = from_micros(first // DAY_US * DAY_US)
        if days is not None:
            since = end - timedelta(days=days)
    if end <= since:
        raise UsageError("The window ends before it begins.", f"From {since} to {end}.")
    return since, end


def _writer(
    snapshot: Snapshot, points: list[str], window: tuple[int, int], one: coverage.Numbers
) -> Writer:
    missing, twice, holes = 0, 0, list[Hole]()
    if not one.is_whole:
        missing, twice, holes = coverage.holes(snapshot, points, *window, one, _HOLES_MAX)
    return Writer(
        one.writer, one.boot_id, int(one.first), int(one.last), one.records, missing, twice,
        one.dropped, tuple(holes),
    )  # fmt: skip


def _compared(
    snapshot: Snapshot, names: list[str], counts: list[Counted], since: datetime, until: datetime
) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """The counts of the window beside what the lake holds, and why others were not used."""
    used = by_day((one for one in counts if one.decision_point in (None, *names)), since, until)
    unused = []
    others = sorted({one.decision_point for one in counts} - {None, *names}, key=str)
    if others:
        unused.append(f"Counts of other decision points: {', '.join(map(str, others))}.")
    outside = sum(
        not (one.since >= since and one.until <= until)
        for one in counts
        if one.decision_point in (None, *names)
    )
    if outside:
        unused.append(f"{outside:,} counts lie outside the window, or reach beyond it.")
    compared: list[Compared] = []
    for point in dict.fromkeys(one.decision_point for one in used):
        mine = [one for one in used if one.decision_point == point]
        held = coverage.between(
            snapshot,
            names if point is None else [point],
            [(to_micros(one.since), to_micros(one.until)) for one in mine],
        )
        compared += [Compared(*pair) for pair in zip(mine, held, strict=True)]
    return tuple(compared), tuple(unused)
