"""How a rate differs from before to after each change, and whether that is a jump.

At each change the rate in the stretch up to it is compared with the rate in the stretch after it.
A stretch ends at the next change on its side, at the window's edge, or after a day, so that no
other change lies within; changes within a minute of each other, or a sixtieth of a shorter window,
cannot be told apart and are one moment. The statistic is the two-proportion z with pooled variance,
and the interval of the difference is Newcombe's (1998, method 10) at 95 %. Since rates move from
hour to hour without any change, the difference is also held against those between neighbouring
stretches of the same lengths that lie wholly between changes. It is a coincidence in time that is
found, not a cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

from forensics.lake.rates import Cell
from forensics.reconstruct.changes import Change
from forensics.records.plural import count_of
from forensics.records.times import DAY_US, MINUTE_US, from_micros, to_micros

#: The normal quantile of one false alarm in a thousand, on two sides.
Z_JUMP = 3.29
#: Fewer decisions on a side tell nothing.
LEAST = 30
STATISTIC = (
    "two-proportion z with pooled variance over the stretches up to the next change on either "
    f"side, a day at most; a jump has |z| >= {Z_JUMP}, at least {LEAST} decisions on each side, "
    "and is larger than 95 % of the differences between such stretches without a change"
)
#: Fewer places without a change do not tell what is usual.
_PLACES = 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Decisions from ``start`` up to ``end``; ``rate`` is None where there are none."""

    start: datetime
    end: datetime
    decisions: int
    hits: int

    @property
    def rate(self) -> float | None:
        """The share of them that had the outcome."""
        return self.hits / self.decisions if self.decisions else None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "start": self.start,
            "end": self.end,
            "decisions": self.decisions,
            "hits": self.hits,
            "rate": self.rate,
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """Changes at one time, and how the rate differs from before to after.

    ``difference`` is after less before, with its 95 % interval; None where ``reason`` says why it
    cannot be told. ``usual`` is what 95 % of the differences without a change stay below; None
    where there are too few places to tell.
    """

    at: datetime
    changes: tuple[Change, ...]
    before: Stretch
    after: Stretch
    difference: float | None = None
    interval: tuple[float, float] | None = None
    z: float | None = None
    usual: float | None = None
    jump: bool = False
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "at": self.at,
            "changes": [change.to_dict() for change in self.changes],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "difference": self.difference,
            "interval": list(self.interval) if self.interval else None,
            "z": self.z,
            "usual": self.usual,
            "jump": self.jump,
            "reason": self.reason,
        }


class Grid(NamedTuple):
    """Cells of equal length from ``origin`` on, so many of which make a bin."""

    origin: int
    cell: int
    per_bin: int


