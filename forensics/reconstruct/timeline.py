"""The rate of an outcome over time, and which changes coincide with a jump of it.

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

from forensics.errors import NotFoundError, UsageError
from forensics.lake import rates
from forensics.lake.rates import Cell
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes import Change, between

#: Bins of a round length, at most so many, where nobody names a number.
BINS = 60
BINS_MAX = 2_000
#: The normal quantile of one false alarm in a thousand, on two sides.
Z_JUMP = 3.29
#: Fewer decisions on a side tell nothing.
LEAST = 30
STATISTIC = (
    "two-proportion z with pooled variance over the stretches up to the next change on either "
    f"side, a day at most; a jump has |z| >= {Z_JUMP}, at least {LEAST} decisions on each side, "
    "and is larger than 95 % of the differences between such stretches without a change"
)
_DAY_US = 86_400_000_000
_MINUTE_US = 60_000_000
_CELLS = 8_192
#: As many cells has a window of :data:`BINS` bins.
CELLS = BINS * (_CELLS // BINS)
#: Fewer places without a change do not tell what is usual.
_PLACES = 20
_ROUND_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600,
    43_200, 86_400, 172_800, 604_800, 1_209_600, 2_419_200, 7_257_600, 31_536_000,
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rate of ``outcome`` from ``since`` up to ``until``, bin by bin, and the changes in it.

    ``moments`` are those with a jump first, the largest difference first.
    """

    decision_point: str
    outcome: str
    since: datetime
    until: datetime
    bins: tuple[Stretch, ...]
    moments: tuple[Moment, ...]
    #: Decisions by outcome, where no outcome was named.
    outcomes: dict[str, int]

    @property
    def whole(self) -> Stretch:
        """All decisions of the window."""
        decisions = sum(item.decisions for item in self.bins)
        return Stretch(self.since, self.until, decisions, sum(item.hits for item in self.bins))

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "decision_point": self.decision_point,
            "outcome": self.outcome,
            "since": self.since,
            "until": self.until,
            "decisions": self.whole.decisions,
            "hits": self.whole.hits,
            "rate": self.whole.rate,
            "outcomes": self.outcomes or None,
            "bins": [item.to_dict() for item in self.bins],
            "moments": [moment.to_dict() for moment in self.moments],
            "statistic": STATISTIC,
            "caution": "a jump that coincides with a change need not be caused by it",
        }

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import table_html

        return table_html([item.to_dict() for item in self.bins])


def timeline(
    snapshot: Snapshot,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    decision_point: str | None = None,
    outcome: str | None = None,
    bins: int | None = None,
    at_most: int = BINS,
) -> Timeline:
    """The rate of an outcome over a window, with its changes.

    Args:
        snapshot: the lake.
        since: from this time on; the first decision where None.
        until: before this time; to the last decision where None.
        decision_point: whose decisions; may be None where there is one.
        outcome: which; the second most frequent of the window where None.
        bins: how many of equal length; some of a round length where None.
        at_most: how many of a round length at most.

    Raises:
        NotFoundError: when the lake holds no decisions.
        UsageError: when several decision points could be meant, or the window ends before it
            begins.
    """
    point = _point(snapshot, decision_point)
    first, last = _window(snapshot, point)
    start = first if since is None else to_micros(since)
    end = last + 1 if until is None else to_micros(until)
    if end <= start:
        raise UsageError(
            f"The window ends at {from_micros(end):%Y-%m-%d %H:%M:%S} and begins at "
            f"{from_micros(start):%Y-%m-%d %H:%M:%S}.",
            "",
            f"{point} has decisions from {from_micros(first):%Y-%m-%d %H:%M} to "
            f"{from_micros(last):%Y-%m-%d %H:%M} UTC.",
        )
    found: dict[str, int] = {}
    if outcome is None:
        found = rates.outcomes(snapshot, point, start, end)
        outcome = [*found, ""][1 if len(found) > 1 else 0]
    grid = _grid(start, end, bins, at_most)
    found_cells = rates.cells(
        snapshot, point, outcome, (start, end), origin_us=grid.origin, width_us=grid.cell
    )
    counts = _Counts(grid, found_cells, start, end)
    bins_ = tuple(counts.bins())
    if outcome and not any(one.hits for one in bins_):
        _check_outcome(snapshot, point, outcome)
    changes = between(snapshot, from_micros(start), from_micros(end), decision_point=point)
    return Timeline(
        point,
        outcome,
        from_micros(start),
        from_micros(end),
        bins_,
        tuple(_ranked(counts, changes)),
        found,
    )


