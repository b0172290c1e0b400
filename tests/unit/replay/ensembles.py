"""An ensemble evaluated as its documentation says, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from forensics.replay.ensemble import MISSING_IS_NAN, MISSING_IS_ZERO, Ensemble

_ZERO = 1e-35


def margins(model: Ensemble, row: Sequence[float]) -> list[float]:
    """The margin of each output."""
    found = list(model.base)
    for root, output in zip(model.roots, model.output, strict=True):
        found[output] += model.value[_leaf(model, root, row)]
    if model.coefficients:
        width = len(row)
        for output in range(len(found)):
            weights = model.coefficients[output * width : (output + 1) * width]
            found[output] += math.fsum(
                weight * value
                for weight, value in zip(weights, row, strict=True)
                if not math.isnan(value)
            )
    return found


def _leaf(model: Ensemble, at: int, row: Sequence[float]) -> int:
    while model.feature[at] >= 0:
        goes_left = _goes_left(model, at, float(row[model.feature[at]]))
        at = model.left[at] if goes_left else model.right[at]
    return at


def _goes_left(model: Ensemble, at: int, value: float) -> bool:
    kind = model.missing[at]
    if math.isnan(value):
        if kind != MISSING_IS_ZERO:
            return bool(model.default_left[at])
        value = 0.0
    if at in model.sets:
        return math.trunc(value) in model.sets[at]
    if kind not in (MISSING_IS_ZERO, MISSING_IS_NAN) and abs(value) <= _ZERO:
        return bool(model.default_left[at])
    if model.dtype == "f":
        value = float(np.float32(value))
    threshold = model.threshold[at]
    return value < threshold if model.below else value <= threshold
