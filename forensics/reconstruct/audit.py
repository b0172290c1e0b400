"""Completeness of all decisions of a window: what can be said of them, and whether any is missing.

Each decision is classed as :mod:`forensics.reconstruct.completeness` classes one, by its columns
and without replay. That none is missing is another question: writers number their records, so a
number that is not there is a record that never came; and somebody else may have counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from forensics.errors import NotFoundError, UsageError
from forensics.lake import coverage
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.coverage import DAY_US, Hole
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.counts import Counted, by_day
from forensics.replay import needs

Class = Literal["none", "C0", "C1", "C2"]
#: From the least to the most that can be said.
CLASSES: tuple[Class, ...] = ("none", "C0", "C1", "C2")
#: Told how many decisions are behind us, and of about how many.
Progress = Callable[[int, int], None]
_HOLES_MAX = 20
_EMPTY_JSON = "IN ('', 'null', '{}', '[]', '\"\"', '0', 'false')"


class _Condition(NamedTuple):
    """What a decision may lack: the field, what cannot be said then, and SQL that finds it."""

    field: str
    why: str
    #: The least class that it keeps a decision from.
    keeps_from: Class
    sql: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A field that decisions lack.

    ``alone`` counts those whose class would be better if they lacked nothing else.
    """

    field: str
    why: str
    keeps_from: Class
    decisions: int
    alone: int


@dataclass(frozen=True, slots=True)
class Day:
    """The decisions of one day (UTC), by class; all classes are named."""

    day: date
    classes: Mapping[Class, int]

    @property
    def decisions(self) -> int:
        """How many there are."""
        return sum(self.classes.values())


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that numbered its records: which numbers came, and which never did.

    It counts through all decision points that it writes for. ``twice`` counts records whose number
    another record has too; ``dropped`` those that the writer says it lost. ``holes`` are the
    largest ones.
    """

    writer: str
    boot_id: str | None
    first: int
    last: int
    records: int
    missing: int
    twice: int
    dropped: int
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """A count by somebody else, and what the lake holds of the same time."""

    counted: Counted
    held: int

    @property
    def missing(self) -> int:
        """How many were counted and are not in the lake; negative where the lake holds more."""
        return self.counted.decisions - self.held


@dataclass(frozen=True, slots=True)
class Point:
    """One decision point's days, and what its decisions lack, the costliest first."""

    decision_point: str
    days: tuple[Day, ...]
    gaps: tuple[Gap, ...]
    #: Decisions whose writer does not number its records.
    unnumbered: int

    @property
    def decisions(self) -> int:
        """How many there are."""
        return sum(day.decisions for day in self.days)

    @property
    def classes(self) -> dict[Class, int]:
        """How many are of each class."""
        return {one: sum(day.classes[one] for day in self.days) for one in CLASSES}


