"""How many decisions a model is asked about at once: as many as are worth it, and fit."""

from __future__ import annotations

from pathlib import Path

import catboost
import numpy as np
import pytest

from forensics.explain.window import rows_at_first, rows_at_most
from forensics.replay.client import ModelDescription, ModelWorker

XGBOOST = ModelDescription(
    features=(), width=30, objective="binary:logistic", file_version="3.2.0",
    runtime="xgboost 3.2.0", rounds=300, best_iteration=None, cuts=(), dtype="f", score_dtype="f",
    outputs=1, texts=(), categories={}, categorical=(), classes=(), link="logit",
    kinds=("value", "margin", "contributions"),
)  # fmt: skip
CATBOOST = XGBOOST._replace(runtime="catboost 1.2.10", score_dtype="d")


def test_catboost_is_asked_about_all_at_once_where_it_is_done_in_ten_seconds() -> None:
    """It takes a fifth of a second for any question."""
    assert rows_at_first(CATBOOST) > 30_000
    assert rows_at_first(CATBOOST._replace(rounds=100)) == rows_at_most(CATBOOST)
    assert rows_at_first(CATBOOST._replace(rounds=3_000)) < 20_000
    assert rows_at_first(XGBOOST) < 4_000


@pytest.mark.parametrize("description", [XGBOOST, CATBOOST])
@pytest.mark.parametrize("outputs", [1, 10, 100])
@pytest.mark.parametrize("width", [1, 30, 1_000, 10_000])
def test_contributions_of_one_question_fit_into_64_mib(
    description: ModelDescription, outputs: int, width: int
) -> None:
    wide = description._replace(outputs=outputs, width=width)
    for rows in (rows_at_first(wide), rows_at_most(wide)):
        assert rows == 1 or rows * outputs * (width + 1) * 8 <= 64 << 20
        assert rows >= 1


def test_what_is_known_of_a_model_file_is_enough_to_tell(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 4)).astype("f4")
    model = catboost.CatBoostClassifier(
        iterations=20, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(catboost.Pool(rows, (rows[:, 0] > 0).astype(int)))
    model.save_model(str(tmp_path / "model.cbm"))
    with ModelWorker(tmp_path / "model.cbm", threads=1) as worker:
        assert rows_at_first(worker.describe()) == rows_at_most(worker.describe()) > 100_000