class Counts:
    """Decisions and hits of a window, of any stretch of its cells."""

    def __init__(self, grid: Grid, cells: Sequence[Cell], start: int, end: int) -> None:
        self.grid, self.start, self.end = grid, start, end
        self.cells = -(-(end - grid.origin) // grid.cell)
        decisions, hits = [0] * self.cells, [0] * self.cells
        for cell in cells:
            decisions[cell.number], hits[cell.number] = cell.decisions, cell.hits
        self._decisions = list(accumulate(decisions, initial=0))
        self._hits = list(accumulate(hits, initial=0))

    def cell_of(self, us: int) -> int:
        """The cell that a time is in, in microseconds since 1970."""
        return (us - self.grid.origin) // self.grid.cell

    def counts(self, first: int, end: int) -> tuple[int, int]:
        """Decisions and hits of the cells from ``first`` up to ``end``."""
        return (
            self._decisions[end] - self._decisions[first],
            self._hits[end] - self._hits[first],
        )

    def stretch(self, first: int, end: int) -> Stretch:
        """The cells from ``first`` up to ``end``, as far as they lie in the window."""
        origin, cell = self.grid.origin, self.grid.cell
        low = max(origin + first * cell, self.start)
        high = max(min(origin + end * cell, self.end), low)
        return Stretch(from_micros(low), from_micros(high), *self.counts(first, max(first, end)))

    def bins(self) -> Iterator[Stretch]:
        """The whole window, bin by bin; the last one may be shorter."""
        for first in range(0, self.cells, self.grid.per_bin):
            yield self.stretch(first, min(first + self.grid.per_bin, self.cells))


def ranked(counts: Counts, changes: Sequence[Change]) -> list[Moment]:
    """The moments at which something changed, jumps first, the largest difference first."""
    groups = _together(counts, changes)
    places = [counts.cell_of(max(to_micros(group[0].true_from), counts.start)) for group in groups]
    ends = [counts.cell_of(min(to_micros(g[-1].true_from), counts.end - 1)) for g in groups]
    day = max(1, DAY_US // counts.grid.cell)
    moments = []
    for at, group in enumerate(groups):
        low = max(ends[at - 1] + 1 if at else 0, places[at] - day)
        high = min(places[at + 1] if at + 1 < len(groups) else counts.cells, ends[at] + 1 + day)
        # The cells of the changes themselves are partly before and partly after.
        before = counts.stretch(min(low, places[at]), places[at])
        after = counts.stretch(min(ends[at] + 1, counts.cells), max(high, ends[at] + 1))
        time = group[0].true_from
        lengths = places[at] - low, high - ends[at] - 1
        moments.append(_compared(counts, time, tuple(group), before, after, lengths, places, ends))
    return sorted(
        moments,
        key=lambda m: (not m.jump, m.difference is None, -abs(m.difference or 0), m.at),
    )


def _together(counts: Counts, changes: Sequence[Change]) -> list[list[Change]]:
    """Changes in the order of time; those that cannot be told apart are together."""
    near_us = min(MINUTE_US, (counts.end - counts.start) // 60)
    groups: list[list[Change]] = []
    for change in sorted(changes, key=lambda c: (c.true_from, c.change_id)):
        at = to_micros(change.true_from)
        if groups:
            last = to_micros(groups[-1][-1].true_from)
            if at - last <= near_us:
                groups[-1].append(change)
                continue
        groups.append([change])
    return groups


def _compared(
    counts: Counts,
    time: datetime,
    changes: tuple[Change, ...],
    before: Stretch,
    after: Stretch,
    lengths: tuple[int, int],
    places: list[int],
    ends: list[int],
) -> Moment:
    few = min(before.decisions, after.decisions)
    if before.rate is None or after.rate is None or few < LEAST:
        many = count_of(before.decisions, "decision")
        why = f"{many} before and {after.decisions:,} after: too few to tell"
        return Moment(time, changes, before, after, reason=why)
    difference = after.rate - before.rate
    z = _z(before, after)
    usual = _usual(counts, lengths, places, ends)
    return Moment(
        time,
        changes,
        before,
        after,
        difference,
        _newcombe(before, after),
        z,
        usual,
        jump=abs(z) >= Z_JUMP and (usual is None or abs(difference) > usual),
    )


def _z(before: Stretch, after: Stretch) -> float:
    """The two-proportion z with pooled variance; 0 where neither side varies."""
    n, m = before.decisions, after.decisions
    pooled = (before.hits + after.hits) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    return (after.hits / m - before.hits / n) / math.sqrt(variance) if variance > 0 else 0.0


def _newcombe(before: Stretch, after: Stretch) -> tuple[float, float]:
    """The 95 % interval of a difference of rates, of after less before."""
    p, q = after.hits / after.decisions, before.hits / before.decisions
    low_p, high_p = _wilson(after)
    low_q, high_q = _wilson(before)
    difference = p - q
    return (
        difference - math.hypot(p - low_p, high_q - q),
        difference + math.hypot(high_p - p, q - low_q),
    )


def _wilson(side: Stretch) -> tuple[float, float]:
    n, z = side.decisions, 1.959964
    rate = side.hits / n
    middle = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def _usual(
    counts: Counts, lengths: tuple[int, int], places: list[int], ends: list[int]
) -> float | None:
    """What 95 % of the differences between such stretches without a change are no larger than."""
    left, right = lengths
    step = max(1, min(left, right) // 8)
    found = []
    quiet_from = [0, *(end + 1 for end in ends)]
    quiet_to = [*places, counts.cells]
    for first, end in zip(quiet_from, quiet_to, strict=True):
        for at in range(first + left, end - right + 1, step):
            n, hits = counts.counts(at - left, at)
            m, more = counts.counts(at, at + right)
            if min(n, m) >= LEAST:
                found.append(abs(more / m - hits / n))
    if len(found) < _PLACES:
        return None
    return sorted(found)[math.ceil(0.95 * len(found)) - 1]
