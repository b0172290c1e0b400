"""A problem in its smallest form: lines of cells with costs, and boxes that add to limited sums.

    minimise   sum of each lever's cost at its position
    such that  for each limit: sum over groups of the value of the box that holds the point
               + sum of each lever's linear part  <=  the limit

Every point lies in exactly one box of each group. What cannot be part of an answer cheaper than a
known one is dropped: positions, boxes, then boundaries that no box has any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from forensics.explain.search.arrays import (
    Flags,
    Floats,
    Ints,
    distinct,
    in_all,
    places_of,
    spans,
)
from forensics.explain.search.effort import Effort

#: Costs closer than this are equal.
EPSILON = 1e-9


@dataclass
class Line:
    """One lever: its positions in order, with costs that fall and then rise.

    Attributes:
        cost: by position.
        cell: by position, ascending from 0 without gaps.
        origin: by position, where it is on the lever's axis.
        linear: by limit and position, what it adds there.
        walls: by position, whether the logic may tell it from the one before.
        loose: whether positions within a cell differ for anything but cost.
    """

    cost: Floats
    cell: Ints
    origin: Ints
    linear: Floats
    walls: Flags
    loose: bool

    @cached_property
    def cells(self) -> int:
        """Number of cells."""
        return int(self.cell[-1]) + 1

    @cached_property
    def cheapest(self) -> int:
        """The position that costs least."""
        return int(self.cost.argmin())

    @cached_property
    def starts(self) -> Ints:
        """By cell, its first position."""
        return self.cell if self._is_plain else spans(self.cell)[0]

    @cached_property
    def cell_cost(self) -> Floats:
        """By cell, the least cost in it."""
        if self._is_plain:
            return self.cost
        return np.asarray(np.minimum.reduceat(self.cost, self.starts))

    @cached_property
    def representative(self) -> Ints:
        """By cell, its cheapest position."""
        if self._is_plain:
            return self.cell
        return np.asarray(np.clip(self.cheapest, *spans(self.cell)))

    @cached_property
    def walled(self) -> bool:
        """Whether there are walls."""
        return bool(self.walls.any())

    @property
    def _is_plain(self) -> bool:
        """Whether every position is a cell."""
        return len(self.cell) == self.cells

    def kept(self, positions: Flags) -> Line:
        """The line with some of its positions."""
        at = places_of(positions)
        cell = np.arange(len(at)) if self._is_plain else _numbered(self.cell[at])
        walls = np.zeros(len(at), dtype=np.bool_)
        if self.walled:
            behind = self.walls.cumsum()[at]
            walls[1:] = behind[1:] != behind[:-1]
        return Line(
            self.cost[at], cell, self.origin[at], self.linear[:, at], walls, self.loose
        )  # fmt: skip

    def joined(self, apart: Flags) -> Line:
        """The line with cells joined to the one before unless ``apart``, by cell, parts them."""
        number = apart.cumsum() - 1
        line = Line(
            self.cost, number if self._is_plain else number[self.cell], self.origin, self.linear,
            self.walls, self.loose,
        )  # fmt: skip
        if self.loose or line.cells == len(self.cost):
            return line
        chosen = line.representative
        walls = self.walls[line.starts] if self.walled else self.walls[: len(chosen)]
        return Line(
            self.cost[chosen], np.arange(len(chosen)), self.origin[chosen], self.linear[:, chosen],
            walls, False,
        )  # fmt: skip


def _numbered(values: Ints) -> Ints:
    """Runs of equal values, counted from 0."""
    found = np.zeros(len(values), dtype=np.int64)
    np.cumsum(values[1:] != values[:-1], out=found[1:])
    return found


@dataclass(slots=True)
class Boxes:
    """The whole problem; see the module.

    Attributes:
        lines: of the levers.
        group: by box, ascending from 0.
        margin: by group, what its boxes add to.
        value: by box.
        low: by box and axis, its first cell; the levers' axes first, then those of followers.
        high: likewise, its last.
        follower_cells: by follower, how many cells it has.
        limit_margin: by limit, the margin that it is about.
        limit_sign: by limit, 1 where the margin may not be above it, -1 where its negative may not.
        highest: by limit, the number, which may be infinite.
        moved: by limit, what groups that are no longer here, and all that is fixed, add.
        followed: by limit, what followers add at least, which no box of this problem holds.
        member: groups of the first problem that this one comes from, all that are in some group.
        owner: by member, the group that it is in.
    """

    lines: list[Line]
    group: Ints
    margin: Ints
    value: Floats
    low: Ints
    high: Ints
    follower_cells: tuple[int, ...]
    limit_margin: Ints
    limit_sign: Floats
    highest: Floats
    moved: Floats
    followed: Floats
    member: Ints
    owner: Ints

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.margin)

    def start(self) -> Ints:
        """By group, its first box."""
        return self.group.searchsorted(np.arange(self.groups))

    def sizes(self) -> tuple[int, ...]:
        """By axis, its number of cells."""
        return (*(line.cells for line in self.lines), *self.follower_cells)

    def least_cost(self) -> float:
        """What no point costs less than."""
        return float(sum(line.cost[line.cheapest] for line in self.lines))

    @property
    def limit(self) -> Floats:
        """By limit, what boxes, lines and followers may add up to."""
        return np.asarray(self.highest - self.moved)

    def weights(self, multipliers: Floats) -> Floats:
        """By box, how much a limit's multiplier makes of its value."""
        factor = np.zeros(int(self.margin.max(initial=-1)) + 1)
        for at, margin in enumerate(self.limit_margin):
            if margin < len(factor):
                factor[margin] += multipliers[at] * self.limit_sign[at]
        return np.asarray(factor[self.margin[self.group]])

    def of_limit(self, limit: int) -> Flags:
        """The boxes that count for one limit."""
        return np.asarray(self.margin[self.group] == self.limit_margin[limit])


