"""Exact interventional Shapley values of trees and linear models over a background, with numpy.

For one background row z, a leaf is reached with the features of a coalition from x and the others
from z exactly where the coalition has every feature of the leaf's path that only x passes (a of
them), none that only z passes (b of them), and no feature passes with neither. Its share is then
``value * (a-1)! b! / (a+b)!`` for each of the a and ``-value * a! (b-1)! / (a+b)!`` for each of the
b. Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9, algorithm 3; the same values as those of
``shap.TreeExplainer(feature_perturbation="interventional")``.
"""

from __future__ import annotations

from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forensics.replay.ensemble import MISSING_IS_ZERO, MISSING_IS_ZERO_OR_NAN, Ensemble

#: Path conditions times rows that are looked at in one turn: 64 MB.
_CELLS_MAX = 64_000_000

Matrix = NDArray[Any]


class Shares(NamedTuple):
    """The base value, the mean margin over the background, and each feature's share of the rest."""

    base: float
    values: Matrix


def shares(ensemble: Ensemble, output: int, row: Matrix, background: Matrix) -> Shares:
    """Shapley values of the margin at ``row`` against every row of ``background``, averaged.

    Args:
        ensemble: the model.
        output: which of its outputs.
        row: ``width`` features, NaN where missing.
        background: ``n`` times ``width`` features.
    """
    width = len(row)
    rows = np.concatenate([row[None, :], background])
    if ensemble.dtype == "f":
        rows = rows.astype("f4")
    rows = rows.astype("f8")
    values = np.zeros(width)
    base = float(ensemble.base[output])
    if ensemble.coefficients:
        weights = np.frombuffer(ensemble.coefficients).reshape(-1, width)[output]
        known = np.where(np.isnan(rows), 0.0, rows)
        values += weights * (known[0] - known[1:].mean(axis=0))
        base += float(weights @ known[1:].mean(axis=0))
    paths = _paths(ensemble, output)
    if paths is None:
        return Shares(base, values)
    weight_x, weight_z = _weights(paths.most)
    here = paths.follows(ensemble, rows[:1])
    turn = max(1, _CELLS_MAX // max(len(paths.node), 1))
    for start in range(1, len(rows), turn):
        there = paths.follows(ensemble, rows[start : start + turn])
        # Along the second axis: one entry for each feature on the path to each leaf.
        only_x, only_z, neither = here & ~there, ~here & there, ~here & ~there
        a = np.add.reduceat(only_x, paths.leaf_starts, axis=1, dtype="i4")
        b = np.add.reduceat(only_z, paths.leaf_starts, axis=1, dtype="i4")
        dead = np.logical_or.reduceat(neither, paths.leaf_starts, axis=1)
        value = np.where(dead, 0.0, paths.value)
        base += float(np.where(a == 0, value, 0.0).sum()) / len(background)
        leaf = paths.leaf
        share = np.where(only_x, (value * weight_x[a, b])[:, leaf], 0.0)
        share -= np.where(only_z, (value * weight_z[a, b])[:, leaf], 0.0)
        values += np.bincount(paths.feature, share.sum(axis=0), width) / len(background)
    return Shares(base, values)


class _Paths(NamedTuple):
    """Every leaf of the trees of one output with the conditions on its path.

    ``node`` and ``left`` are by condition: the node asked, and whether its answer must be left;
    conditions of one feature on the path to one leaf stand together, and ``starts`` has the first
    of each. ``feature`` and ``leaf`` are by such an entry, ``leaf_starts`` and ``value`` by leaf.
    """

    node: Matrix
    left: Matrix
    starts: Matrix
    feature: Matrix
    leaf: Matrix
    leaf_starts: Matrix
    value: Matrix
    most: int

    def follows(self, ensemble: Ensemble, rows: Matrix) -> Matrix:
        """By row and entry, whether the row passes all conditions of the entry."""
        nodes, inverse = np.unique(self.node, return_inverse=True)
        passes = _goes_left(ensemble, nodes, rows)[:, inverse] == self.left
        found: Matrix = np.logical_and.reduceat(passes, self.starts, axis=1)
        return found


def _paths(ensemble: Ensemble, output: int) -> _Paths | None:
    """None where the output has no tree with a split; stumps of one leaf go into no path."""
    conditions: list[tuple[int, bool]] = []
    starts: list[int] = []
    features: list[int] = []
    leaves: list[int] = []
    leaf_starts: list[int] = []
    values: list[float] = []
    most = 0
    for root, of in zip(ensemble.roots, ensemble.output, strict=True):
        if of != output:
            continue
        stack: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(root, ())]
        while stack:
            node, path = stack.pop()
            if ensemble.feature[node] >= 0:
                stack.append((ensemble.left[node], (*path, (node, True))))
                stack.append((ensemble.right[node], (*path, (node, False))))
                continue
            by_feature: dict[int, list[tuple[int, bool]]] = {}
            for condition in path:
                by_feature.setdefault(ensemble.feature[condition[0]], []).append(condition)
            most = max(most, len(by_feature))
            leaf_starts.append(len(features))
            # A tree that is one leaf counts for every row: an entry that all pass stands for it.
            for feature, asked in by_feature.items() or ((0, []),):
                starts.append(len(conditions))
                conditions.extend(asked or [(node, True)])
                features.append(feature)
                leaves.append(len(values))
            values.append(ensemble.value[node])
    if not values:
        return None
    return _Paths(
        np.array([node for node, _ in conditions]),
        np.array([left for _, left in conditions]),
        np.array(starts),
        np.array(features),
        np.array(leaves),
        np.array(leaf_starts),
        np.array(values),
        most,
    )


def _goes_left(ensemble: Ensemble, nodes: Matrix, rows: Matrix) -> Matrix:
    """By row and node, whether the row goes left there; leaves take every row."""
    feature = np.frombuffer(ensemble.feature, "i4")[nodes]
    threshold = np.frombuffer(ensemble.threshold)[nodes]
    missing = np.frombuffer(ensemble.missing, "i1")[nodes]
    default = np.frombuffer(ensemble.default_left, "i1")[nodes] != 0
    values = rows[:, np.maximum(feature, 0)]
    unknown = np.isnan(values)
    filled = np.where(unknown & (missing == MISSING_IS_ZERO), 0.0, values)
    away = unknown & (missing != MISSING_IS_ZERO)
    with np.errstate(invalid="ignore"):
        left = filled < threshold if ensemble.below else filled <= threshold
    left = np.where((missing == MISSING_IS_ZERO_OR_NAN) & (np.abs(values) <= 1e-35), default, left)
    for at, node in enumerate(nodes.tolist()):
        if node in ensemble.sets:  # categories are whole numbers
            left[:, at] = np.isin(np.trunc(filled[:, at]), list(ensemble.sets[node]))
    left = np.where(away, default, left)
    return np.where(feature < 0, True, left)


def _weights(most: int) -> tuple[Matrix, Matrix]:
    """Weights by a and b, those of features that only x passes and that only z passes."""
    size = most + 1
    for_x, for_z = np.zeros((size, size)), np.zeros((size, size))
    for a in range(size):
        for b in range(size):
            whole = factorial(a + b)
            if a:
                for_x[a, b] = factorial(a - 1) * factorial(b) / whole
            if b:
                for_z[a, b] = factorial(a) * factorial(b - 1) / whole
    return for_x, for_z