@dataclass(frozen=True, slots=True)
class Audit:
    """The answer to an audit; from ``since`` to before ``until``."""

    since: datetime
    until: datetime
    points: tuple[Point, ...]
    writers: tuple[Writer, ...]
    compared: tuple[Compared, ...]
    #: When the newest decision in the lake was made.
    newest: datetime
    required: Class | None = None
    #: Why counts could not be used, one sentence each.
    unused_counts: tuple[str, ...] = field(default=())

    @property
    def decisions(self) -> int:
        """How many there are."""
        return sum(point.decisions for point in self.points)

    @property
    def classes(self) -> dict[Class, int]:
        """How many are of each class."""
        return {one: sum(point.classes[one] for point in self.points) for one in CLASSES}

    @property
    def below(self) -> int:
        """How many are below the class that is required."""
        if self.required is None:
            return 0
        low = CLASSES[: CLASSES.index(self.required)]
        return sum(self.classes[one] for one in low)

    @property
    def missing(self) -> int:
        """Records that never came, as writers' numbers tell."""
        return sum(writer.missing for writer in self.writers)

    @property
    def coverage(self) -> Literal["proven", "contradicted", "assumed"]:
        """Whether the lake holds all decisions.

        ``proven`` where independent counts of every point and the whole window say so;
        ``contradicted`` where a count or a writer's numbers say that some are missing; else
        ``assumed``.
        """
        if self.missing or any(one.missing for one in self.compared):
            return "contradicted"
        covered = timedelta(0)
        alone = len(self.points) == 1
        for point in self.points:
            mine = [
                one.counted
                for one in self.compared
                if one.counted.decision_point == point.decision_point
                or (one.counted.decision_point is None and alone)
            ]
            covered += sum((one.until - one.since for one in mine), timedelta(0))
        together = [one.counted for one in self.compared if one.counted.decision_point is None]
        if not alone:
            whole = sum((one.until - one.since for one in together), timedelta(0))
            covered += whole * len(self.points)
        return "proven" if covered >= (self.until - self.since) * len(self.points) else "assumed"

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing as far as anybody can tell, and the required class is met."""
        return self.coverage != "contradicted" and not self.below

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "since": self.since,
            "until": self.until,
            "newest": self.newest,
            "decisions": self.decisions,
            "classes": self.classes,
            "required": self.required,
            "below_required": self.below,
            "coverage": self.coverage,
            "decision_points": [
                {
                    "decision_point": point.decision_point,
                    "decisions": point.decisions,
                    "classes": point.classes,
                    "unnumbered": point.unnumbered,
                    "gaps": [
                        {name: getattr(gap, name) for name in Gap.__slots__} for gap in point.gaps
                    ],
                    "days": [
                        {"day": day.day.isoformat(), "decisions": day.decisions, **day.classes}
                        for day in point.days
                    ],
                }
                for point in self.points
            ],
            "writers": [
                {name: getattr(one, name) for name in Writer.__slots__}
                | {"holes": [hole._asdict() | _times(hole) for hole in one.holes]}
                for one in self.writers
            ],
            "counts": [
                {
                    "decision_point": one.counted.decision_point,
                    "since": one.counted.since,
                    "until": one.counted.until,
                    "counted": one.counted.decisions,
                    "held": one.held,
                    "missing": one.missing,
                    "source": one.counted.source,
                }
                for one in self.compared
            ],
            "unused_counts": list(self.unused_counts),
        }


def _times(hole: Hole) -> dict[str, Any]:
    return {
        "missing": hole.missing,
        "after_us": from_micros(hole.after_us),
        "before_us": from_micros(hole.before_us),
    }


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
    known = snapshot.points()
    if decision_point is not None and decision_point not in known:
        raise UsageError(
            f"No decision point {decision_point!r} in this lake.",
            f"It has: {', '.join(known) or 'none yet'}.",
        )
    names = [decision_point] if decision_point is not None else known
    first, end = window_of(snapshot, names, since, until, days)
    window = to_micros(first), to_micros(end)
    total = sum(
        file.rows for name in names for file in snapshot.files(f"decisions/{name}", *window)
    )
    done, points = 0, []
    for name in names:
        conditions = _conditions(snapshot, name, window)
        where = [*(one.sql for one in conditions), f"NOT ({coverage.NUMBERED})"]
        found: dict[tuple[int, int], int] = {}
        for cells in coverage.cells(snapshot, name, *window, where):
            for day, lacking, count in cells:
                found[day, lacking] = found.get((day, lacking), 0) + count
                done += count
            if progress is not None:
                progress(done, max(total, done))
        points.append(_point(name, found, conditions, window))
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


def _conditions(snapshot: Snapshot, point: str, window: tuple[int, int]) -> tuple[_Condition, ...]:
    """What a decision may lack, in the order in which a trace names it."""
    store = ArtifactStore(snapshot.root)
    without: dict[str, list[str]] = {}
    for components in coverage.components(snapshot, point, *window):
        for _, why in needs.lacking(components, store):
            without.setdefault(why, []).append(str(components.key))

    def lacks(why: str) -> str:
        keys = ", ".join(without.get(why, ()))
        return f"{coverage.COMPONENTS} IN ({keys})" if keys else "false"

    values = 'config."values"'
    calls = f"(execution.calls IS NULL OR execution.calls {_EMPTY_JSON})"
    partial = "coalesce(candidates_coverage, '') = 'partial'"
    full = "coalesce(candidates_coverage, '') = 'exhaustive'"
    return (
        _Condition("model.digest", needs.NO_DIGEST, "C0", lacks(needs.NO_DIGEST)),
        _Condition("model artifact", needs.NO_MODEL, "C0", lacks(needs.NO_MODEL)),
        _Condition("decision logic artifact", needs.NO_RULES, "C0", lacks(needs.NO_RULES)),
        _Condition("features", "from what was decided is not known", "C0",
                   "no_features"),
        _Condition("score", "a replayed score has nothing to be compared with", "C0",
                   "score IS NULL"),
        _Condition("execution.pure",
                   "whether clock, random numbers or network took part is not known", "C0",
                   f"NOT coalesce(execution.pure, false) AND {calls}"),
        _Condition("config.values", "what another threshold would have done cannot be said", "C1",
                   f"{values} IS NULL OR {values} {_EMPTY_JSON}"),
        _Condition("threshold", "what the score was compared with is not known", "C1",
                   f"threshold IS NULL AND TRY(json_type({values}, '$.threshold')) IS NULL"),
        _Condition("some candidates' values", "what a looser rule would have done cannot be said",
                   "C2", partial),
        _Condition("values of candidates not taken",
                   "what a looser rule would have done cannot be said", "C2",
                   f"NOT ({full} OR {partial})"),
    )  # fmt: skip


def _class(lacking: int, conditions: tuple[_Condition, ...]) -> Class:
    """The class that a decision reaches that lacks what the bits say."""
    kept = {one.keeps_from for at, one in enumerate(conditions) if lacking >> at & 1}
    if "C0" in kept:
        return "none"
    if "C1" in kept:
        return "C0"
    return "C1" if "C2" in kept else "C2"


def _point(
    name: str,
    found: Mapping[tuple[int, int], int],
    conditions: tuple[_Condition, ...],
    window: tuple[int, int],
) -> Point:
    unnumbered = 1 << len(conditions)
    return Point(
        name,
        _days(found, conditions, window),
        _gaps(found, conditions),
        sum(count for (_, lacking), count in found.items() if lacking & unnumbered),
    )


def _days(
    found: Mapping[tuple[int, int], int],
    conditions: tuple[_Condition, ...],
    window: tuple[int, int],
) -> tuple[Day, ...]:
    """Every day of the window, also one without a decision."""
    if not found:
        return ()
    first, last = window[0] // DAY_US, (window[1] - 1) // DAY_US
    classes: dict[int, dict[Class, int]] = {
        day: dict.fromkeys(CLASSES, 0) for day in range(first, last + 1)
    }
    for (day, lacking), count in found.items():
        classes[day][_class(lacking, conditions)] += count
    return tuple(
        Day(from_micros(day * DAY_US).astimezone(UTC).date(), of) for day, of in classes.items()
    )


def _gaps(
    found: Mapping[tuple[int, int], int], conditions: tuple[_Condition, ...]
) -> tuple[Gap, ...]:
    by_lacking: dict[int, int] = {}
    for (_, lacking), count in found.items():
        by_lacking[lacking] = by_lacking.get(lacking, 0) + count
    gaps = []
    for at, one in enumerate(conditions):
        bit = 1 << at
        decisions = sum(count for lacking, count in by_lacking.items() if lacking & bit)
        alone = sum(
            count
            for lacking, count in by_lacking.items()
            if lacking & bit and _class(lacking ^ bit, conditions) != _class(lacking, conditions)
        )
        if decisions:
            gaps.append(Gap(one.field, one.why, one.keeps_from, decisions, alone))
    # What keeps decisions from the lower class costs more.
    rank = {name: at for at, name in enumerate(CLASSES)}
    return tuple(sorted(gaps, key=lambda gap: (rank[gap.keeps_from], -gap.alone, -gap.decisions)))


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
