"""Sums of leasts over many boxes of the search at once, 63 leaves to a machine word.

The leaves of a group are sorted by value and each gets a bit. For every axis and cell a table holds
the leaves that reach to it or beyond, from either side; the leaves that meet a box are the AND of
two rows for each axis, and the least of them is the lowest bit that is set. The idea of evaluating
trees by bit masks is that of QuickScorer (Lucchese et al., 2015), here for ranges instead of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from forensics.explain.search.arrays import Floats, Ints

Bits = npt.NDArray[np.uint64]

_LEAVES = 63
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
#: The highest bit of a word stands for "no leaf": endless, and always there.
_END = np.uint64(1) << np.uint64(_LEAVES)
#: Boxes at a time: what is in use at once should fit the processor's cache.
_CHUNK = 256


class Words:
    """Bit tables of some groups of leaves.

    Args:
        group: by leaf, ascending from 0 without gaps.
        value: by leaf.
        low: first cell by leaf and axis.
        high: last cell.
        sizes: cells of each axis.
    """

    def __init__(
        self, group: Ints, value: Floats, low: Ints, high: Ints, sizes: Sequence[int]
    ) -> None:
        order = np.lexsort((value, group))
        group, value, low, high = group[order], value[order], low[order], high[order]
        counts = np.bincount(group)
        rank = np.arange(len(group)) - (counts.cumsum() - counts)[group]
        words = -(-counts // _LEAVES)
        first_word = words.cumsum() - words
        word, bit = first_word[group] + rank // _LEAVES, rank % _LEAVES
        self.count = int(words.sum())
        self._first_word = first_word if (words > 1).any() else None
        flags = np.uint64(1) << bit.astype(np.uint64)
        #: By axis, cell and word: the leaves that end there or later; that begin there or earlier.
        self.reach: list[Bits] = []
        self.begun: list[Bits] = []
        for axis, size in enumerate(sizes):
            reach, begun = (
                np.zeros((size, self.count), np.uint64),
                np.zeros((size, self.count), np.uint64),
            )
            np.bitwise_or.at(reach, (high[:, axis], word), flags)
            np.bitwise_or.at(begun, (low[:, axis], word), flags)
            np.bitwise_or.accumulate(reach[::-1], axis=0, out=reach[::-1])
            np.bitwise_or.accumulate(begun, axis=0, out=begun)
            self.reach.append(reach | _END)
            self.begun.append(begun | _END)
        table = np.full((self.count, _LEAVES + 1), np.inf)
        table[word, bit] = value
        self._table = table.ravel()
        # A power of two as a double holds its exponent, 1023 too large, from bit 52 on.
        self._place = np.arange(self.count) * (_LEAVES + 1) - 1023

    def meeting(self, axis: int, low: Ints, high: Ints) -> Bits:
        """The leaves that meet ranges of cells of one axis, by box and word."""
        found = self.reach[axis].take(low, axis=0)
        found &= self.begun[axis].take(high, axis=0)
        return found

    def least(self, leaves: Bits) -> Floats:
        """By box, the sum over groups of the least value among its leaves; infinite without any."""
        lowest = np.negative(leaves)
        lowest &= leaves
        values = self._values(lowest)
        if self._first_word is not None:
            values = np.minimum.reduceat(values, self._first_word, axis=1)
        found: Floats = values.sum(axis=1)
        return found

    def most(self, leaves: Bits) -> Floats:
        """By box, the sum over groups of the greatest value among its leaves."""
        highest = leaves & ~_END
        none = highest == 0
        # Whatever follows the highest bit must not round it up to the next.
        highest &= ~(highest >> np.uint64(1))
        highest[none] = _END
        values = self._values(highest)
        values[none] = -np.inf
        if self._first_word is not None:
            values = np.maximum.reduceat(values, self._first_word, axis=1)
        found: Floats = values.sum(axis=1)
        return found

    def _values(self, bits: Bits) -> Floats:
        """By box and word, the value of the leaf whose bit is the highest that is set."""
        place = bits.astype(np.float64).view(np.int64)
        place >>= 52
        place += self._place
        return self._table.take(place)

    def bound(self, low: Sequence[Ints], high: Sequence[Ints]) -> Floats:
        """The sums of leasts for boxes given by their cells, axis by axis."""
        return self._over(low, high, (self.least,))[0]

    def bounds(self, low: Sequence[Ints], high: Sequence[Ints]) -> tuple[Floats, Floats]:
        """The sums of leasts, and those of the greatest values."""
        least, most = self._over(low, high, (self.least, self.most))
        return least, most

    def _over(
        self, low: Sequence[Ints], high: Sequence[Ints], sums: Sequence[Callable[[Bits], Floats]]
    ) -> list[Floats]:
        size = len(low[0])
        found = [np.zeros(size) for _ in sums]
        for begin in range(0, size if self.count else 0, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            leaves = self.meeting(0, low[0][part], high[0][part])
            for axis in range(1, len(low)):
                leaves &= self.meeting(axis, low[axis][part], high[axis][part])
            for own, of in zip(found, sums, strict=True):
                own[part] = of(leaves)
        return found


def everything(boxes: int, words: int) -> Bits:
    """Masks that leave nothing out."""
    return np.full((boxes, words), _ALL)
