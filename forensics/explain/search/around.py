"""Sums over the trees for points near each other, and boxes alike but for a few levers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensics.explain.search.arrays import Floats, Ints, places_of
from forensics.explain.search.leaves import Leaves, only
from forensics.explain.search.words import Words


class Beside:
    """The leaves of a margin as they are seen from a point that moves.

    Args:
        leaves: of the margin.
        levers: how many axes are levers', which come first.
    """

    def __init__(self, leaves: Leaves, levers: int) -> None:
        self._leaves = leaves
        self._at = np.full(levers, -1)
        #: By lever and leaf, whether the leaf does not hold the point's cell; and how often so.
        self._outside = np.zeros((levers, self.size), dtype=np.bool_)
        self._missed: Ints = np.zeros(self.size, dtype=np.int64)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._leaves.value)

    def move(self, cells: Ints) -> int:
        """Goes to a point, given by its cells; for how many levers that is another cell."""
        leaves, moved = self._leaves, places_of(self._at != cells)
        for lever in moved:
            off = (leaves.low[:, lever] > cells[lever]) | (leaves.high[:, lever] < cells[lever])
            self._missed += off
            self._missed -= self._outside[lever]
            self._outside[lever] = off
        self._at[:] = cells
        return len(moved)

    def sum(self) -> float:
        """What the leaves that hold the point add up to."""
        return float(self._leaves.value[self._missed == 0].sum())

    def but_for(self, levers: Sequence[int]) -> Leaves:
        """The leaves that hold the point once some levers are free."""
        outside = self._outside[list(levers)].sum(axis=0)
        return only(self._leaves, places_of(outside == self._missed))


class Around:
    """The leaves that such boxes can reach.

    Args:
        leaves: by margin, those that hold what the boxes have in common.
        axes: in which boxes may differ.
        sizes: cells of all axes.
    """

    def __init__(self, leaves: Sequence[Leaves], axes: Sequence[int], sizes: Sequence[int]) -> None:
        self._axes = axes
        self._fixed: list[float] = []
        self._words: list[Words] = []
        for own in leaves:
            _, tree, counts = np.unique(own.tree, return_inverse=True, return_counts=True)
            alone = counts[tree] == 1
            self._fixed.append(float(own.value[alone].sum()))
            group = np.unique(tree[~alone], return_inverse=True)[1]
            low, high = own.low[~alone][:, axes], own.high[~alone][:, axes]
            used = [sizes[axis] for axis in axes]
            self._words.append(Words(group, own.value[~alone], low, high, used))

    def size(self, margin: int) -> int:
        """Numbers that one box takes."""
        return self._words[margin].count * len(self._axes)

    def sums(self, margin: int, first: Ints, last: Ints) -> tuple[Floats, Floats]:
        """By row, the sums of the least and of the greatest leaves of all trees of a margin."""
        low = [first[:, axis] for axis in self._axes]
        high = [last[:, axis] for axis in self._axes]
        fixed = self._fixed[margin]
        if not low:
            total = np.full(len(first), fixed)
            return total, total
        least, most = self._words[margin].bounds(low, high)
        return least + fixed, most + fixed
