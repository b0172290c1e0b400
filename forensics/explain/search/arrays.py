"""Names for kinds of arrays, and what several modules do with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer[Any]]


def in_all(flags: Flags) -> Flags:
    """By row, whether all of it is true."""
    return np.asarray(flags.all(axis=1))


def in_some(flags: Flags) -> Flags:
    """By row, whether any of it is true."""
    return np.asarray(flags.any(axis=1))


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The different values, in order, as ``np.unique``: that one imports numpy.ma, 20 ms."""
    ordered = np.sort(values, axis=None)
    first = np.ones(len(ordered), np.bool_)
    # NaN comes last and equals nothing; one is kept.
    first[1:] = (ordered[1:] != ordered[:-1]) & (ordered[:-1] == ordered[:-1])
    return ordered[first]


def places_of(flags: Flags) -> Ints:
    """The places of a row that are true, as ``np.flatnonzero`` without what that does besides."""
    return flags.nonzero()[0]


def added(places: Ints, amounts: Floats, size: int) -> Floats:
    """By place, the sum of the amounts that belong there."""
    found: Any = np.bincount(places, amounts, size)
    return np.asarray(found)


def spans(values: Ints) -> tuple[Ints, Ints]:
    """First and last place of each run of equal values."""
    changes = (values[1:] != values[:-1]).nonzero()[0]
    first = np.zeros(len(changes) + 1, dtype=np.int64)
    last = np.empty(len(changes) + 1, dtype=np.int64)
    first[1:], last[:-1], last[-1] = changes, changes, len(values) - 1
    first[1:] += 1
    return first, last


def counted(counts: Ints) -> tuple[Ints, Ints]:
    """For so many of each: of which each one is, and how many of the same came before it."""
    which = np.arange(len(counts)).repeat(counts)
    return which, np.arange(len(which)) - (counts.cumsum() - counts)[which]


def leasts(values: Floats) -> Floats:
    """Leasts over powers of two: row k, at each place, of the 2**k values from there on."""
    rows = [values]
    width = 1
    while 2 * width <= len(values):
        row = rows[-1].copy()
        row[: len(values) - width] = np.minimum(rows[-1][:-width], rows[-1][width:])
        rows.append(row)
        width *= 2
    return np.concatenate(rows)


class RangeLeast:
    """Least values over ranges, in one step each."""

    def __init__(self, values: Floats) -> None:
        self._size = len(values)
        self._table = leasts(values)
        self._level = np.frexp(np.arange(1.0, len(values) + 1))[1].astype(np.int64) - 1

    def over(self, low: Ints, high: Ints) -> Floats:
        """The least from ``low`` to ``high``, both included."""
        level = self._level[high - low]
        row = level * self._size
        found: Floats = np.minimum(
            self._table[row + low], self._table[row + high + 1 - (1 << level)]
        )
        return found
