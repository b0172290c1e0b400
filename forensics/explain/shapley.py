"""Shapley values of any model over a background, by shap: the one module that imports it.

shap only sees places, never values: 0 is the decision's own value of a feature and k that of the
k-th background row. Its own comparison of values takes 50,000 and 50,000.3 for the same, which
would be wrong beside a cut point, and it can neither hold text nor tell one missing value from
another. Its silent cut of a background to 100 rows is switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forensics.errors import DependencyError, UsageError

#: Up to so many features that differ from the background all coalitions are asked.
EXACT_FEATURES_MAX = 12
#: Pairs of a random order and its reverse; their spread is the error that is stated.
_PAIRS = 32
_PAIRS_MIN = 8
#: More questions to the model than these are refused: the background is to be made smaller.
_ROWS_MAX = 20_000_000
#: Rows in one question.
_BATCH_ROWS = 65_536

Matrix = NDArray[Any]
#: Answers of the model, one for each row of a matrix.
Model = Callable[[Matrix], Matrix]


class Values(NamedTuple):
    """The mean answer over the background, and each feature's share of the difference to it.

    ``standard_errors`` are zero where ``exact``; else they are those of ``values``.
    """

    base: float
    values: Matrix
    standard_errors: Matrix
    exact: bool
    method: str


def shapley_values(model: Model, row: Matrix, background: Matrix, *, seed: int) -> Values:
    """Interventional Shapley values of ``model`` at ``row`` over all rows of ``background``.

    Args:
        model: answers rows of features; text is given as a place in a list of texts.
        row: ``width`` features, NaN where missing.
        background: ``n`` times ``width`` features.
        seed: of the random orders, where there are too many features for all coalitions.

    Raises:
        DependencyError: when shap is not installed.
        UsageError: when background and features would need too many answers of the model.
    """
    rows, width = background.shape
    differs = ~((background == row) | (np.isnan(background) & np.isnan(row)))
    places = np.where(differs, np.arange(1, rows + 1)[:, None], 0).astype("f8")
    varying = int(differs.any(axis=0).sum())
    exact = varying <= EXACT_FEATURES_MAX
    asked = rows * (2**varying if exact else _PAIRS_MIN * (2 * varying + 1))
    if asked > _ROWS_MAX:
        fewer = max(1, rows * _ROWS_MAX // asked)
        raise UsageError(
            f"A background of {rows:,} rows is too large for this model of {width} features.",
            f"It would be asked {asked:,} times.",
            f"Choose at most {fewer:,} of its rows yourself, so that it is known which.",
        )
    shap = _shap()
    columns = np.arange(width)

    def answered(asked: Matrix) -> Matrix:
        place = asked.astype("i8")
        return model(np.where(place == 0, row, background[np.maximum(place - 1, 0), columns]))

    masker = shap.maskers.Independent(places, max_samples=rows)
    batch = max(1, _BATCH_ROWS // rows)
    own = np.zeros((1, width))
    version = f"shap {shap.__version__}"
    if exact:
        found = shap.explainers.Exact(answered, masker)(
            own, max_evals=1 << EXACT_FEATURES_MAX, batch_size=batch, silent=True
        )
        method = f"{version} Exact (interventional, all {1 << varying:,} coalitions)"
        base, values = float(found.base_values[0]), found.values[0]
        return Values(base, values, np.zeros(width), True, method)
    turn = 2 * varying + 1
    pairs = max(_PAIRS_MIN, min(_PAIRS, _ROWS_MAX // (rows * turn)))
    state = np.random.get_state()
    try:
        explainer = shap.explainers.Permutation(answered, masker, seed=seed)
        drawn = [
            explainer(own, max_evals=turn, batch_size=batch, silent=True) for _ in range(pairs)
        ]
    finally:
        np.random.set_state(state)
    sample = np.stack([each.values[0] for each in drawn])
    errors = sample.std(axis=0, ddof=1) / np.sqrt(pairs)
    method = f"{version} Permutation (interventional, {pairs} orders and their reverses)"
    return Values(float(drawn[0].base_values[0]), sample.mean(axis=0), errors, False, method)


def _shap() -> Any:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its plots, which nothing here uses, are out of date
            import shap
            import shap.explainers
            import shap.maskers
    except ImportError as error:
        raise DependencyError(
            "shap is not installed here.",
            "The model's own library gives no contributions for it.",
            "pip install 'decision-forensics[shap]'",
        ) from error
    return shap