def box_costs(lines: Sequence[Line], low: Ints, high: Ints) -> Floats:
    """By box, what a point in it costs at least."""
    count = len(lines)
    costs = [line.cell_cost for line in lines]
    cheapest = np.array([line.cell[line.cheapest] for line in lines], dtype=np.int64)
    begin = _begins([len(cost) for cost in costs])
    # Costs fall to the cheapest cell and rise from there.
    nearest = np.minimum(np.maximum(cheapest, low[:, :count]), high[:, :count])
    nearest += begin
    return np.asarray(np.concatenate(costs).take(nearest).sum(axis=1))


def _begins(sizes: Sequence[int]) -> Ints:
    """Where each axis begins when the cells of all stand in one row."""
    found = np.zeros(len(sizes), dtype=np.int64)
    np.cumsum(sizes[:-1], out=found[1:])
    return found


def tidied(boxes: Boxes) -> Boxes | None:
    """The same problem without groups of one box; None where a group has none."""
    sizes = np.bincount(boxes.group, minlength=boxes.groups)
    if (sizes == 0).any():
        return None
    if not (sizes == 1).any():
        return boxes
    alone = sizes[boxes.group] == 1
    moved = boxes.moved.copy()
    margins = boxes.margin[boxes.group[alone]]
    for at, margin in enumerate(boxes.limit_margin):
        moved[at] += boxes.limit_sign[at] * boxes.value[alone][margins == margin].sum()
    rest, stays = ~alone, sizes > 1
    number = stays.cumsum() - 1
    kept = stays[boxes.owner]
    return replace(
        boxes, group=number[boxes.group[rest]], margin=boxes.margin[stays],
        value=boxes.value[rest], low=boxes.low[rest], high=boxes.high[rest], moved=moved,
        member=boxes.member[kept], owner=number[boxes.owner[kept]],
    )  # fmt: skip


def narrowed(boxes: Boxes, keep: Sequence[Flags | None]) -> Boxes | None:
    """The problem with some positions only, by lever; None keeps all. None where none is left."""
    return without(boxes, np.ones(len(boxes.value), dtype=np.bool_), keep)


def without(boxes: Boxes, alive: Flags, keep: Sequence[Flags | None] = ()) -> Boxes | None:
    """The problem with some boxes only, and some positions; None where a group has no box left."""
    some = [at for at, own in enumerate(keep) if own is not None and not own.all()]
    if not some and alive.all():
        return boxes
    lines, at = boxes.lines, places_of(alive)
    low, high = boxes.low[at], boxes.high[at]
    if some:
        lines = list(lines)
        begin, left = _cells_in_a_row(lines, True)
        for lever in some:
            positions, line = keep[lever], lines[lever]
            assert positions is not None
            lines[lever] = line.kept(positions)
            if not len(lines[lever].cost):
                return None
            mine = left[begin[lever] : begin[lever] + line.cells]
            mine[:] = False
            mine[line.cell[positions]] = True
        before = np.zeros(len(left) + 1, dtype=np.int32)
        np.cumsum(left, out=before[1:])
        levers, base = slice(len(lines)), before[begin]
        low[:, levers] = before.take(low[:, levers] + begin) - base
        high[:, levers] = before.take(high[:, levers] + (begin + 1)) - (base + 1)
        real = places_of(in_all(low[:, levers] <= high[:, levers]))
        if len(real) < len(at):
            at, low, high = at[real], low[real], high[real]
    return tidied(
        replace(
            boxes, lines=lines, group=boxes.group[at], value=boxes.value[at], low=low, high=high
        )
    )


