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

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, Ints, counted, distinct, spans
from forensics.explain.search.effort import Effort

#: Costs closer than this are equal.
EPSILON = 1e-9


@dataclass(slots=True)
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

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(self.cell[-1]) + 1

    @property
    def cheapest(self) -> int:
        """The position that costs least."""
        return int(self.cost.argmin())

    def starts(self) -> Ints:
        """By cell, its first position."""
        if len(self.cell) == self.cells:
            return self.cell
        return spans(self.cell)[0]

    def cell_cost(self) -> Floats:
        """By cell, the least cost in it."""
        if len(self.cost) == self.cells:
            return self.cost
        return np.asarray(np.minimum.reduceat(self.cost, self.starts()))

    def representative(self) -> Ints:
        """By cell, its cheapest position."""
        if len(self.cell) == self.cells:
            return self.cell
        return np.asarray(np.clip(self.cheapest, *spans(self.cell)))

    def kept(self, positions: Flags) -> Line:
        """The line with some of its positions."""
        cell = _numbered(self.cell[positions])
        walls = np.zeros(len(cell), dtype=np.bool_)
        if self.walls.any():
            behind = np.cumsum(self.walls)[positions]
            walls[1:] = behind[1:] != behind[:-1]
        return Line(
            self.cost[positions], cell, self.origin[positions], self.linear[:, positions], walls,
            self.loose,
        )  # fmt: skip

    def joined(self, apart: Flags) -> Line:
        """The line with cells joined to the one before unless ``apart``, by cell, parts them."""
        line = Line(
            self.cost, (np.cumsum(apart) - 1)[self.cell], self.origin, self.linear, self.walls,
            self.loose,
        )  # fmt: skip
        if self.loose or line.cells == len(self.cost):
            return line
        chosen = line.representative()
        walls = self.walls[line.starts()]
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
        return np.searchsorted(self.group, np.arange(self.groups))

    def sizes(self) -> tuple[int, ...]:
        """By axis, its number of cells."""
        return (*(line.cells for line in self.lines), *self.follower_cells)

    def least_cost(self) -> float:
        """What no point costs less than."""
        return float(sum(line.cost.min() for line in self.lines))

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
    found = np.full(len(low), sum(line.cost.min() for line in lines))
    for at, line in enumerate(lines):
        cost = line.cell_cost()
        cheapest = int(cost.argmin())
        for ends, beyond in (
            (low[:, at], low[:, at] > cheapest),
            (high[:, at], high[:, at] < cheapest),
        ):
            rows = np.flatnonzero(beyond)
            found[rows] += cost[ends[rows]] - cost[cheapest]
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
    number = np.cumsum(stays) - 1
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
    lines, low, high = list(boxes.lines), boxes.low, boxes.high
    changed = False
    for at, positions in enumerate(keep):
        if positions is None or positions.all():
            continue
        if not positions.any():
            return None
        if not changed:
            low, high, changed = low.copy(), high.copy(), True
        line = lines[at]
        left = np.zeros(line.cells, dtype=np.bool_)
        left[line.cell[positions]] = True
        before = np.zeros(line.cells + 1, dtype=np.int32)
        np.cumsum(left, out=before[1:])
        low[:, at], high[:, at] = before[low[:, at]], before[high[:, at] + 1] - 1
        alive = alive & (low[:, at] <= high[:, at])
        lines[at] = line.kept(positions)
    if not changed and alive.all():
        return boxes
    return tidied(
        replace(
            boxes, lines=lines, group=boxes.group[alive], value=boxes.value[alive],
            low=low[alive], high=high[alive],
        )
    )  # fmt: skip


def joined(boxes: Boxes) -> Boxes:
    """The same problem with cells joined that no box tells apart."""
    lines = list(boxes.lines)
    low, high = boxes.low.copy(), boxes.high.copy()
    for at, line in enumerate(lines):
        count = line.cells
        apart = np.zeros(count + 1, dtype=np.bool_)
        apart[low[:, at]] = True
        apart[high[:, at] + 1] = True
        apart = apart[:count] | line.walls[line.starts()]
        apart[0] = True
        if apart.all():
            continue
        number = np.cumsum(apart) - 1
        low[:, at], high[:, at] = number[low[:, at]], number[high[:, at]]
        lines[at] = line.joined(apart)
    return replace(boxes, lines=lines, low=low, high=high)