def moments(
    cells: Sequence[Cell],
    changes: Sequence[Change],
    *,
    origin_us: int,
    width_us: int,
    until_us: int,
) -> tuple[Moment, ...]:
    """What a window's changes moved, where it has been counted already.

    The same as :func:`timeline` tells of it in :data:`BINS` bins, where it is cut into
    :data:`CELLS` cells.

    Args:
        cells: the decisions, and those with the outcome.
        changes: those in the window.
        origin_us: when the window and its first cell begin.
        width_us: how long a cell is.
        until_us: when the window ends.
    """
    counts = _Counts(_Grid(origin_us, width_us, 1), cells, origin_us, until_us)
    return tuple(_ranked(counts, changes))


def _check_outcome(snapshot: Snapshot, point: str, outcome: str) -> None:
    """Raise UsageError unless some decision of ``point``, at any time, has ``outcome``."""
    first, last = _window(snapshot, point)
    known = rates.outcomes(snapshot, point, first, last + 1)
    if outcome not in known:
        raise UsageError(
            f"No decision of {point} has the outcome {outcome!r}.",
            f"It has decided {', '.join(known)}.",
        )


def _point(snapshot: Snapshot, named: str | None) -> str:
    points = snapshot.points()
    if not points:
        raise NotFoundError(
            f"Lake {snapshot.root} holds no decisions yet.",
            "",
            "Take some in: forensics ingest FILE",
        )
    if named is None and len(points) > 1:
        raise UsageError(
            "Name one decision point.", f"There are {', '.join(points)}.",
            "Rates of different decision points have nothing in common.",
        )  # fmt: skip
    return named or points[0]


def _window(snapshot: Snapshot, point: str) -> tuple[int, int]:
    """Times of the first and the last decision of a point."""
    files = snapshot.files(f"decisions/{point}")
    return min(file.first_us for file in files), max(file.last_us for file in files)


class _Grid(NamedTuple):
    """Cells of equal length from ``origin`` on, so many of which make a bin."""

    origin: int
    cell: int
    per_bin: int


def _grid(start: int, end: int, bins: int | None, at_most: int) -> _Grid:
    """A grid over a window: bins of a round length from a round time on, or a number of equal ones.

    Cells are what stretches before and after a change are made of, so they are finer than bins.
    """
    span = end - start
    if bins is not None:
        per_bin = max(1, _CELLS // bins)
        return _Grid(start, max(1, -(-span // (bins * per_bin))), per_bin)
    lengths = (seconds * 1_000_000 for seconds in _ROUND_S)
    length = next(
        (n for n in lengths if (end - 1) // n - start // n < at_most), -(-span // at_most)
    )
    count = (end - 1) // length - start // length + 1
    per_bin = next(n for n in range(max(1, _CELLS // count), 0, -1) if length % n == 0)
    return _Grid(start // length * length, length // per_bin, per_bin)


class _Counts:
    """Decisions and hits of a window, of any stretch of its cells."""

    def __init__(self, grid: _Grid, cells: Sequence[Cell], start: int, end: int) -> None:
        self.grid, self.start, self.end = grid, start, end
        self.cells = -(-(end - grid.origin) // grid.cell)
        decisions, hits = [0] * self.cells, [0] * self.cells
        for cell in cells:
            decisions[cell.number], hits[cell.number] = cell.decisions, cell.hits
        self._decisions = list(accumulate(decisions, initial=0))
        self._hits = list(accumulate(hits, initial=0))

    def cell_of(self, us: int) -> int:
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
        for first in range(0, self.cells, self.grid.per_bin):
            yield self.stretch(first, min(first + self.grid.per_bin, self.cells))


def _ranked(counts: _Counts, changes: Sequence[Change]) -> list[Moment]:
    """The moments at which something changed, jumps first, the largest difference first."""
    groups = _moments(counts, changes)
    places = [counts.cell_of(max(to_micros(group[0].true_from), counts.start)) for group in groups]
    ends = [counts.cell_of(min(to_micros(g[-1].true_from), counts.end - 1)) for g in groups]
    day = max(1, _DAY_US // counts.grid.cell)
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


def _moments(counts: _Counts, changes: Sequence[Change]) -> list[list[Change]]:
    """Changes in the order of time; those that cannot be told apart are together."""
    near_us = min(_MINUTE_US, (counts.end - counts.start) // 60)
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
    counts: _Counts,
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
        why = (
            f"{before.decisions:,} decisions before and {after.decisions:,} after: too few to tell"
        )
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
    counts: _Counts, lengths: tuple[int, int], places: list[int], ends: list[int]
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
