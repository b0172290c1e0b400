"""Which rows of a batch have the same in several columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]

#: Numbers of combinations up to here are counted in a table, beyond it sorted.
_TABLE_MAX = 1 << 20
_COMBINED_MAX = 1 << 40


class Groups(NamedTuple):
    """``codes[row]`` is the group of a row, ``first[group]`` its first row."""

    codes: Longs
    first: Longs

    def rows(self, group: int) -> Longs | None:
        """The rows of a group; None where it is all."""
        return None if len(self.first) == 1 else np.flatnonzero(self.codes == group)


def grouped(columns: Iterable[NDArray[np.integer[Any]]], rows: int) -> Groups:
    """Groups of rows that have the same in all ``columns``, whose values are -1 or more."""
    combined = np.zeros(rows, np.int64)
    size = 1
    for column in columns:
        if is_constant(column):
            continue
        low, high = int(column.min()), int(column.max())
        if size * (high - low + 1) > _COMBINED_MAX:
            combined, first = _compact(combined, size)
            size = len(first)
        combined = combined * (high - low + 1) + (column - low)
        size *= high - low + 1
    if size == 1:
        return Groups(combined, np.zeros(min(rows, 1), np.int64))
    return Groups(*_compact(combined, size))


def is_constant(column: NDArray[np.integer[Any]]) -> bool:
    """Whether all values are the same; at once where the array was made by :func:`same`."""
    return not len(column) or column.strides == (0,) or bool((column == column[0]).all())


def same(value: int, count: int) -> Ints:
    """``value`` for each of ``count`` rows, in no memory; not to be written to."""
    return np.broadcast_to(np.int32(value), count)


def distinct(values: NDArray[np.float64]) -> Longs:
    """Places of the values among the different ones, bit by bit: what is grouped by."""
    bits = np.ascontiguousarray(values).view(np.int64)
    if not len(bits) or (bits == bits[0]).all():
        return np.zeros(len(bits), np.int64)
    return np.unique(bits, return_inverse=True)[1].astype(np.int64)


def _compact(combined: Longs, size: int) -> tuple[Longs, Longs]:
    """Numbers without holes for ``combined``, all below ``size``, and the first row of each."""
    if size > _TABLE_MAX:
        _, first, codes = np.unique(combined, return_index=True, return_inverse=True)
        return codes.astype(np.int64), first
    table = np.full(size, len(combined), np.int64)
    # Assigned in reverse, the first row of each number is what stays.
    table[combined[::-1]] = np.arange(len(combined) - 1, -1, -1)
    there = np.flatnonzero(table < len(combined))
    first = table[there]
    table[there] = np.arange(len(there))
    return table[combined], first
