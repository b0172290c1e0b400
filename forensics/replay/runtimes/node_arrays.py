"""The arrays of an ensemble, gathered from trees that lie in numpy arrays already."""

from __future__ import annotations

from array import array

import numpy

from forensics.replay.ensemble import ARRAYS, MISSING_IS_NAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NodeArrays:
    """Trees whose nodes send NaN to a side of their own and equal values to the left."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Any]] = {name: [] for name in ARRAYS}
        self._count = 0

    def add(
        self,
        output: int,
        feature: Any,
        threshold: Any,
        children: tuple[Any, Any],
        default_left: Any,
        value: Any,
    ) -> None:
        """Takes one tree: arrays by node, where a leaf has a feature below 0.

        ``children`` are places within the tree; whatever a leaf has of them, of a threshold or of a
        side for NaN, and an inner node of a value, is passed over.
        """
        leaf = numpy.asarray(feature) < 0
        parts = self._parts
        parts["feature"].append(numpy.where(leaf, -1, feature))
        parts["threshold"].append(numpy.where(leaf, 0, threshold))
        for name, child in zip(("left", "right"), children, strict=True):
            parts[name].append(numpy.where(leaf, -1, child + self._count))
        parts["default_left"].append(numpy.where(leaf, 0, default_left))
        parts["missing"].append(numpy.where(leaf, 0, MISSING_IS_NAN))
        parts["value"].append(numpy.where(leaf, value, 0))
        parts["roots"].append([self._count])
        parts["output"].append([output])
        self._count += len(leaf)

    def arrays(self, base: Any, coefficients: Any = ()) -> list[array[Any]]:
        """The arrays of an ensemble in their order."""
        self._parts["base"].append(numpy.ravel(base))
        self._parts["coefficients"].append(numpy.ravel(coefficients))
        return [
            array(code, numpy.concatenate([[], *self._parts[name]]).astype(code).tobytes())
            for name, code in ARRAYS.items()
        ]