def within_budget(boxes: Boxes, below: float, effort: Effort) -> Boxes | None:
    """The problem without what would cost ``below`` or more; None where nothing is left."""
    positions = sum(len(line.cost) for line in boxes.lines)
    effort.spend(40 * len(boxes.lines), 3 * (boxes.low.size + positions))
    spare = below - EPSILON - boxes.least_cost()
    if spare <= 0:
        return None
    kept = narrowed(boxes, [line.cost - line.cost.min() < spare for line in boxes.lines])
    if kept is None:
        return None
    left = without(kept, box_costs(kept.lines, kept.low, kept.high) < below - EPSILON)
    return None if left is None else covered(joined(left))


def covered(boxes: Boxes) -> Boxes | None:
    """The problem without cells in which some group has no box; None where nothing is left."""
    while True:
        keep: list[Flags | None] = []
        for at, line in enumerate(boxes.lines):
            gaps = _gaps(boxes, at, line.cells)
            keep.append(None if gaps is None else ~gaps[line.cell])
        if all(positions is None for positions in keep):
            return boxes
        left = narrowed(boxes, keep)
        if left is None:
            return None
        boxes = joined(left)


def _gaps(boxes: Boxes, at: int, size: int) -> Flags | None:
    """The cells of one lever in which some group has no box; None where all have."""
    low, end = boxes.low[:, at], boxes.high[:, at] + 1
    bounded = (low > 0) | (end < size)
    if not bounded.any():
        return None
    uses = np.zeros(boxes.groups, dtype=np.bool_)
    uses[boxes.group[bounded]] = True
    row = (np.cumsum(uses) - 1) * (size + 1)
    mine = uses[boxes.group]
    begin = row[boxes.group[mine]]
    count = int(uses.sum()) * (size + 1)
    steps = np.bincount(begin + low[mine], minlength=count)
    steps -= np.bincount(begin + end[mine], minlength=count)
    empty = np.cumsum(steps.reshape(-1, size + 1), axis=1)[:, :size] == 0
    found = empty.any(axis=0)
    return found if found.any() else None


def merged(
    boxes: Boxes, below: float, *, size_max: int = 24, rounds: int = 3,
    effort: Effort | None = None, until: float = np.inf,
) -> Boxes | None:  # fmt: skip
    """The same problem with pairs of groups made one where that takes no more boxes.

    A joint group holds the pairs of boxes that meet, so its least value is the least of a sum
    instead of a sum of leasts: bounds get sharper and there are fewer groups to go through. Pairs
    that cost ``below`` or more are left out; None where nothing is left.
    """
    for turn in range(rounds):
        if effort is not None:
            work = _merge_work(boxes)
            if effort.is_over(until - effort.takes(*work)):
                break
            effort.spend(*work)
        found = _merge_once(boxes, below, size_max, 1.0 if turn < 2 else 1.3)
        if found is None:
            break
        boxes = found
    return tidied(boxes)


