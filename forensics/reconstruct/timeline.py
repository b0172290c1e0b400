"""The rate of an outcome over time, bin by bin, and which changes coincide with a jump of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensics.errors import NotFoundError, UsageError
from forensics.lake import rates
from forensics.lake.rates import Cell
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes import Change, between
from forensics.reconstruct.jumps import STATISTIC, Counts, Grid, Moment, Stretch, ranked
from forensics.records.times import from_micros, to_micros

#: Bins of a round length, at most so many, where nobody names a number.
BINS = 60
_CELLS = 8_192
#: As many cells has a window of :data:`BINS` bins.
CELLS = BINS * (_CELLS // BINS)
_ROUND_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600,
    43_200, 86_400, 172_800, 604_800, 1_209_600, 2_419_200, 7_257_600, 31_536_000,
)  # fmt: skip


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
    counts = Counts(grid, found_cells, start, end)
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
        tuple(ranked(counts, changes)),
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
    counts = Counts(Grid(origin_us, width_us, 1), cells, origin_us, until_us)
    return tuple(ranked(counts, changes))


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


def _grid(start: int, end: int, bins: int | None, at_most: int) -> Grid:
    """A grid over a window: bins of a round length from a round time on, or a number of equal ones.

    Cells are what stretches before and after a change are made of, so they are finer than bins.
    """
    span = end - start
    if bins is not None:
        per_bin = max(1, _CELLS // bins)
        return Grid(start, max(1, -(-span // (bins * per_bin))), per_bin)
    lengths = (seconds * 1_000_000 for seconds in _ROUND_S)
    length = next(
        (n for n in lengths if (end - 1) // n - start // n < at_most), -(-span // at_most)
    )
    count = (end - 1) // length - start // length + 1
    per_bin = next(n for n in range(max(1, _CELLS // count), 0, -1) if length % n == 0)
    return Grid(start // length * length, length // per_bin, per_bin)
