"""Sums over the trees for boxes that are the same but for a few levers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forensics.explain.search.arrays import Floats, Ints
from forensics.explain.search.leaves import Leaves
from forensics.explain.search.words import Words


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
