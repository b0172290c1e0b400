"""How numbers are spread, in little memory however many there are; sketches can be added.

Numbers are counted by their logarithm, so that each quantile is within 1 % of a true one, whatever
the scale. Method: DDSketch, Masson, Rim and Lee, VLDB 2019.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ACCURACY = 0.01
_GAMMA = (1 + _ACCURACY) / (1 - _ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
#: What is nearer to zero counts as zero.
_LEAST = 1e-12


class Sketch:
    """Counts of numbers by size; NaN and the infinities are left out."""

    def __init__(self) -> None:
        self.zeros = 0
        self._positive: Counter[int] = Counter()
        self._negative: Counter[int] = Counter()

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self.zeros + self._positive.total() + self._negative.total()

    def add(self, other: Sketch) -> None:
        """Count another's numbers too."""
        self.zeros += other.zeros
        self._positive.update(other._positive)
        self._negative.update(other._negative)

    def take(self, numbers: NDArray[np.float64]) -> None:
        """Count ``numbers``."""
        numbers = numbers[np.isfinite(numbers)]
        self.zeros += int((np.abs(numbers) < _LEAST).sum())
        for counts, some in (
            (self._positive, numbers[numbers >= _LEAST]),
            (self._negative, -numbers[numbers <= -_LEAST]),
        ):
            if len(some):
                keys = np.ceil(np.log(some) / _LOG_GAMMA).astype(np.int64)
                found, every = np.unique(keys, return_counts=True)
                counts.update(dict(zip(found.tolist(), every.tolist(), strict=True)))

    def quantile(self, share: float) -> float | None:
        """A number that ``share`` of all are at most, within 1 %; None where there are none."""
        if not self.count:
            return None
        rank = share * (self.count - 1)
        seen = 0
        for key in sorted(self._negative, reverse=True):
            seen += self._negative[key]
            if seen > rank:
                return -_value(key)
        seen += self.zeros
        if seen > rank:
            return 0.0
        for key in sorted(self._positive):
            seen += self._positive[key]
            if seen > rank:
                return _value(key)
        return _value(max(self._positive))


def _value(key: int) -> float:
    """The middle of the numbers that have a key."""
    return float(2 * math.exp(key * _LOG_GAMMA) / (1 + _GAMMA))
