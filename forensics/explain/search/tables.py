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

from forensics.explain.search.arrays import Floats, Ints, added, counted
from forensics.explain.search.boxes import Boxes


class Plane(NamedTuple):
    """One lever against all later ones.

    Attributes:
        lever: whose cells are the rows.
        excess: by limit, row and column, how far above the limit the point would be.
        cost: by row and column.
        others: by column, the other lever, and its cell.
    """

    lever: int
    excess: Floats
    cost: Floats
    others: tuple[Ints, Ints]


class Tables:
    """The tables of one problem; points are the levers' cells, each at its cheapest position.

    Args:
        boxes: the problem.
        followers: the cells in which followers are taken to stay.
        followed: by limit, what they add there.
    """

    def __init__(self, boxes: Boxes, followers: Ints, followed: Floats) -> None:
        self.boxes = boxes
        self._limit = boxes.limit - followed
        lines = boxes.lines
        self.levers = len(lines)
        self.sizes = np.array([line.cells for line in lines], dtype=np.int64)
        self.costs = [line.cell_cost() for line in lines]
        chosen = [line.representative() for line in lines]
        #: By lever: by limit and cell, the linear part.
        self._linear = [line.linear[:, at] for line, at in zip(lines, chosen, strict=True)]
        low, high = boxes.low, boxes.high
        on = np.ones(len(boxes.value), dtype=np.bool_)
        for at, cell in enumerate(followers, self.levers):
            on &= (low[:, at] <= cell) & (cell <= high[:, at])
        self._low = low[on, : self.levers].astype(np.int32)
        self._end = high[on, : self.levers].astype(np.int32) + 1
        bounded = (self._low > 0) | (self._end < self.sizes)
        self._box1, self._axis1 = np.nonzero(bounded)
        self._low1 = self._low[self._box1, self._axis1]
        self._end1 = self._end[self._box1, self._axis1]
        self._at = np.full(self.levers, -1, dtype=np.int32)
        self._off = np.zeros(self._low.shape, dtype=np.bool_)
        self._count = np.zeros(len(self._low), dtype=np.int64)
        widths = self.sizes + 1
        self._width = np.array([widths[at + 1 :].sum() for at in range(self.levers)])
        self._base = np.concatenate([[0], np.cumsum(widths * self._width)])
        ends = np.cumsum(widths)
        self._costs = np.concatenate([part for cost in self.costs for part in (cost, [np.inf])])
        self._cells = np.arange(len(self._costs)) - np.repeat(ends - widths, widths)
        self._column = ends[None, :] - widths[None, :] - ends[:, None]
        self._values = [
            (boxes.limit_sign[at] * boxes.value * boxes.of_limit(at))[on]
            for at in range(len(boxes.limit_sign))
        ]

    def cost(self, point: Ints) -> float:
        """What a point costs."""
        return float(sum(cost[cell] for cost, cell in zip(self.costs, point, strict=True)))

    def excess(self, point: Ints) -> Floats:
        """By limit, how far above it a point is."""
        inside = ((self._low <= point) & (point < self._end)).all(axis=1)
        sums = np.array([values[inside].sum() for values in self._values])
        return np.asarray(sums + self._linear_at(point) - self._limit)

    def _linear_at(self, point: Ints) -> Floats:
        parts = [part[:, cell] for part, cell in zip(self._linear, point, strict=True)]
        return np.sum(parts, axis=0) if parts else np.zeros(len(self._values))

    def profiles(self, point: Ints) -> tuple[Floats, list[Floats]]:
        """By limit the excess at a point, and by lever, limit and cell what moving it adds."""
        self._move(point)
        return self._profiles(point)

    def planes(self, point: Ints) -> Iterator[Plane]:
        """The tables of all pairs of levers, from one point."""
        here, singles = self.profiles(point)
        tables = [self._paint(values) for values in self._values]
        # An extra column ends each table; it is no cell.
        end = np.zeros((len(tables), 1))
        along = np.concatenate([part for each in singles for part in (each, end)], axis=1)
        levers = np.repeat(np.arange(self.levers), self.sizes + 1)
        now = [cost[cell] for cost, cell in zip(self.costs, point, strict=True)]
        costs = self._costs - np.array(now)[levers]
        cost_here = self.cost(point)
        for lever in range(self.levers - 1):
            rows, width, begin = self.sizes[lever], self._width[lever], self._base[lever]
            after = slice(len(levers) - width, None)
            excess = np.empty((len(tables), rows, width))
            for limit, table in enumerate(tables):
                block = table[begin : begin + (rows + 1) * width].reshape(rows + 1, width)[:rows]
                np.cumsum(block, axis=0, out=excess[limit])
                np.cumsum(excess[limit], axis=1, out=excess[limit])
                excess[limit] += along[limit, after] + here[limit]
                excess[limit] += singles[lever][limit][:, None]
            own = self.costs[lever] - self.costs[lever][point[lever]]
            cost = own[:, None] + (costs[after] + cost_here)
            yield Plane(lever, excess, cost, (levers[after], self._cells[after]))

    def _move(self, point: Ints) -> None:
        """Notes which levers keep a point out of each box, and how many."""
        for lever in np.flatnonzero(self._at != point):
            cell = point[lever]
            off = (self._low[:, lever] > cell) | (self._end[:, lever] <= cell)
            self._count += off
            self._count -= self._off[:, lever]
            self._off[:, lever] = off
        self._at[:] = point

    def _profiles(self, point: Ints) -> tuple[Floats, list[Floats]]:
        count = self._count
        off1 = self._off[self._box1, self._axis1]
        matters = count[self._box1] == off1
        box, axis, off1 = self._box1[matters], self._axis1[matters], off1[matters]
        place = np.concatenate([[0], np.cumsum(self.sizes + 1)])
        low, end = place[axis] + self._low1[matters], place[axis] + self._end1[matters]
        here = np.empty(len(self._values))
        rows = []
        for at, values in enumerate(self._values):
            value = values[box]
            steps = np.bincount(low, value, place[-1]) - np.bincount(end, value, place[-1])
            leaves = np.bincount(axis[~off1], value[~off1], self.levers)
            rows.append((np.cumsum(steps), leaves))
            here[at] = values[count == 0].sum() - self._limit[at]
        singles = []
        for lever in range(self.levers):
            part = slice(place[lever], place[lever + 1] - 1)
            # Running sums begin anew at each lever, as every box's steps add to nothing.
            found = np.array([sums[part] - leaves[lever] for sums, leaves in rows])
            own = self._linear[lever]
            singles.append(found.reshape(own.shape) + own - own[:, point[lever], None])
        return here + self._linear_at(point), singles

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints, Ints]:
        return _pairs(self._box1, self._axis1, len(self._low))

    def _paint(self, values: Floats) -> Floats:
        """The corners of (in_i - here_i) * (in_j - here_j) * value for all pairs of levers."""
        box, i, j = self._pairs
        off_i, off_j = self._off[box, i], self._off[box, j]
        matters = self._count[box] - off_i - off_j == 0
        box, i, j = box[matters], i[matters], j[matters]
        here_i, here_j = ~off_i[matters], ~off_j[matters]
        value, width = values[box], self._width[i]
        corner = self._base[i] + self._column[i, j]
        low_i, end_i = self._low[box, i] * width, self._end[box, i] * width
        low_j, end_j = self._low[box, j], self._end[box, j]
        a, b, both = here_i, here_j, here_i & here_j
        end = self.sizes[j]
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
        return added(np.concatenate(places), np.concatenate(amounts), self._base[-1])


def _pairs(box: Ints, axis: Ints, boxes: int) -> tuple[Ints, Ints, Ints]:
    """Every box with every two of its bounded axes, the smaller first."""
    counts = np.bincount(box, minlength=boxes)
    left, right = counted(counts[box])
    right = right + (np.cumsum(counts) - counts)[box[left]]
    smaller = axis[left] < axis[right]
    left, right = left[smaller], right[smaller]
    return box[left], axis[left], axis[right]
