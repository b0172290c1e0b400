"""Shapley values over a background: against the definition, whatever the features hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from forensics.errors import UsageError
from forensics.explain.shapley import EXACT_FEATURES_MAX, shapley_values

Model = Callable[[Any], Any]


def by_definition(model: Model, row: Any, background: Any) -> Any:
    """Mean change over all orders in which the features of ``row`` come in; ever so slow."""
    width = len(row)
    found = np.zeros(width)
    orders = list(permutations(range(width)))
    for order in orders:
        rows = background.copy()
        last = model(rows).mean()
        for at in order:
            rows[:, at] = row[at]
            new = model(rows).mean()
            found[at] += (new - last) / len(orders)
            last = new
    return found


def curved(rows: Any) -> Any:
    known = np.nan_to_num(rows, nan=-2.0)
    return known[:, 0] * known[:, 1] + np.sin(known[:, 2]) * known[:, -1] ** 2


@pytest.fixture
def rng() -> Any:
    return np.random.default_rng(5)


def test_few_features_are_exact_to_rounding(rng: Any) -> None:
    row, background = rng.normal(size=5), rng.normal(size=(30, 5))
    found = shapley_values(curved, row, background, seed=0)
    assert found.exact
    assert found.values == pytest.approx(by_definition(curved, row, background), abs=1e-12)
    assert found.base == pytest.approx(curved(background).mean(), abs=1e-12)
    assert not found.standard_errors.any()
    assert "all 32 coalitions" in found.method


def test_every_row_of_a_background_counts_however_many_there_are(rng: Any) -> None:
    row, background = rng.normal(size=4), rng.normal(size=(257, 4))
    background[100:] += 50  # a cut to 100 rows would show
    found = shapley_values(curved, row, background, seed=0)
    assert found.base == pytest.approx(curved(background).mean(), abs=1e-9)
    assert found.values == pytest.approx(by_definition(curved, row, background), abs=1e-9)


def test_values_that_nearly_agree_are_still_two(rng: Any) -> None:
    row = np.array([50_000.0, 1.0])
    background = np.array([[50_000.3, 1.0], [50_000.3, 2.0]])

    def step(rows: Any) -> Any:
        return (rows[:, 0] > 50_000.1) * 1.0 + rows[:, 1]

    found = shapley_values(step, row, background, seed=0)
    assert found.values.tolist() == [-1.0, -0.5]


def test_missing_values_are_equal_to_missing_values_only(rng: Any) -> None:
    row = np.array([np.nan, 1.0, 0.5])
    background = np.array([[np.nan, 1.0, 0.5], [3.0, np.nan, 0.5]])
    found = shapley_values(curved, row, background, seed=0)
    assert found.values == pytest.approx(by_definition(curved, row, background), abs=1e-12)
    assert found.values[2] == 0.0


def test_more_features_are_drawn_with_their_error_and_still_add_up(rng: Any) -> None:
    width = EXACT_FEATURES_MAX + 3
    weights = rng.normal(size=width)

    def model(rows: Any) -> Any:
        return rows @ weights + rows[:, 0] * rows[:, 1] * rows[:, 2] * rows[:, 3]

    row, background = rng.normal(size=width), rng.normal(size=(20, width))
    found = shapley_values(model, row, background, seed=0)
    assert not found.exact
    total = found.base + found.values.sum()
    assert total == pytest.approx(model(row[None, :])[0], abs=1e-9)
    # Only the first four features interact, so that the definition on them alone is exact.
    four = by_definition(lambda rows: rows.prod(axis=1), row[:4], background[:, :4])
    exact = weights * (row - background.mean(axis=0))
    exact[:4] += four
    assert np.all(np.abs(found.values - exact) <= 5 * found.standard_errors + 1e-9)
    assert found.standard_errors.max() > 0


def test_a_seed_gives_the_same_values_and_leaves_numpys_own_draws_alone(rng: Any) -> None:
    width = EXACT_FEATURES_MAX + 1
    row, background = rng.normal(size=width), rng.normal(size=(5, width))
    np.random.seed(11)
    before = np.random.get_state()[1].tolist()
    first = shapley_values(curved, row, background, seed=3)
    assert np.random.get_state()[1].tolist() == before
    assert first.values.tolist() == shapley_values(curved, row, background, seed=3).values.tolist()
    assert first.values.tolist() != shapley_values(curved, row, background, seed=4).values.tolist()


def test_a_background_that_would_be_asked_too_often_is_refused_with_its_limit() -> None:
    row, background = np.zeros(12), np.ones((50_000, 12))
    with pytest.raises(UsageError, match="at most 4,882 of its rows"):
        shapley_values(curved, row, background, seed=0)


def test_a_background_of_the_decision_alone_gives_zeros(rng: Any) -> None:
    row = rng.normal(size=3)
    found = shapley_values(curved, row, row[None, :], seed=0)
    assert found.values.tolist() == [0.0, 0.0, 0.0]
    assert found.base == pytest.approx(curved(row[None, :])[0])
