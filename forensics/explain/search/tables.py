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

from forensics.explain.search.arrays import Floats, Ints, added, counted, in_all
from forensics.explain.search.boxes import Boxes


class Plane(NamedTuple):
    """One lever against all later ones.

    Attributes:
        lever: whose cells are the rows.
        excess: by limit, row and column, how far above the limit the point would be.
        cost: by row and column, infinite where a column is no cell.
        others: by column, the other lever, and its cell.
    """

    lever: int
    excess: Floats
    cost: Floats
    others: tuple[Ints, Ints]


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
        self._begin = np.cumsum(widths) - widths
        self.lever, self.cell = counted(widths)
        chosen = [line.representative() for line in lines]
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
        self._low = low[on, : self.levers].astype(np.int32)
        self._end = high[on, : self.levers].astype(np.int32) + 1
        self._box1, self._axis1 = np.nonzero((self._low > 0) | (self._end < self.sizes))
        self._low1 = self._low[self._box1, self._axis1] + self._begin[self._axis1]
        self._end1 = self._end[self._box1, self._axis1] + self._begin[self._axis1]
        self._at = np.full(self.levers, -1, dtype=np.int32)
        self._off = np.zeros(self._low.shape, dtype=np.bool_)
        self._count = np.zeros(len(self._low), dtype=np.int64)
        self._width = widths.sum() - self._begin - widths
        self._base = np.concatenate([[0], np.cumsum(widths * self._width)])
        self._column = self._begin[None, :] - (self._begin + widths)[:, None]
        self._values = [
            (boxes.limit_sign[at] * boxes.value * boxes.of_limit(at))[on]
            for at in range(len(boxes.limit_sign))
        ]

    @property
    def size(self) -> int:
        """Numbers that all tables of pairs have together."""
        return int(self._base[-1])

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
        off = self._off[self._box1, self._axis1]
        matters = count[self._box1] == off
        box, axis, off = self._box1[matters], self._axis1[matters], off[matters]
        low, end = self._low1[matters], self._end1[matters]
        size = len(self.lever)
        here = np.empty(len(self._values))
        changes = self._linear - self._linear[:, self._begin + point][:, self.lever]
        for at, values in enumerate(self._values):
            value = values[box]
            steps = added(low, value, size) - added(end, value, size)
            leaves = added(axis[~off], value[~off], self.levers)
            # Running sums begin anew at each lever, as every box's steps add to nothing.
            changes[at] += np.cumsum(steps) - leaves[self.lever]
            here[at] = values[count == 0].sum() - self._limit[at]
        return here + self._linear_at(point), changes

    def planes(self, point: Ints) -> Iterator[Plane]:
        """The tables of all pairs of levers, from one point."""
        here, changes = self.profiles(point)
        tables = [self._paint(values) for values in self._values]
        extra = self.costs - self.cost_by_place(point)
        cost_here = self.cost(point)
        for lever in range(self.levers - 1):
            rows, width, begin = self.sizes[lever], self._width[lever], self._base[lever]
            after = slice(len(self.lever) - width, None)
            own = slice(self._begin[lever], self._begin[lever] + rows)
            excess = np.empty((len(tables), rows, width))
            for limit, table in enumerate(tables):
                block = table[begin : begin + (rows + 1) * width].reshape(rows + 1, width)[:rows]
                np.cumsum(block, axis=0, out=excess[limit])
                np.cumsum(excess[limit], axis=1, out=excess[limit])
                excess[limit] += changes[limit, after] + here[limit]
                excess[limit] += changes[limit, own][:, None]
            cost = extra[own][:, None] + (extra[after] + cost_here)
            yield Plane(lever, excess, cost, (self.lever[after], self.cell[after]))

    def _linear_at(self, point: Ints) -> Floats:
        return np.asarray(self._linear[:, self._begin + point].sum(axis=1))

    def _move(self, point: Ints) -> None:
        """Notes which levers keep a point out of each box, and how many."""
        for lever in np.flatnonzero(self._at != point):
            cell = point[lever]
            off = (self._low[:, lever] > cell) | (self._end[:, lever] <= cell)
            self._count += off
            self._count -= self._off[:, lever]
            self._off[:, lever] = off
        self._at[:] = point

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
