"""Interventional values of trees: against the definition, on trees of every kind that occurs."""

from __future__ import annotations

import math
from array import array
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.explain.interventional import shares
from forensics.replay.ensemble import (
    MISSING_IS_NAN,
    MISSING_IS_ZERO,
    MISSING_IS_ZERO_OR_NAN,
    Ensemble,
)

WIDTH = 4
GRID = (-1.0, 0.0, 1e-36, 0.1, float(np.float32(0.1)), 0.5, 1.0, 2.0, math.nan)


def random_ensemble(draws: Any, outputs: int) -> Ensemble:
    """Trees of random depth over ``WIDTH`` features with every kind of node."""
    nodes: dict[str, list[Any]] = {name: [] for name in Ensemble._fields[:7]}
    sets: dict[int, frozenset[float]] = {}

    def grow(depth: int) -> int:
        at = len(nodes["feature"])
        is_leaf = depth == 0 or draws.random() < 0.2
        nodes["feature"].append(-1 if is_leaf else draws.integers(WIDTH))
        nodes["threshold"].append(draws.choice([-0.5, 0.0, 0.1, float(np.float32(0.1)), 0.5, 1.0]))
        nodes["left"].append(0)
        nodes["right"].append(0)
        nodes["default_left"].append(draws.integers(2))
        nodes["missing"].append(draws.integers(3))
        nodes["value"].append(draws.normal() if is_leaf else 0.0)
        if not is_leaf:
            if draws.random() < 0.15:
                sets[at] = frozenset(draws.choice([-1.0, 0.0, 1.0, 2.0], size=2).tolist())
            nodes["left"][at] = grow(depth - 1)
            nodes["right"][at] = grow(depth - 1)
        return at

    roots = [grow(int(draws.integers(5))) for _ in range(6)]
    codes = {"threshold": "d", "value": "d", "default_left": "b", "missing": "b"}
    return Ensemble(
        **{name: array(codes.get(name, "i"), values) for name, values in nodes.items()},
        roots=array("i", roots),
        output=array("i", [at % outputs for at in range(len(roots))]),
        base=array("d", draws.normal(size=outputs)),
        coefficients=array("d", draws.normal(size=outputs * WIDTH) if draws.random() < 0.5 else []),
        below=bool(draws.integers(2)),
        dtype="f" if draws.integers(2) else "d",
        sets=sets,
    )


def margin(ensemble: Ensemble, output: int, row: Any) -> float:
    """The documented meaning of an ensemble, node by node."""
    total = ensemble.base[output]
    if ensemble.coefficients:
        weights = ensemble.coefficients[output * WIDTH : (output + 1) * WIDTH]
        total += sum(w * (0.0 if math.isnan(v) else v) for w, v in zip(weights, row, strict=True))
    for root, of in zip(ensemble.roots, ensemble.output, strict=True):
        node = root
        while of == output and ensemble.feature[node] >= 0:
            value = float(row[ensemble.feature[node]])
            missing = ensemble.missing[node]
            unknown = math.isnan(value)
            if unknown and missing != MISSING_IS_ZERO:
                left = bool(ensemble.default_left[node])
            elif node in ensemble.sets:
                left = math.trunc(0.0 if unknown else value) in ensemble.sets[node]
            elif missing == MISSING_IS_ZERO_OR_NAN and abs(value) <= 1e-35:
                left = bool(ensemble.default_left[node])
            else:
                value = 0.0 if unknown else value
                limit = ensemble.threshold[node]
                left = value < limit if ensemble.below else value <= limit
            node = (ensemble.left if left else ensemble.right)[node]
        if of == output:
            total += ensemble.value[node]
    return total


def by_definition(ensemble: Ensemble, output: int, row: Any, background: Any) -> Any:
    found = np.zeros(WIDTH)
    orders = list(permutations(range(WIDTH)))
    for order in orders:
        rows = background.copy()
        last = np.mean([margin(ensemble, output, each) for each in rows])
        for at in order:
            rows[:, at] = row[at]
            new = np.mean([margin(ensemble, output, each) for each in rows])
            found[at] += (new - last) / len(orders)
            last = new
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_values_are_those_of_the_definition(seed: int, outputs: int) -> None:
    draws = np.random.default_rng(seed)
    ensemble = random_ensemble(draws, outputs)
    rows = draws.choice(GRID, size=(5, WIDTH))
    if ensemble.dtype == "f":
        rows = rows.astype("f4").astype("f8")
    output = int(draws.integers(outputs))
    found = shares(ensemble, output, rows[0], rows[1:])
    expected = by_definition(ensemble, output, rows[0], rows[1:])
    assert found.values == pytest.approx(expected, abs=1e-9)
    mean = np.mean([margin(ensemble, output, row) for row in rows[1:]])
    assert found.base == pytest.approx(mean, abs=1e-9)
    total = found.base + found.values.sum()
    assert total == pytest.approx(margin(ensemble, output, rows[0]), abs=1e-9)


def test_a_background_of_many_turns_gives_what_one_turn_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = np.random.default_rng(3)
    ensemble = random_ensemble(draws, 1)
    rows = draws.choice(GRID, size=(40, WIDTH))
    whole = shares(ensemble, 0, rows[0], rows[1:])
    monkeypatch.setattr("forensics.explain.interventional._CELLS_MAX", 200)
    parts = shares(ensemble, 0, rows[0], rows[1:])
    assert parts.values == pytest.approx(whole.values, abs=1e-12)
    assert parts.base == pytest.approx(whole.base, abs=1e-12)


def test_features_are_rounded_as_the_library_rounds_them() -> None:
    """0.1 in double precision is below the float32 nearest to it, and in float32 equal to it."""
    cut = float(np.float32(0.1))
    tree = Ensemble(
        feature=array("i", [0, -1, -1]), threshold=array("d", [cut, 0, 0]),
        left=array("i", [1, 0, 0]), right=array("i", [2, 0, 0]),
        default_left=array("b", [1, 0, 0]), missing=array("b", [MISSING_IS_NAN, 0, 0]),
        value=array("d", [0, -1, 1]), roots=array("i", [0]), output=array("i", [0]),
        base=array("d", [0.0]), coefficients=array("d"), below=True, dtype="f", sets={},
    )  # fmt: skip
    row, background = np.array([0.1]), np.array([[0.0]])
    assert shares(tree, 0, row, background).values.tolist() == [2.0]
    assert shares(tree._replace(dtype="d"), 0, row, background).values.tolist() == [0.0]
