"""The arrays of an ensemble of trees while a runtime fills them, and the codes of texts.

See :class:`forensics.replay.ensemble.Ensemble` for what each means.
"""

from __future__ import annotations

from array import array
from math import isnan, nan

from forensics.replay.runtimes.interface import ModelRefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any


class Trees:
    """An ensemble that grows by whole trees."""

    def __init__(self, base: Sequence[float]) -> None:
        self.feature = array("i")
        self.threshold = array("d")
        self.left = array("i")
        self.right = array("i")
        self.default_left = array("b")
        self.missing = array("b")
        self.value = array("d")
        self.roots = array("i")
        self.output = array("i")
        self.base = array("d", base)
        self.coefficients = array("d")
        self.sets: dict[int, list[int]] = {}

    def start(self, output: int) -> int:
        """Begins a tree that adds to ``output``; answers the place of its first node."""
        place = len(self.feature)
        self.roots.append(place)
        self.output.append(output)
        return place

    def node(
        self,
        feature: int,
        threshold: float,
        children: tuple[int, int],
        default_left: int,
        missing: int,
    ) -> None:
        """One inner node; ``children`` are places of nodes, ``missing`` is what counts as such."""
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.left.append(children[0])
        self.right.append(children[1])
        self.default_left.append(default_left)
        self.missing.append(missing)
        self.value.append(0.0)

    def leaf(self, value: float) -> None:
        """One leaf."""
        self.feature.append(-1)
        self.threshold.append(0.0)
        self.left.append(-1)
        self.right.append(-1)
        self.default_left.append(0)
        self.missing.append(0)
        self.value.append(value)

    def nodes(
        self,
        feature: Iterable[int],
        threshold: Iterable[float],
        left: Iterable[int],
        right: Iterable[int],
        default_left: bytes,
        missing: bytes,
        value: Iterable[float],
    ) -> None:
        """Many nodes at once, inner ones and leaves, as the arrays have them."""
        self.feature.extend(feature)
        self.threshold.extend(threshold)
        self.left.extend(left)
        self.right.extend(right)
        self.default_left.frombytes(default_left)
        self.missing.frombytes(missing)
        self.value.extend(value)

    def at_missing(self) -> tuple[list[float], list[float]]:
        """The margins of a row without any value, and the sums of their parts' sizes."""
        sums, sizes = list(self.base), [abs(value) for value in self.base]
        for at, output in zip(self.roots, self.output, strict=True):
            while self.feature[at] >= 0:
                at = (self.left if self.default_left[at] else self.right)[at]
            sums[output] += self.value[at]
            sizes[output] += abs(self.value[at])
        return sums, sizes

    def message(self, *, below: bool, dtype: str) -> tuple[dict[str, Any], list[array[Any]]]:
        """What :meth:`forensics.replay.runtimes.interface.Runtime.ensemble` answers."""
        header = {"below": below, "dtype": dtype, "sets": list(self.sets.items())}
        arrays: list[array[Any]] = [
            self.feature, self.threshold, self.left, self.right, self.default_left, self.missing,
            self.value, self.roots, self.output, self.base, self.coefficients,
        ]  # fmt: skip
        return header, arrays


class _Codes(dict[float, float]):
    def __missing__(self, key: float) -> float:
        if isnan(key):  # which is equal to no key, itself included
            return nan
        raise ModelRefusedError(f"a row has text {key:g} of {len(self)}")


def encode(rows: array[float], width: int, codes: Mapping[int, Sequence[float]]) -> array[float]:
    """``rows`` with the places of texts replaced by codes, of which each feature has a list.

    Raises:
        ModelRefusedError: when a place is none of the list's.
    """
    rows = rows[:]
    for at, values in codes.items():
        table = _Codes((float(place), code) for place, code in enumerate(values))
        rows[at::width] = array(rows.typecode, map(table.__getitem__, rows[at::width]))
    return rows
