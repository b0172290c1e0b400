"""Best-first search through boxes of positions, hundreds at a time.

A box of positions is dropped when its cost bound is no better than what is known, when its limits
cannot be met by the least value of every group, or when the logic allows no answer in it. Its
cheapest point is tried. Otherwise it is parted at that point's cell along the lever that matters
most: the one whose staying there raises the bound most.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import (
    Flags,
    Floats,
    Ints,
    RangeLeast,
    distinct,
    in_all,
    in_some,
    places_of,
)
from forensics.explain.search.boxes import EPSILON, Boxes, Line
from forensics.explain.search.dual import Dual
from forensics.explain.search.incumbent import Incumbent
from forensics.explain.search.words import Words, everything

_BATCH = 128


class Hooks(NamedTuple):
    """What the search asks about boxes of positions on the levers' whole axes.

    Attributes:
        possible: for boxes, and the least of each limit's margin times its sign, whether an answer
            may be in each; None where the limits say all.
        followers: for boxes, first and last cell of each follower, and by limit the least of their
            linear parts; None without followers.
    """

    possible: Callable[[Ints, Ints, Floats], Flags] | None
    followers: Callable[[Ints, Ints], tuple[Ints, Ints, Floats]] | None


class Outcome(NamedTuple):
    """What a search through boxes came to.

    No answer costs less than ``bound``, which is the best one's cost where nothing is left.
    ``part`` says where the whole was parted first: a lever and a range of its positions.
    """

    bound: float
    nodes: int
    part: tuple[int, int, int] | None


class _Block(NamedTuple):
    low: Ints
    high: Ints
    bound: Floats
    cost: Floats

    def some(self, which: Ints | Flags) -> _Block:
        return _Block(self.low[which], self.high[which], self.bound[which], self.cost[which])


class _LeastInCells:
    """Least values over ranges of a long line, whose values fall and then rise within each cell."""

    def __init__(self, line: Line, values: Floats) -> None:
        self._values = values
        self._cell = line.cell
        self._cheapest = line.cheapest
        self._starts = line.starts
        self._cells = RangeLeast(np.minimum.reduceat(values, self._starts))
        self._ends = np.concatenate([self._starts[1:], [len(values)]]) - 1

    def over(self, low: Ints, high: Ints) -> Floats:
        """The least from ``low`` to ``high``, both included."""
        first, last = self._cell[low], self._cell[high]
        found = np.minimum(self._values[low], self._values[high])
        for place in (self._cheapest, self._ends[first], self._starts[last]):
            np.minimum(found, self._values[np.clip(place, low, high)], out=found)
        inner = last - first > 1
        found[inner] = np.minimum(found[inner], self._cells.over(first[inner] + 1, last[inner] - 1))
        return found


def explore(
    boxes: Boxes, dual: Dual, incumbent: Incumbent, hooks: Hooks, nodes_max: int, until: float
) -> Outcome:
    """Looks for better answers until none is left, or so many nodes or so much work is spent."""
    return _Exploration(boxes, dual, incumbent, hooks).run(nodes_max, until)


class _Exploration:
    def __init__(self, boxes: Boxes, dual: Dual, incumbent: Incumbent, hooks: Hooks) -> None:
        self.boxes = boxes
        self.lines = boxes.lines
        self.incumbent = incumbent
        self.effort = incumbent.effort
        self.hooks = hooks
        self.part: tuple[int, int, int] | None = None
        sizes = boxes.sizes()
        self._levers = [at for at, line in enumerate(self.lines) if len(line.cost) > 1]
        self._axes = [at for at, size in enumerate(sizes) if size > 1 or at >= len(self.lines)]
        self._priced = Words(boxes.group, dual.reduced_values(), boxes.low, boxes.high, sizes)
        self._fixed = dual.fixed
        self._left: list[RangeLeast | _LeastInCells] = []
        for at, line in enumerate(self.lines):
            values = dual.position_costs(at)
            simple = line.cells == len(values) or line.linear.any()
            self._left.append(RangeLeast(values) if simple else _LeastInCells(line, values))
        followers = range(len(self.lines), len(sizes))
        self._followers_left = [RangeLeast(dual.position_costs(at)) for at in followers]
        self._plain: list[Words] = []
        for at in range(len(boxes.limit)):
            mine = boxes.of_limit(at)
            group = np.unique(boxes.group[mine], return_inverse=True)[1]
            value = boxes.limit_sign[at] * boxes.value[mine]
            self._plain.append(Words(group, value, boxes.low[mine], boxes.high[mine], sizes))
        #: Numbers that tables of words hold, and that one box of positions takes of them.
        words = sum(own.count for own in (self._priced, *self._plain))
        self._box_work = words * len(self._axes)
        self.effort.spend(20 * len(sizes), 3 * words * sum(sizes) + 20 * boxes.low.size)
        self._linear = [
            [RangeLeast(line.linear[limit]) for limit in range(len(boxes.limit))]
            if line.linear.any() else None
            for line in self.lines
        ]  # fmt: skip
        self._cheapest = np.array([line.cheapest for line in self.lines])
        self._falling = [line.cost[: line.cheapest + 1][::-1] for line in self.lines]
        self._rising = [line.cost[line.cheapest :] for line in self.lines]

    def run(self, nodes_max: int, until: float) -> Outcome:
        count = len(self.lines)
        last = np.array([[len(line.cost) - 1 for line in self.lines]], dtype=np.int64)
        first = np.zeros((1, count), dtype=np.int64)
        least = self.boxes.least_cost()
        root = _Block(first, last, np.array([least]), np.array([least]))
        heap: list[tuple[float, int, _Block]] = [(least, 0, root)]
        number, nodes = 1, 0
        while heap and nodes < nodes_max and heap[0][0] < self.incumbent.cost - EPSILON:
            taken, size = [], 0
            while heap and size < _BATCH and heap[0][0] < self.incumbent.cost - EPSILON:
                taken.append(heapq.heappop(heap)[2])
                size += len(taken[-1].bound)
            block = _joined(taken)
            nodes += len(block.bound)
            self.effort.spend(30 + 15 * len(self.lines), 3 * len(block.bound) * self._box_work)
            children = self._step(block.some(block.bound < self.incumbent.cost - EPSILON))
            for begin in range(0, len(children.bound), _BATCH):
                part = children.some(np.arange(begin, min(begin + _BATCH, len(children.bound))))
                heapq.heappush(heap, (float(part.bound[0]), number, part))
                number += 1
            if self.effort.is_over(until):
                break
        bound = min(heap[0][0], self.incumbent.cost) if heap else self.incumbent.cost
        return Outcome(bound, nodes, self.part)

    def _step(self, block: _Block) -> _Block:
        """The children of all boxes of a block that have to be looked at, best bound first."""
        block, cells = self._bounded(self._tightened(block))
        block, cells = self._within_limits(block, cells)
        if not len(block.bound):
            return block
        corner = np.clip(self._cheapest, block.low, block.high)
        here = self._sums(corner)
        within = in_all(here <= self.boxes.limit)
        answered = np.zeros(len(within), dtype=np.bool_)
        tried = places_of(within)
        if len(tried):
            tried = tried[np.argsort(block.cost[tried], kind="stable")]
            answered[tried] = self.incumbent.try_points(
                self._axis_positions(corner[tried]), block.cost[tried]
            )
        left = ~answered & in_some(block.high > block.low)
        left &= block.bound < self.incumbent.cost - EPSILON
        block, corner, within = block.some(left), corner[left], within[left]
        cells = [(low[left], high[left]) for low, high in cells]
        if not len(block.bound):
            return block
        return self._parted(block, corner, within, cells)

    def _tightened(self, block: _Block) -> _Block:
        """Without positions that alone would cost too much."""
        spare = self.incumbent.cost - EPSILON - block.cost
        low, high = block.low.copy(), block.high.copy()
        for at in self._levers:
            line, centre = self.lines[at], self._cheapest[at]
            here = np.clip(centre, block.low[:, at], block.high[:, at])
            limit = spare + line.cost[here]
            down = np.searchsorted(self._falling[at], limit) - 1
            up = np.searchsorted(self._rising[at], limit) - 1
            low[:, at] = np.maximum(block.low[:, at], centre - down)
            high[:, at] = np.minimum(block.high[:, at], centre + up)
        # Where the range begins beyond the limit only its cheapest position is left.
        corner = np.clip(self._cheapest, block.low, block.high)
        return block._replace(low=np.minimum(low, corner), high=np.maximum(high, corner))

    def _bounded(self, block: _Block) -> tuple[_Block, list[tuple[Ints, Ints]]]:
        """The boxes that priced limits leave, and their cells by axis."""
        cells = self._cells(block.low, block.high)
        bound = np.maximum(block.bound, self._priced_bound(block.low, block.high, cells))
        left = bound < self.incumbent.cost - EPSILON
        cells = [(low[left], high[left]) for low, high in cells]
        return block._replace(bound=bound).some(left), cells

    def _priced_bound(self, low: Ints, high: Ints, cells: list[tuple[Ints, Ints]]) -> Floats:
        found = self._priced.bound([each[0] for each in cells], [each[1] for each in cells])
        for at, left in enumerate(self._left):
            found += left.over(low[:, at], high[:, at])
        return found + self._fixed + self._followers_least(cells)

    def _followers_least(self, cells: list[tuple[Ints, Ints]]) -> Floats | float:
        """What no group bears of followers."""
        own = zip(self._followers_left, cells[len(self.lines) :], strict=True)
        return sum((left.over(low, high) for left, (low, high) in own), 0.0)

    def _within_limits(
        self, block: _Block, cells: list[tuple[Ints, Ints]]
    ) -> tuple[_Block, list[tuple[Ints, Ints]]]:
        """The boxes in which every limit, alone, and the logic can be met."""
        if not len(block.bound):
            return block, cells
        least = self._least_sums(block.low, block.high, cells)
        left = in_all(least <= self.boxes.limit)
        if self.hooks.possible is not None and left.any():
            at = places_of(left)
            low, high = self._axis_positions(block.low[at]), self._axis_positions(block.high[at])
            left[at] = self.hooks.possible(low, high, least[at] + self.boxes.moved)
        return block.some(left), [(low[left], high[left]) for low, high in cells]

    def _least_sums(self, low: Ints, high: Ints, cells: list[tuple[Ints, Ints]]) -> Floats:
        found = np.empty((len(low), len(self._plain)))
        followed = self._followed(low, high) if self.hooks.followers is not None else None
        for limit, words in enumerate(self._plain):
            found[:, limit] = words.bound([each[0] for each in cells], [each[1] for each in cells])
            for at, linear in enumerate(self._linear):
                if linear is not None:
                    found[:, limit] += linear[limit].over(low[:, at], high[:, at])
        return found if followed is None else found + followed[2]

    def _sums(self, points: Ints) -> Floats:
        return self._least_sums(points, points, self._cells(points, points))

    def _cells(self, low: Ints, high: Ints) -> list[tuple[Ints, Ints]]:
        found = [
            (line.cell[low[:, at]], line.cell[high[:, at]]) for at, line in enumerate(self.lines)
        ]
        if self.hooks.followers is not None:
            first, last, _ = self._followed(low, high)
            found += [(first[:, at], last[:, at]) for at in range(first.shape[1])]
        return found

    def _followed(self, low: Ints, high: Ints) -> tuple[Ints, Ints, Floats]:
        assert self.hooks.followers is not None
        return self.hooks.followers(self._axis_positions(low), self._axis_positions(high))

    def _axis_positions(self, positions: Ints) -> Ints:
        return np.stack(
            [line.origin[positions[:, at]] for at, line in enumerate(self.lines)], axis=1
        )

    def _parted(
        self, block: _Block, corner: Ints, within: Flags, cells: list[tuple[Ints, Ints]]
    ) -> _Block:
        """The boxes parted along the lever that matters most."""
        first, last = self._pieces(block, corner)
        worth = np.full((len(corner), len(self.lines)), -np.inf)
        trees = ~within & in_some((first > block.low) | (last < block.high))
        at = places_of(trees)
        if len(at):
            some = [(low[at], high[at]) for low, high in cells]
            worth[at] = self._staying(block.some(at), first[at], last[at], some)
        at = places_of(~trees)
        if len(at):
            low, high = block.low[at], block.high[at]
            middle = (low + high) // 2
            # Where a lever stays within one cell anyway, its range is halved.
            alike = (first[at] == low) & (last[at] == high)
            last[at] = np.where(alike, middle, last[at])
            worth[at] = self._halving(block.some(at), first[at], last[at])
        pick = worth.argmax(axis=1)
        rows = np.arange(len(pick))
        if self.part is None:
            lever = int(pick[0])
            self.part = lever, int(first[0, lever]), int(last[0, lever])
        return self._children(
            block, pick, first[rows, pick], last[rows, pick], worth[rows, pick], trees
        )

    def _pieces(self, block: _Block, corner: Ints) -> tuple[Ints, Ints]:
        """By box and lever, the positions in the same cell as the cheapest point."""
        first, last = np.empty_like(corner), np.empty_like(corner)
        for at, line in enumerate(self.lines):
            cell = line.cell[corner[:, at]]
            first[:, at] = np.searchsorted(line.cell, cell)
            last[:, at] = np.searchsorted(line.cell, cell, side="right") - 1
        return np.maximum(first, block.low), np.minimum(last, block.high)

    def _staying(
        self, block: _Block, first: Ints, last: Ints, cells: list[tuple[Ints, Ints]]
    ) -> Floats:
        """By box and lever, the priced bound if the lever stayed in its cheapest cell."""
        size, words = len(first), self._priced
        worth = np.full((size, len(self.lines)), -np.inf)
        left = [
            self._left[at].over(block.low[:, at], block.high[:, at])
            for at in range(len(self.lines))
        ]
        base = np.sum(left, axis=0) + self._fixed + self._followers_least(cells)
        axes = self._axes
        if not words.count or not axes:
            for at in self._levers:
                own = self._left[at].over(first[:, at], last[:, at])
                worth[:, at] = base - left[at] + own
            worth[(first == block.low) & (last == block.high)] = -np.inf
            return worth
        masks = [words.meeting(axis, *cells[axis]) for axis in axes]
        after = [everything(size, words.count)]
        for mask in masks[::-1]:
            after.append(after[-1] & mask)
        after.reverse()
        before = everything(size, words.count)
        for place, axis in enumerate(axes):
            if axis < len(self.lines):
                moves = (first[:, axis] > block.low[:, axis]) | (
                    last[:, axis] < block.high[:, axis]
                )
                rows = places_of(moves)
                if len(rows):
                    cell = self.lines[axis].cell[first[rows, axis]]
                    leaves = words.meeting(axis, cell, cell)
                    leaves &= before[rows]
                    leaves &= after[place + 1][rows]
                    own = self._left[axis].over(first[rows, axis], last[rows, axis])
                    worth[rows, axis] = words.least(leaves) + base[rows] - left[axis][rows] + own
            before &= masks[place]
        return worth

    def _halving(self, block: _Block, first: Ints, last: Ints) -> Floats:
        """By box and lever, how many of the parts the logic would refuse; then how wide it is."""
        width = (block.high - block.low).astype(np.float64)
        worth = np.where(width > 0, width / (1.0 + width), -np.inf)
        if self.hooks.possible is None:
            return worth
        unbounded = np.full((len(first), len(self.boxes.limit)), -np.inf)
        for at in self._levers:
            rows = places_of(width[:, at] > 0)
            for low, high in ((first, last), (None, first - 1), (last + 1, None)):
                begin, end = block.low[rows].copy(), block.high[rows].copy()
                if low is not None:
                    begin[:, at] = low[rows, at]
                if high is not None:
                    end[:, at] = high[rows, at]
                real = places_of(begin[:, at] <= end[:, at])
                if len(real):
                    asked = self.hooks.possible(
                        self._axis_positions(begin[real]), self._axis_positions(end[real]),
                        unbounded[rows[real]],
                    )  # fmt: skip
                    worth[rows[real], at] += ~asked
        return worth

    def _children(
        self, block: _Block, pick: Ints, first: Ints, last: Ints, worth: Floats, trees: Flags
    ) -> _Block:
        rows = np.arange(len(pick))
        others = block.cost - self._costs_of(pick, block.low[rows, pick], block.high[rows, pick])
        found = []
        low, high = block.low.copy(), block.high.copy()
        low[rows, pick], high[rows, pick] = first, last
        stays = others + self._costs_of(pick, first, last)
        bound = np.maximum(block.bound, np.where(trees, worth, stays))
        found.append(_Block(low, high, bound, stays))
        for begin, end in ((block.low[rows, pick], first - 1), (last + 1, block.high[rows, pick])):
            real = begin <= end
            at = rows[real]
            low, high = block.low[real].copy(), block.high[real].copy()
            low[np.arange(len(at)), pick[real]] = begin[real]
            high[np.arange(len(at)), pick[real]] = end[real]
            moved = others[real] + self._costs_of(pick[real], begin[real], end[real])
            found.append(_Block(low, high, np.maximum(block.bound[real], moved), moved))
        children = _joined(found)
        children = children.some(children.bound < self.incumbent.cost - EPSILON)
        return children.some(np.argsort(children.bound, kind="stable"))

    def _costs_of(self, levers: Ints, first: Ints, last: Ints) -> Floats:
        """The least cost of one lever each, within a range."""
        found = np.empty(len(levers))
        for at in distinct(levers):
            mine = levers == at
            here = np.clip(self._cheapest[at], first[mine], last[mine])
            found[mine] = self.lines[at].cost[here]
        return found


def _joined(blocks: list[_Block]) -> _Block:
    if len(blocks) == 1:
        return blocks[0]
    return _Block(
        np.concatenate([block.low for block in blocks]),
        np.concatenate([block.high for block in blocks]),
        np.concatenate([block.bound for block in blocks]),
        np.concatenate([block.cost for block in blocks]),
    )
