"""What every change of one or two levers would give, from one point, all at once.

From a point, the sum over all trees as a function of two levers is a sum of boxes in the plane of
their cells. Their corners are painted into one table for each pair, and running sums along both
sides give the exact sum for every combination of cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import Floats, Ints, added, counted, in_all, places_of, spans
from forensics.explain.search.boxes import Boxes


class Plane(NamedTuple):
    """One lever against some others.

    Attributes:
        lever: whose cells are the rows.
        cells: of the lever, by row.
        excess: by limit that is finite, row and column, how far above the limit the point would be.
        cost: by row and column, infinite where a column is no cell.
        others: by column, the other lever, and its cell.
    """

    lever: int
    cells: Ints
    excess: Floats
    cost: Floats
    others: tuple[Ints, Ints]


class _Layout(NamedTuple):
    """Which cells of which levers are painted, and where.

    Levers stand in an order of their own, and each has a window of its cells, with one place more.

    Attributes:
        rows: levers that are painted against all those after them, in order.
        base: by row lever, where its table begins.
        first: by lever, the first cell of its window.
        cells: by lever, how many there are.
        width: by lever, places of all levers after it.
        begin: by lever, where its window begins among all places.
        places: of the whole row of cells, all levers' windows in order.
        size: numbers in all tables.
    """

    rows: Ints
    base: Ints
    first: Ints
    cells: Ints
    width: Ints
    begin: Ints
    places: Ints
    size: int


class Tables:
    """The tables of one problem; points are the levers' cells, each at its cheapest position.

    The cells of all levers lie in one row, lever after lever, each with one place more that is no
    cell and ends what is summed along it.

    Args:
        boxes: the problem.
        followers: the cells in which followers are taken to stay.
        followed: by limit, what they add there.

    Attributes:
        levers: how many there are.
        lever: by place, whose it is.
        cell: by place, which of its cells.
        costs: by place, infinite where there is no cell.
    """

    def __init__(self, boxes: Boxes, followers: Ints, followed: Floats) -> None:
        self.boxes = boxes
        self._limit = boxes.limit - followed
        lines = boxes.lines
        self.levers = len(lines)
        self.sizes = np.array([line.cells for line in lines], dtype=np.int64)
        widths = self.sizes + 1
        self._begin = widths.cumsum() - widths
        self.lever, self.cell = counted(widths)
        chosen = [line.representative for line in lines]
        self.costs = np.full(len(self.lever), np.inf)
        #: By limit and place, the linear part.
        self._linear = np.zeros((len(boxes.limit_sign), len(self.lever)))
        for at, (line, own) in enumerate(zip(lines, chosen, strict=True)):
            places = slice(self._begin[at], self._begin[at] + len(own))
            self.costs[places] = line.cost[own]
            self._linear[:, places] = line.linear[:, own]
        low, high = boxes.low, boxes.high
        on = np.ones(len(boxes.value), dtype=np.bool_)
        for at, cell in enumerate(followers, self.levers):
            on &= (low[:, at] <= cell) & (cell <= high[:, at])
        kept = places_of(on)
        self._low = low[kept, : self.levers]
        self._end = high[kept, : self.levers] + 1
        bounded = places_of(((self._low > 0) | (self._end < self.sizes)).ravel())
        self._box1, self._axis1 = np.divmod(bounded, self.levers)
        begin = self._begin[self._axis1]
        self._low1 = self._low.ravel().take(bounded) + begin
        self._end1 = self._end.ravel().take(bounded) + begin
        self._at = np.full(self.levers, -1, dtype=np.int64)
        #: By lever and box, and where each of the bounded ones is in it.
        self._off = np.zeros((self.levers, len(kept)), dtype=np.bool_)
        self._off1 = self._axis1 * len(kept) + self._box1
        self._count = np.zeros(len(kept), dtype=np.int64)
        self._values = [
            (boxes.limit_sign[at] * boxes.value * boxes.of_limit(at))[kept]
            for at in range(len(boxes.limit_sign))
        ]
        self._known: tuple[Ints, float, _Layout] | None = None

    @property
    def size(self) -> int:
        """Numbers that all tables of pairs have together."""
        widths = self.sizes + 1
        return int((widths * (widths.sum() - self._begin - widths)).sum())

    def cost(self, point: Ints) -> float:
        """What a point costs."""
        return float(self.costs[self._begin + point].sum())

    def cost_by_place(self, point: Ints) -> Floats:
        """By place, what its lever costs at a point."""
        return np.asarray(self.costs[self._begin + point][self.lever])

    def cheapest(self) -> Ints:
        """Every lever in its cheapest cell."""
        return np.array([line.cell[line.cheapest] for line in self.boxes.lines], dtype=np.int64)

    def excess(self, point: Ints) -> Floats:
        """By limit, how far above it a point is."""
        inside = in_all((self._low <= point) & (point < self._end))
        sums = np.array([values[inside].sum() for values in self._values])
        return np.asarray(sums + self._linear_at(point) - self._limit)

    def profiles(self, point: Ints) -> tuple[Floats, Floats]:
        """By limit the excess at a point, and by limit and place what moving to it adds."""
        self._move(point)
        count = self._count
        off = self._off.ravel().take(self._off1)
        matters = places_of(count.take(self._box1) == off)
        box, axis, off = self._box1[matters], self._axis1[matters], off[matters]
        low, end = self._low1[matters], self._end1[matters]
        inside = places_of(~off)
        axis_inside, here_at = axis[inside], places_of(count == 0)
        size = len(self.lever)
        here = np.empty(len(self._values))
        changes = self._linear - self._linear[:, self._begin + point][:, self.lever]
        for at, values in enumerate(self._values):
            value = values[box]
            steps = added(low, value, size) - added(end, value, size)
            leaves = added(axis_inside, value[inside], self.levers)
            # Running sums begin anew at each lever, as every box's steps add to nothing.
            changes[at] += steps.cumsum() - leaves[self.lever]
            here[at] = values[here_at].sum() - self._limit[at]
        return here + self._linear_at(point), changes

    @property
    def profile_work(self) -> tuple[int, int]:
        """Operations of :meth:`profiles`, and the numbers that they handle."""
        limits = len(self._values)
        numbers = len(self._box1) * (3 + 2 * limits) + len(self._low) * (2 + limits)
        return 40 + 12 * limits, numbers + 4 * len(self.lever) * limits

    def work(self, point: Ints, below: float) -> tuple[int, int]:
        """Operations of all :meth:`planes`, and the numbers that they handle."""
        layout, limits = self._layout(point, below), int(np.isfinite(self._limit).sum())
        calls, numbers = self.profile_work
        painted = 14 * len(self._pairs[0]) * limits
        calls += 60 * limits + len(layout.rows) * (10 * limits + 10)
        return calls, numbers + painted + layout.size * (3 * limits + 3)

    def planes(self, point: Ints, below: float = np.inf) -> Iterator[Plane]:
        """The tables of pairs of levers, from one point.

        Args:
            point: where all other levers stay.
            below: what a change has to cost less than; cells and pairs that cannot are left out.
        """
        here, changes = self.profiles(point)
        layout = self._layout(point, below)
        if not len(layout.rows):
            return
        limits = places_of(np.isfinite(self._limit))
        tables = [self._paint(self._values[limit], layout) for limit in limits]
        extra = self.costs - self.cost_by_place(point)
        cost_here = self.cost(point)
        for lever, base in zip(layout.rows, layout.base, strict=True):
            rows, width = int(layout.cells[lever]), int(layout.width[lever])
            after = layout.places[len(layout.places) - width :]
            own = self._begin[lever] + layout.first[lever] + np.arange(rows)
            excess = np.empty((len(tables), rows, width))
            for at, (limit, table) in enumerate(zip(limits, tables, strict=True)):
                block = table[base : base + (rows + 1) * width].reshape(rows + 1, width)[:rows]
                np.cumsum(block, axis=0, out=excess[at])
                np.cumsum(excess[at], axis=1, out=excess[at])
                excess[at] += changes[limit, after] + here[limit]
                excess[at] += changes[limit, own][:, None]
            cost = extra[own][:, None] + (extra[after] + cost_here)
            yield Plane(
                int(lever), self.cell[own], excess, cost, (self.lever[after], self.cell[after])
            )

    def _layout(self, point: Ints, below: float) -> _Layout:
        """Which cells of which pairs could make a point cost less than ``below``.

        The last one is kept, as what it takes is asked before it is used.
        """
        known = self._known
        if known is None or known[1] != below or not np.array_equal(known[0], point):
            self._known = known = point, below, self._layout_anew(point, below)
        return known[2]

    def _layout_anew(self, point: Ints, below: float) -> _Layout:
        own = self.costs[self._begin + point]
        least = np.minimum.reduceat(self.costs, self._begin)
        gain = own - least
        spare = below - float(own.sum())
        order = np.argsort(-gain, kind="stable")
        # Of the levers that a lever may be paired with, the one that can give back most.
        most = np.full(self.levers, gain[order[0]])
        most[order[0]] = gain[order[1]]
        useful = self.costs < (spare + own + most)[self.lever]
        useful &= np.isfinite(self.costs)
        place = places_of(useful)
        lever = self.lever[place]
        count = np.zeros(self.levers, dtype=np.int64)
        first = np.zeros(self.levers, dtype=np.int64)
        if len(place):
            begin, end = spans(lever)
            first[lever[begin]] = self.cell[place[begin]]
            count[lever[begin]] = self.cell[place[end]] - self.cell[place[begin]] + 1
        widths = count + 1
        behind = np.cumsum(widths[order])
        width = np.empty(self.levers, dtype=np.int64)
        width[order] = behind[-1] - behind
        begins = np.empty(self.levers, dtype=np.int64)
        begins[order] = behind - widths[order]
        gains = gain[order]
        rows = order[:-1][(spare + gains[:-1] + gains[1:] > 0) & (count[order[:-1]] > 0)]
        numbers = (count[rows] + 1) * width[rows]
        base = numbers.cumsum() - numbers
        which, within = counted(widths[order])
        places = (self._begin + first)[order][which] + within
        # The place after each window is no cell, whatever is there in the whole row.
        places = np.where(within == count[order][which], self._begin[order][which]
                          + self.sizes[order][which], places)  # fmt: skip
        return _Layout(rows, base, first, count, width, begins, places, int(numbers.sum()))

    def _linear_at(self, point: Ints) -> Floats:
        return np.asarray(self._linear[:, self._begin + point].sum(axis=1))

    def _move(self, point: Ints) -> None:
        """Notes which levers keep a point out of each box, and how many."""
        for lever in places_of(self._at != point):
            cell = point[lever]
            off = (self._low[:, lever] > cell) | (self._end[:, lever] <= cell)
            self._count += off
            self._count -= self._off[lever]
            self._off[lever] = off
        self._at[:] = point

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints]:
        return _pairs(self._box1, len(self._low))

    def _paint(self, values: Floats, layout: _Layout) -> Floats:
        """The corners of (in_i - here_i) * (in_j - here_j) * value for all pairs of levers."""
        box1, axis1 = self._box1, self._axis1
        size = layout.cells[axis1]
        low1 = np.clip(self._low1 - self._begin[axis1] - layout.first[axis1], 0, size)
        end1 = np.clip(self._end1 - self._begin[axis1] - layout.first[axis1], 0, size)
        off1 = self._off.ravel().take(self._off1)
        # Where moving the lever changes nothing for the box there is nothing to paint.
        moves = np.where(off1, low1 < end1, (low1 > 0) | (end1 < size)) & (size > 0)
        base = np.full(self.levers, -1)
        base[layout.rows] = layout.base
        left, right = self._pairs
        real = moves[left] & moves[right]
        left, right = left[real], right[real]
        # The rows are those of the lever that comes first.
        swapped = layout.begin[axis1[left]] > layout.begin[axis1[right]]
        left, right = np.where(swapped, right, left), np.where(swapped, left, right)
        matters = self._count[box1[left]] - off1[left] - off1[right] == 0
        matters &= base[axis1[left]] >= 0
        left, right = left[matters], right[matters]
        i, j = axis1[left], axis1[right]
        here_i, here_j = ~off1[left], ~off1[right]
        value, width = values[box1[left]], layout.width[i]
        corner = base[i] + layout.begin[j] - (layout.begin[i] + layout.cells[i] + 1)
        low_i, end_i = low1[left] * width, end1[left] * width
        low_j, end_j = low1[right], end1[right]
        a, b, both = here_i, here_j, here_i & here_j
        end = layout.cells[j]
        places = [
            corner + low_i + low_j, corner + end_i + end_j, corner + low_i + end_j,
            corner + end_i + low_j,
            (corner + low_j)[a], (corner + end_j)[a],
            (corner + low_i)[b], (corner + end_i)[b],
            (corner + low_i + end)[b], (corner + end_i + end)[b],
            corner[both], (corner + end)[both],
        ]  # fmt: skip
        amounts = [
            value, value, -value, -value,
            -value[a], value[a],
            -value[b], value[b],
            value[b], -value[b],
            value[both], -value[both],
        ]  # fmt: skip
        return added(np.concatenate(places), np.concatenate(amounts), layout.size)


def _pairs(box: Ints, boxes: int) -> tuple[Ints, Ints]:
    """Every two bounded axes of the same box, as places in the list of all, the smaller first."""
    counts = np.bincount(box, minlength=boxes)
    left, right = counted(counts[box])
    right = right + (counts.cumsum() - counts)[box[left]]
    smaller = left < right
    return left[smaller], right[smaller]
