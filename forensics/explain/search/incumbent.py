"""The best answer so far, and the one place where a point becomes an answer."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, Ints, places_of
from forensics.explain.search.boxes import EPSILON, Boxes
from forensics.explain.search.problem import Verify
from forensics.explain.search.space import Space
from forensics.explain.search.tables import Tables

_AT_ONCE = 32
#: What it takes to ask the real decision, in operations: a message to another process and back.
VERIFY_CALLS = 400


class Incumbent:
    """The cheapest answer found, by its positions on the levers' axes.

    A point is an answer when the logic surely gives a wanted outcome for it, with its scores off
    either way. Where the logic cannot tell, the real decision is asked.

    Attributes:
        cost: of the best answer, more than any point costs where there is none.
        point: the best answer.
        refused: points that the real decision did not confirm.
    """

    def __init__(
        self, space: Space, wanted: Collection[str], verify: Verify | None,
        refused: set[tuple[int, ...]],
    ) -> None:  # fmt: skip
        self.space = space
        self.cost = space.ceiling
        self.point: Ints | None = None
        self.refused = refused
        self.effort = space.effort
        self._wanted = wanted
        self._verify = verify

    def try_points(self, points: Ints, costs: Floats) -> Flags:
        """Whether each point is an answer; stops at the first, cheapest first."""
        found = np.zeros(len(points), dtype=np.bool_)
        order = np.argsort(costs, kind="stable")
        for begin in range(0, len(order), _AT_ONCE):
            some = order[begin : begin + _AT_ONCE]
            some = some[costs[some] < self.cost - EPSILON]
            if not len(some):
                break
            at = self._first_answer(points[some])
            if at is not None:
                found[some[at]] = True
                self.cost, self.point = float(costs[some[at]]), points[some[at]].copy()
                break
        return found

    def try_cells(self, tables: Tables, points: Ints) -> Ints | None:
        """The first of points that is an answer; they are cells of tables, cheapest first."""
        lines = tables.boxes.lines
        chosen = [line.origin[line.representative] for line in lines]
        # The first is one nearly always.
        for begin in (0, *range(1, len(points), _AT_ONCE)):
            some = points[begin : begin + _AT_ONCE if begin else 1]
            if not len(some):
                break
            positions = np.stack([origin[some[:, at]] for at, origin in enumerate(chosen)], axis=1)
            costs = np.array([tables.cost(point) for point in some])
            answered = self.try_points(positions, costs)
            if answered.any():
                return np.asarray(some[int(answered.argmax())])
        return None

    def cells(self, boxes: Boxes) -> Ints | None:
        """The best answer as cells of a problem; None if it is not in it."""
        if self.point is None:
            return None
        found = np.empty(len(boxes.lines), dtype=np.int64)
        for at, line in enumerate(boxes.lines):
            place = int(np.searchsorted(line.origin, self.point[at]))
            if place == len(line.origin) or line.origin[place] != self.point[at]:
                return None
            found[at] = line.cell[place]
        return found

    def _first_answer(self, points: Ints) -> int | None:
        """The first of some points that is an answer."""
        sure, maybe = self.space.judged(points)
        fresh = np.array([tuple(point) not in self.refused for point in points.tolist()])
        certain = places_of(sure & fresh)
        first = int(certain[0]) if len(certain) else len(points)
        asked = places_of(maybe[:first] & fresh[:first])
        if len(asked) and self._verify is not None:
            self.effort.spend(VERIFY_CALLS + len(asked))
            said = self._verify([self.space.settings(points[at]) for at in asked])
            for at, outcome in zip(asked, said, strict=True):
                if outcome in self._wanted:
                    return int(at)
                self.refused.add(tuple(points[at].tolist()))
        return first if first < len(points) else None