def joined(boxes: Boxes) -> Boxes:
    """The same problem with cells joined that no box tells apart."""
    lines = list(boxes.lines)
    begin, apart = _cells_in_a_row(lines, False)
    levers = slice(len(lines))
    first, last = boxes.low[:, levers] + begin, boxes.high[:, levers] + begin
    apart[first] = True
    apart[last + 1] = True
    apart[begin] = True
    for at, line in enumerate(lines):
        if line.walled:
            apart[begin[at] : begin[at] + line.cells] |= line.walls[line.starts]
    ends = begin + [line.cells for line in lines]
    apart[ends] = True
    if apart.all():
        return boxes
    number = apart.cumsum(dtype=np.int32)
    base = number[begin]
    for at in places_of(number[ends] - base < ends - begin):
        lines[at] = lines[at].joined(apart[begin[at] : ends[at]])
    low, high = number.take(first) - base, number.take(last) - base
    if boxes.follower_cells:
        low = np.hstack([low, boxes.low[:, len(lines) :]])
        high = np.hstack([high, boxes.high[:, len(lines) :]])
    return replace(boxes, lines=lines, low=low, high=high)


def _cells_in_a_row(lines: Sequence[Line], flag: bool) -> tuple[Ints, Flags]:
    """Where each line begins in a row of all their cells, each with one place more, and flags."""
    sizes = [line.cells + 1 for line in lines]
    return _begins(sizes), np.full(sum(sizes), flag)


def within_budget(boxes: Boxes, below: float, effort: Effort) -> Boxes | None:
    """The problem without what would cost ``below`` or more; None where nothing is left."""
    positions = sum(len(line.cost) for line in boxes.lines)
    effort.spend(40 * len(boxes.lines), 3 * (boxes.low.size + positions))
    spare = below - EPSILON - boxes.least_cost()
    if spare <= 0:
        return None
    alive = box_costs(boxes.lines, boxes.low, boxes.high) < below - EPSILON
    keep = [line.cost < spare + line.cost[line.cheapest] for line in boxes.lines]
    left = without(boxes, alive, keep)
    return None if left is None else covered(joined(left))


def covered(boxes: Boxes) -> Boxes | None:
    """The problem without cells in which some group has no box; None where nothing is left."""
    while True:
        gaps = _gaps(boxes)
        if gaps is None:
            return boxes
        left = narrowed(boxes, gaps)
        if left is None:
            return None
        boxes = joined(left)


def _gaps(boxes: Boxes) -> list[Flags | None] | None:
    """By lever, the positions in whose cells every group has a box; None where all have.

    Only groups that depend on a lever can lack a box in some of its cells. Each such pair has a row
    of cells here, with one place more, in which the boxes that begin and end are counted.
    """
    if not boxes.groups:
        return None
    lines = boxes.lines
    cells = np.array([line.cells for line in lines], dtype=np.int64)
    low, end = boxes.low[:, : len(lines)], boxes.high[:, : len(lines)] + 1
    uses = np.logical_or.reduceat((low > 0) | (end < cells), boxes.start(), axis=0)
    lever = uses.nonzero()[1]
    if not len(lever):
        return None
    widths = cells[lever] + 1
    behind = widths.cumsum()
    row = np.zeros(uses.shape, dtype=np.int64)
    row[uses] = behind - widths
    mine = uses[boxes.group]
    begin = row[boxes.group][mine]
    steps = np.bincount(begin + low[mine], minlength=behind[-1])
    steps -= np.bincount(begin + end[mine], minlength=behind[-1])
    # Running sums begin anew with each row, as what begins in it ends in it.
    empty = steps.cumsum() == 0
    empty[behind - 1] = False
    if not empty.any():
        return None
    places = places_of(empty)
    pair = behind.searchsorted(places, side="right")
    found: list[Flags | None] = [None] * len(lines)
    for at in distinct(lever[pair]):
        own = lever[pair] == at
        gap = np.zeros(cells[at], dtype=np.bool_)
        gap[(places - behind[pair] + widths[pair])[own]] = True
        found[at] = ~gap[lines[at].cell]
    return found
