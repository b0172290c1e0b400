"""A model as trees or coefficients: what a search for other answers needs to know of it.

    margin(x) = base + sum over trees of the leaf that x reaches + sum of coefficients * x

Nodes of all trees lie one after another. An inner node asks about ``feature``; at a leaf, which has
feature -1, ``value`` is added to the tree's output. Times a coefficient, a missing value counts as
0. A feature that is given as text is its code here: its place in the description's ``categories``.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import NamedTuple

from forensics.replay.runtimes.interface import (
    MISSING_IS_NAN,
    MISSING_IS_ZERO,
    MISSING_IS_ZERO_OR_NAN,
)

__all__ = ["ARRAYS", "MISSING_IS_NAN", "MISSING_IS_ZERO", "MISSING_IS_ZERO_OR_NAN", "Ensemble"]


#: The arrays of an :class:`Ensemble` in its order, with their typecodes.
ARRAYS = {
    "feature": "i",
    "threshold": "d",
    "left": "i",
    "right": "i",
    "default_left": "b",
    "missing": "b",
    "value": "d",
    "roots": "i",
    "output": "i",
    "base": "d",
    "coefficients": "d",
}


class Ensemble(NamedTuple):
    """Trees and coefficients in the model's own order of features.

    Attributes:
        feature: int32 by node, position of the feature asked about, -1 at a leaf.
        threshold: float64 by node.
        left: int32 by node, index of the node for values below the threshold.
        right: int32 by node.
        default_left: int8 by node, where missing values go.
        missing: int8 by node, what counts as missing: one of the constants above.
        value: float64 by node, what a leaf adds, any weight of its tree included.
        roots: int32 by tree, its first node.
        output: int32 by tree, which of the model's outputs it adds to.
        base: float64 by output, the margin without any tree.
        coefficients: float64, ``outputs`` times ``width``, empty for trees alone.
        below: whether values that equal the threshold go right (``<``, as in XGBoost) or left
            (``<=``, as in LightGBM).
        dtype: ``"f"`` where features are rounded to float32 before they are compared, else ``"d"``.
        sets: by node that splits categories, the codes that go left, where a value is truncated to
            a whole number first; any other goes right.
    """

    feature: array[int]
    threshold: array[float]
    left: array[int]
    right: array[int]
    default_left: array[int]
    missing: array[int]
    value: array[float]
    roots: array[int]
    output: array[int]
    base: array[float]
    coefficients: array[float]
    below: bool
    dtype: str
    sets: Mapping[int, frozenset[float]]
