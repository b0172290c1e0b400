"""Closing a problem: bounds, what they rule out, a search through the rest, or smaller parts."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, spans
from forensics.explain.search.boxes import (
    EPSILON,
    Boxes,
    joined,
    narrowed,
    within_budget,
    without,
)
from forensics.explain.search.branch import Hooks, explore
from forensics.explain.search.dual import Dual
from forensics.explain.search.incumbent import Incumbent
from forensics.explain.search.merging import merged
from forensics.explain.search.quick import answer_from, tables_of

_ROUNDS = 12
#: Where shares are inherited.
_ROUNDS_MORE = 6
_TRIALS = 14
_TURNS_MAX = 4
#: Boxes to go through before a problem is parted: fewer after each time that did not end it.
_NODES_FIRST, _NODES_LEAST, _NODES_MOST = 1500, 128, 4000
#: Words of bits that a search through boxes may need, 8 bytes each, some times over.
_WORDS_MAX = 8_000_000
#: A problem that shrank to less than this is worth another round of bounds.
_SHRUNK = 0.85


class Closed(NamedTuple):
    """No answer of the problem costs less than ``bound``, after looking at so many boxes."""

    bound: float
    nodes: int


class _Part(NamedTuple):
    bound: float
    number: int
    boxes: Boxes
    prices: Floats
    depth: int
    dual: Dual | None


def close(incumbent: Incumbent, boxes: Boxes, hooks: Hooks, until: float) -> Closed:
    """Looks for better answers until none is left or so much work is spent in all.

    The bound is the incumbent's cost where none is left.
    """
    opened = _Opened(incumbent, hooks, until)
    heap = [_Part(0.0, 0, boxes, np.ones(len(boxes.limit)), 0, None)]
    number = 1
    while heap and heap[0].bound < incumbent.cost - EPSILON:
        if incumbent.effort.is_over(until):
            return Closed(heap[0].bound, opened.nodes)
        for child in opened.children(heapq.heappop(heap)):
            heapq.heappush(heap, child._replace(number=number))
            number += 1
    return Closed(incumbent.cost, opened.nodes)


class _Opened:
    def __init__(self, incumbent: Incumbent, hooks: Hooks, until: float) -> None:
        self.incumbent = incumbent
        self.effort = incumbent.effort
        self.hooks = hooks
        self.until = until
        self.nodes = 0
        self._nodes_max = _NODES_FIRST

    def children(self, part: _Part) -> list[_Part]:
        """What is left of a part: nothing, smaller parts, or itself when work is over."""
        boxes = within_budget(part.boxes, self.incumbent.cost, self.effort)
        if boxes is None:
            return []
        part = part._replace(boxes=self._followed(boxes))
        whole = part.depth == 0
        if whole:
            part = part._replace(prices=self._first_prices(part.boxes))
        for turn in range(_TURNS_MAX if whole else 2):
            size = _size(part.boxes)
            if self.effort.is_over(self.until):
                return [part]
            if turn > 0 and (whole or part.depth % 2 == 0):
                cost = self.incumbent.cost
                boxes = merged(part.boxes, cost, effort=self.effort, until=self.until)
                boxes = None if boxes is None else within_budget(boxes, cost, self.effort)
                if boxes is None:
                    return []
                part = part._replace(boxes=boxes)
            bounded = self._bounded(part, turn)
            if bounded is None:
                return []
            part = bounded
            if turn > 0 and _size(part.boxes) > _SHRUNK * size:
                break
        if self.effort.is_over(self.until):
            return [part]
        assert part.dual is not None
        dual = part.dual
        if dual.boxes is not part.boxes:
            dual = self._dual(part)
            _improve(dual, _ROUNDS_MORE, self.incumbent)
        part = part._replace(bound=max(part.bound, dual.bound()), dual=dual)
        return [] if self._is_beaten(part.bound) else self._explored(part, dual)

    def _bounded(self, part: _Part, turn: int) -> _Part | None:
        """A part with a better bound, without what cannot be cheaper; None if all of it is gone."""
        dual = self._dual(part)
        rounds = _ROUNDS if part.dual is None else _ROUNDS_MORE
        if _improve(dual, rounds, self.incumbent):
            return None
        if turn == 0:
            answer_from(self.incumbent, dual)
        if turn == 1 and part.depth == 0:
            dual.climb(self.incumbent.cost - EPSILON, _TRIALS, self.effort, self.until)
        now = dual.bound()
        if self._is_beaten(now):
            return None
        gap = self.incumbent.cost - EPSILON - now
        part = part._replace(bound=max(part.bound, now), prices=dual.prices, dual=dual)
        left = without(part.boxes, dual.spare_boxes(gap), dual.spare_positions(gap))
        if left is part.boxes:
            return part
        if left is not None:
            left = within_budget(joined(left), self.incumbent.cost, self.effort)
        return None if left is None else part._replace(boxes=left)

    def _dual(self, part: _Part) -> Dual:
        dual = Dual(part.boxes, part.prices, part.dual)
        calls, numbers = dual.round_work
        self.effort.spend(4 * calls, 8 * numbers)
        return dual

    def _explored(self, part: _Part, dual: Dual) -> list[_Part]:
        """Goes through the boxes of a part; parts it where that does not come to an end."""
        boxes, bound = part.boxes, part.bound
        if boxes.groups * sum(boxes.sizes()) > _WORDS_MAX:
            lever, first, last = _widest(boxes)
        else:
            outcome = explore(boxes, dual, self.incumbent, self.hooks, self._nodes_max, self.until)
            self.nodes += outcome.nodes
            bound = max(bound, outcome.bound)
            if self._is_beaten(bound):
                self._nodes_max = min(_NODES_MOST, self._nodes_max * 2)
                return []
            self._nodes_max = max(_NODES_LEAST, self._nodes_max // 2)
            assert outcome.part is not None  # nothing is left where nothing was parted
            lever, first, last = outcome.part
        places = np.arange(len(boxes.lines[lever].cost))
        found = []
        for chosen in (places < first, (places >= first) & (places <= last), places > last):
            if not chosen.any():
                continue
            keep: list[Flags | None] = [None] * len(boxes.lines)
            keep[lever] = chosen
            child = narrowed(boxes, keep)
            if child is not None:
                least = max(bound, child.least_cost())
                found.append(_Part(least, 0, joined(child), dual.prices, part.depth + 1, dual))
        return found

    def _is_beaten(self, bound: float) -> bool:
        return bound >= self.incumbent.cost - EPSILON

    def _first_prices(self, boxes: Boxes) -> Floats:
        """Prices at which keeping the limits is worth about what the best answer costs."""
        tables = tables_of(self.incumbent, boxes)
        excess = tables.excess(tables.cheapest())
        finite = np.isfinite(boxes.limit)
        return 2.0 * self.incumbent.cost / np.maximum(excess, 1e-3) / max(1, int(finite.sum()))

    def _followed(self, boxes: Boxes) -> Boxes:
        """With the least that followers add now that levers can do less."""
        space = self.incumbent.space
        if not space.followers:
            return boxes
        first = np.array([[line.origin[0] for line in boxes.lines]])
        last = np.array([[line.origin[-1] for line in boxes.lines]])
        _, _, linear = space.follow(first, last, boxes.limit_margin, boxes.limit_sign)
        return replace(boxes, followed=linear[0])


def _improve(dual: Dual, rounds: int, incumbent: Incumbent) -> bool:
    """Betters the bound in so many rounds; whether it got to what the best answer costs."""
    for turn in range(rounds):
        dual.improve()
        incumbent.effort.spend(*dual.round_work)
        if turn % 3 == 2:
            dual.reprice()
            incumbent.effort.spend(*dual.round_work)
            if dual.bound() >= incumbent.cost - EPSILON:
                return True
    return False


def _widest(boxes: Boxes) -> tuple[int, int, int]:
    """The lever with most cells, and the positions of its cheapest one."""
    lever = int(np.argmax([line.cells for line in boxes.lines]))
    line = boxes.lines[lever]
    first, last = spans(line.cell)
    cell = line.cell[line.cheapest]
    return lever, int(first[cell]), int(last[cell])


def _size(boxes: Boxes) -> int:
    return len(boxes.value) + sum(boxes.sizes())
