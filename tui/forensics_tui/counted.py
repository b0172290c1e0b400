"""Decisions counted by outcome in cells of equal length, of which any stretch is known at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

from forensics.lake.pages import Span
from forensics.lake.rates import Cell
from forensics.lake.scan import Rates, excess_of
from forensics.reconstruct.jumps import Stretch
from forensics.records.times import from_micros

_HOUR_US = 3_600_000_000
_PARTS = 60
#: A column is told exactly where it holds as many cells.
_FINE = 4


class Counted:
    """How many decisions had each outcome, from ``first_us`` to before ``end_us``.

    Args:
        first_us: when the first cell begins.
        width_us: how long a cell is.
        end_us: when the last ends.
        counts: by outcome and number of the cell; under None where only all were counted.
        done: the share of decisions that was counted.
    """

    def __init__(
        self,
        first_us: int,
        width_us: int,
        end_us: int,
        counts: Mapping[str | None, Mapping[int, int]],
        done: float = 1.0,
    ) -> None:
        self.first_us, self.width_us, self.end_us, self.done = first_us, width_us, end_us, done
        self.cells = max(-(-(end_us - first_us) // width_us), 0)
        every = [0] * self.cells
        # Of many outcomes few are looked at: each is summed up when it is.
        self._counts = {outcome: dict(by_cell) for outcome, by_cell in counts.items()}
        self._sums: dict[str | None, list[int]] = {}
        for by_cell in self._counts.values():
            for number, count in by_cell.items():
                every[number] += count
        self._all = list(accumulate(every, initial=0))

    def _sum(self, outcome: str | None) -> list[int]:
        """Decisions with an outcome before each cell, and after the last."""
        if outcome not in self._sums:
            cells = [0] * self.cells
            for number, count in self._counts.get(outcome, {}).items():
                cells[number] += count
            self._sums[outcome] = list(accumulate(cells, initial=0))
        return self._sums[outcome]

    @classmethod
    def of(cls, rates: Rates) -> Counted:
        """What a pass has counted so far."""
        counts: dict[str | None, Mapping[int, int]] = {}
        counts.update(rates.counts)
        return cls(rates.first_us, rates.width_us, rates.end_us, counts, rates.done)

    @classmethod
    def hourly(cls, spans: Iterable[Span]) -> Counted | None:
        """What the summaries know, which is not the outcomes; None where they know nothing."""
        by_hour: dict[int, int] = {}
        for span in spans:
            hour = span.first_us // _HOUR_US
            by_hour[hour] = by_hour.get(hour, 0) + span.rows
        if not by_hour:
            return None
        first, last = min(by_hour), max(by_hour)
        counts: dict[str | None, Mapping[int, int]] = {}
        counts[None] = {hour - first: rows for hour, rows in by_hour.items()}
        return cls(first * _HOUR_US, _HOUR_US, (last + 1) * _HOUR_US, counts)

    @property
    def total(self) -> int:
        """How many decisions there are."""
        return self._all[-1]

    @property
    def has_outcomes(self) -> bool:
        """Whether it knows more than how many decisions there were."""
        return None not in self._counts

    def knows(self, outcome: str) -> bool:
        """Whether a decision had this outcome."""
        return outcome in self._counts

    def outcomes(self) -> list[str]:
        """Outcomes, first those that were at some times the most above their usual rate."""
        edges = [-(-part * self.cells // _PARTS) for part in range(_PARTS + 1)]
        parts = [self._all[high] - self._all[low] for low, high in pairwise(edges)]

        def excess(outcome: str) -> float:
            hits = [0] * _PARTS
            for number, count in self._counts[outcome].items():
                hits[number * _PARTS // self.cells] += count
            return excess_of(zip(hits, parts, strict=True))

        names = [name for name in self._counts if name is not None]
        return sorted(names, key=lambda name: (-excess(name), name))

    def covers(self, since_us: int, until_us: int) -> bool:
        """Whether it was counted over all of a stretch."""
        return self.first_us <= since_us and until_us <= self.end_us

    def is_fine(self, column_us: int) -> bool:
        """Whether columns of a length are told exactly."""
        return column_us >= _FINE * self.width_us

    def stretch(self, outcome: str | None, since_us: int, until_us: int) -> Stretch:
        """The cells that begin in a stretch of time, or the one that it lies in.

        Its ends are those of the cells, so that its counts are exact.
        """
        low, high = self._cell(since_us), self._cell(until_us)
        if low == high:
            low = max(min((since_us - self.first_us) // self.width_us, self.cells - 1), 0)
            high = min(low + 1, self.cells)
        hits = self._sum(outcome)
        return Stretch(
            from_micros(self.first_us + low * self.width_us),
            from_micros(min(self.first_us + high * self.width_us, self.end_us)),
            self._all[high] - self._all[low],
            hits[high] - hits[low],
        )

    def of_outcome(self, outcome: str) -> list[Cell]:
        """The cells, as those who look for jumps want them; empty ones are left out."""
        hits = self._sum(outcome)
        return [
            Cell(at, count, hits[at + 1] - hits[at])
            for at in range(self.cells)
            if (count := self._all[at + 1] - self._all[at])
        ]

    def _cell(self, time_us: int) -> int:
        """The first cell that begins at a time or later."""
        return max(0, min(-(-(time_us - self.first_us) // self.width_us), self.cells))