def _merge_work(boxes: Boxes) -> tuple[int, int]:
    """Operations of one round of merging, and the numbers that they handle."""
    axes, pairs = boxes.low.shape[1], 3 * boxes.groups
    meetings = pairs * (len(boxes.value) // max(1, boxes.groups)) ** 2
    return 60 + 8 * axes, 8 * boxes.groups**2 + meetings * (2 * axes + 14)


def _merge_once(boxes: Boxes, below: float, size_max: int, growth_max: float) -> Boxes | None:
    if boxes.groups < 2:
        return None
    start = boxes.start()
    sizes = np.diff(np.append(start, len(boxes.value)))
    bounded = (boxes.low > 0) | (boxes.high < np.array(boxes.sizes()) - 1)
    uses = np.maximum.reduceat(bounded, start, axis=0)
    first, second = _alike(boxes, uses, sizes, size_max)
    if not len(first):
        return None
    pair, value, low, high = _meetings(boxes, start, sizes, uses, first, second, below)
    counts = np.bincount(pair, minlength=len(first))
    growth = counts / (sizes[first] + sizes[second])
    taken = np.zeros(boxes.groups, dtype=np.bool_)
    chosen = []
    for at in np.argsort(growth, kind="stable"):
        if growth[at] > growth_max:
            break
        a, b = first[at], second[at]
        if counts[at] <= size_max and not taken[a] and not taken[b]:
            taken[a] = taken[b] = True
            chosen.append(at)
    if not chosen:
        return None
    number = np.full(len(first), -1)
    number[chosen] = boxes.groups + np.arange(len(chosen))
    new, stay = number[pair] >= 0, ~taken[boxes.group]
    group = np.concatenate([boxes.group[stay], number[pair[new]]])
    order = np.argsort(group, kind="stable")
    margins = np.concatenate([boxes.margin, boxes.margin[first[chosen]]])
    gone = np.append(taken, np.zeros(len(chosen), dtype=np.bool_))
    renumbered = np.cumsum(~gone) - 1
    owner = np.arange(boxes.groups)
    owner[first[chosen]] = owner[second[chosen]] = boxes.groups + np.arange(len(chosen))
    return replace(
        boxes, owner=renumbered[owner[boxes.owner]],
        group=renumbered[group[order]], margin=margins[~gone],
        value=np.concatenate([boxes.value[stay], value[new]])[order],
        low=np.concatenate([boxes.low[stay], low[new]])[order],
        high=np.concatenate([boxes.high[stay], high[new]])[order],
    )  # fmt: skip


def _alike(boxes: Boxes, uses: Flags, sizes: Ints, size_max: int) -> tuple[Ints, Ints]:
    """For each group the three others with which it shares most of its axes."""
    shared = np.zeros((boxes.groups, boxes.groups), dtype=np.float32)
    packed = np.packbits(uses, axis=1)
    for column in packed.T:
        shared += np.bitwise_count(column[:, None] & column[None, :])
    number = uses.sum(axis=1)
    alike = shared / (number[:, None] + number[None, :] - shared + 1e-9)
    alike -= 0.004 * (sizes[:, None] + sizes[None, :])
    alike[boxes.margin[:, None] != boxes.margin[None, :]] = -np.inf
    alike[sizes[:, None] * sizes[None, :] > 12 * size_max] = -np.inf
    np.fill_diagonal(alike, -np.inf)
    count, every = min(3, boxes.groups - 1), np.arange(boxes.groups)
    first, real = np.tile(every, count), []
    # Of equals the first, as no sort in parts promises.
    best = []
    for _ in range(count):
        best.append(alike.argmax(axis=1))
        real.append(np.isfinite(alike[every, best[-1]]))
        alike[every, best[-1]] = -np.inf
    second, known = np.concatenate(best), np.concatenate(real)
    first, second = first[known], second[known]
    code = distinct(np.minimum(first, second) * boxes.groups + np.maximum(first, second))
    return code // boxes.groups, code % boxes.groups


def _meetings(
    boxes: Boxes, start: Ints, sizes: Ints, uses: Flags, first: Ints, second: Ints, below: float
) -> tuple[Ints, Floats, Ints, Ints]:
    """Every pair of boxes of every pair of groups that meets and costs less than ``below``."""
    pair, within = counted(sizes[first] * sizes[second])
    a = start[first][pair] + within // sizes[second][pair]
    b = start[second][pair] + within % sizes[second][pair]
    both = uses[first] & uses[second]
    alive = np.ones(len(pair), dtype=np.bool_)
    for axis in np.flatnonzero(both.any(axis=0)):
        # Boxes can only miss each other along an axis that both groups depend on.
        rows = np.flatnonzero(both[:, axis][pair] & alive)
        low, high = boxes.low[:, axis].copy(), boxes.high[:, axis].copy()
        one, other = a[rows], b[rows]
        alive[rows] = (low[one] <= high[other]) & (low[other] <= high[one])
    pair, a, b = pair[alive], a[alive], b[alive]
    low = np.maximum(boxes.low[a], boxes.low[b])
    high = np.minimum(boxes.high[a], boxes.high[b])
    cheap = box_costs(boxes.lines, low, high) < below - EPSILON
    return pair[cheap], (boxes.value[a] + boxes.value[b])[cheap], low[cheap], high[cheap]
