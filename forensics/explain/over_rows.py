"""Attributions over background rows: of trees and linear models exactly, of the rest by shap.

What these answer is "compared with these rows", where path-dependent values answer "compared with
the training data as the trees have counted it".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forensics.errors import ReplayError, UsageError
from forensics.explain.background import BackgroundRows
from forensics.records.replay import Background
from forensics.replay.loaded import as_number, as_text

if TYPE_CHECKING:
    from forensics.explain.interventional import Shares
    from forensics.replay.client import ModelDescription, ModelWorker

#: Of the random orders where a method draws any.
SEED = 0
#: Libraries add up in single precision, which a thousand trees may leave this far from the sum.
_APART_MAX = 1e-4


class Found(NamedTuple):
    """An attribution's numbers, in the model's order of features."""

    method: str
    kind: str
    base: float
    values: Sequence[float]
    target: float
    standard_error: float
    seed: int | None
    background: Background


def over_background(
    worker: ModelWorker,
    names: Sequence[str],
    features: Mapping[str, Any],
    background: BackgroundRows,
    *,
    output: int = 0,
    trees: int = 0,
    seed: int = SEED,
) -> Found:
    """Interventional Shapley values of one output at ``features``.

    They are of the margin where the model has one, else of its value.

    Args:
        worker: the model.
        names: its features in its order.
        features: the decision's values.
        background: the rows compared with.
        output: which of the model's outputs.
        trees: boosting rounds used; 0 means all of them.
        seed: of random orders, where they are needed.

    Raises:
        UsageError: when the background lacks a feature, or is too large.
        DependencyError: when shap is needed and not installed.
        ReplayError: when the model cannot be run.
    """
    description = worker.describe()
    absent = [name for name in names if name not in background.rows[0]]
    if absent:
        raise UsageError(
            f"The background {background.digest[:19]}… lacks {', '.join(absent[:5])}.",
            "It is to have a column for each feature of the model.",
            "Name another: --background DIGEST|FILE",
        )
    rows, texts = _matrix(description, names, [features, *background.rows])
    pinned = Background(background.digest, len(background.rows))
    kind = "margin" if "margin" in description.kinds else "value"

    def answers(matrix: NDArray[Any]) -> NDArray[Any]:
        typed = np.ascontiguousarray(matrix, description.dtype)
        found = worker.predict(typed, len(typed), kinds=(kind,), trees=trees, texts=texts)[0]
        return np.frombuffer(found, description.score_dtype)[output :: description.outputs].astype(
            "f8"
        )

    target = float(answers(rows[:1])[0])
    exact = _of_ensemble(worker, output, trees, rows) if not texts else None
    if exact is not None and not _adds_up(exact, target, answers(rows[1:])):
        exact = None  # what comes after its trees or coefficients is not linear
    if exact is not None:
        method = f"{description.runtime.split(' ', 1)[0]} trees and coefficients (interventional)"
        values = exact.values.tolist()
        return Found(method, kind, exact.base, values, target, 0.0, None, pinned)

    from forensics.explain.shapley import shapley_values

    found = shapley_values(answers, rows[0], rows[1:], seed=seed)
    return Found(
        found.method,
        kind,
        found.base,
        found.values.tolist(),
        target,
        float(found.standard_errors.max(initial=0.0)),
        None if found.exact else seed,
        pinned,
    )


def _of_ensemble(worker: ModelWorker, output: int, trees: int, rows: NDArray[Any]) -> Shares | None:
    """Exact values for the sum of the model's trees and coefficients; None where it has none."""
    from forensics.explain.interventional import shares

    try:
        ensemble = worker.ensemble(trees)
    except ReplayError:  # it is neither trees nor linear
        return None
    return shares(ensemble, output, rows[0], rows[1:])


def _adds_up(exact: Shares, target: float, others: NDArray[Any]) -> bool:
    """Whether the sum is what the model answers, for the decision and for the background's mean."""
    most = _APART_MAX * max(1.0, abs(target), float(np.abs(others).max()))
    is_target = abs(exact.base + float(exact.values.sum()) - target) <= most
    return is_target and abs(exact.base - float(others.mean())) <= most


def _matrix(
    description: ModelDescription, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[NDArray[Any], dict[int, list[str]]]:
    """Rows as the model takes them, and the texts that its text features name by place."""
    matrix = np.empty((len(rows), len(names)), description.dtype)
    texts: dict[int, list[str]] = {}
    for at, name in enumerate(names):
        values = [row.get(name) for row in rows]
        if at in description.texts:
            said = [None if value is None or value != value else as_text(value) for value in values]
            known = sorted({text for text in said if text is not None})
            places = {text: place for place, text in enumerate(known)}
            texts[at] = known
            matrix[:, at] = [np.nan if text is None else places[text] for text in said]
            continue
        try:
            matrix[:, at] = [as_number(value) for value in values]
        except ValueError as error:
            raise UsageError(f"Feature {name} has {error}.") from error
    return matrix, texts
