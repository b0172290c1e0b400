"""What an audit answers: classes and gaps by decision point, writers' numbers, others' counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from forensics.lake.coverage import Hole
from forensics.reconstruct.counts import Counted
from forensics.records.times import from_micros

Class = Literal["none", "C0", "C1", "C2"]
#: From the least to the most that can be said.
CLASSES: tuple[Class, ...] = ("none", "C0", "C1", "C2")


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
