"""Attributions on real credit data: additive everywhere, and those of shap where shap has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import catboost
import lightgbm
import numpy as np
import pandas
import pytest
import xgboost as xgb

from forensics.explain.background import BackgroundRows
from forensics.explain.over_rows import over_background
from forensics.explain.reasons import is_prohibited
from forensics.replay.client import ModelWorker

QUIET = {"nthread": 1, "verbosity": 0, "max_depth": 5, "eta": 0.2}


class Credit(NamedTuple):
    """Real applicants as numbers, and whether they defaulted."""

    table: pandas.DataFrame
    label: Any


@pytest.fixture(scope="module")
def taiwan(corpus: Path) -> Credit:
    table = pandas.read_csv(corpus / "tabular" / "taiwan_credit_default.csv.gz").iloc[:4_000]
    label = table.pop("default-payment-next-month").to_numpy()
    return Credit(table.drop(columns="ID").astype("f4"), label)


@pytest.fixture(scope="module")
def german(corpus: Path) -> Credit:
    table = pandas.read_csv(corpus / "tabular" / "german_credit_named_columns.csv")
    label = (table.pop("credit_risk") == 2).astype(int).to_numpy()
    return Credit(table, label)


def of_xgboost(data: Credit, folder: Path) -> tuple[Path, Any, Any]:
    matrix = xgb.DMatrix(data.table, data.label)
    booster = xgb.train({**QUIET, "objective": "binary:logistic"}, matrix, 40)
    booster.save_model(folder / "model.ubj")
    return folder / "model.ubj", booster, booster.predict(matrix, pred_contribs=True)


def of_lightgbm(data: Credit, folder: Path) -> tuple[Path, Any, Any]:
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(data.table, data.label), 40)
    booster.save_model(folder / "model.txt")
    return folder / "model.txt", booster, booster.predict(data.table, pred_contrib=True)


def of_catboost(data: Credit, folder: Path) -> tuple[Path, Any, Any]:
    model = catboost.CatBoostClassifier(
        iterations=40, depth=5, verbose=0, thread_count=1, allow_writing_files=False
    )
    pool = catboost.Pool(data.table, data.label)
    model.fit(pool)
    model.save_model(str(folder / "model.cbm"))
    return folder / "model.cbm", model, model.get_feature_importance(pool, type="ShapValues")


TRAIN: dict[str, Callable[[Credit, Path], tuple[Path, Any, Any]]] = {
    "xgboost": of_xgboost,
    "lightgbm": of_lightgbm,
    "catboost": of_catboost,
}


@pytest.mark.parametrize("kind", TRAIN)
def test_every_sum_of_thousands_is_the_models_margin(
    kind: str, taiwan: Credit, tmp_path: Path
) -> None:
    path, _, expected = TRAIN[kind](taiwan, tmp_path)
    with ModelWorker(path) as worker:
        dtype, width = worker.describe().dtype, worker.describe().width
        rows = np.ascontiguousarray(taiwan.table, dtype)
        found, margins = worker.predict(rows, len(rows), kinds=("contributions", "margin"))
    values = np.array(found).reshape(len(rows), width + 1)
    assert np.abs(values.sum(axis=1) - np.array(margins)).max() < 2e-5
    assert np.abs(values - expected).max() < 1e-12


@pytest.mark.parametrize("kind", TRAIN)
def test_interventional_values_are_those_of_shaps_tree_explainer(
    kind: str, taiwan: Credit, tmp_path: Path
) -> None:
    shap = pytest.importorskip("shap")
    path, model, _ = TRAIN[kind](taiwan, tmp_path)
    names = tuple(taiwan.table.columns)
    rows = taiwan.table.to_dict("records")
    background = BackgroundRows("sha256:" + "0" * 64, rows[100:160])
    explainer = shap.TreeExplainer(
        model, shap.maskers.Independent(taiwan.table.iloc[100:160], max_samples=60)
    )
    with ModelWorker(path) as worker:
        for at in range(3):
            found = over_background(worker, names, rows[at], background)
            assert found.method.endswith("trees and coefficients (interventional)")
            expected = explainer.shap_values(taiwan.table.iloc[at : at + 1])
            assert np.abs(np.array(found.values) - np.reshape(expected, -1)).max() < 1e-4
            assert abs(found.base + sum(found.values) - found.target) < 1e-5


def test_categories_as_text_add_up_too(german: Credit, tmp_path: Path) -> None:
    is_number = pandas.api.types.is_numeric_dtype
    texts = [name for name in german.table if not is_number(german.table[name])]
    model = catboost.CatBoostClassifier(
        iterations=30, depth=4, verbose=0, thread_count=1, allow_writing_files=False
    )
    pool = catboost.Pool(german.table, german.label, cat_features=texts)
    model.fit(pool)
    model.save_model(str(tmp_path / "model.cbm"))
    expected = model.get_feature_importance(pool, type="ShapValues")
    with ModelWorker(tmp_path / "model.cbm") as worker:
        description = worker.describe()
        known: dict[int, list[str]] = {}
        matrix = np.empty(german.table.shape)
        for at, name in enumerate(german.table):
            column = german.table[name]
            if at in description.texts:
                codes, values = pandas.factorize(column)
                matrix[:, at], known[at] = codes, list(values)
            else:
                matrix[:, at] = column
        found, margins = worker.predict(
            matrix, len(matrix), kinds=("contributions", "margin"), texts=known
        )
    values = np.array(found).reshape(len(matrix), -1)
    assert np.abs(values.sum(axis=1) - np.array(margins)).max() < 1e-9
    assert np.abs(values - expected).max() < 1e-12


def test_prohibited_bases_of_real_data_are_known_by_their_names(
    taiwan: Credit, german: Credit
) -> None:
    assert {name for name in taiwan.table if is_prohibited(name)} == {
        "SEX", "AGE", "MARRIAGE_0", "MARRIAGE_1", "MARRIAGE_2", "MARRIAGE_3",
    }  # fmt: skip
    flagged = {name for name in german.table if is_prohibited(name)}
    assert flagged == {"personal_status_and_sex", "age_in_years"}
