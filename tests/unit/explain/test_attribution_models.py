"""Attributions of every kind of model: its library's own values, additive, in a stated unit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import catboost
import numpy as np
import pytest
import skops.io
import xgboost as xgb
from credit import FEATURES, Kept, applicants, features_of, record
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from forensics.errors import NotFoundError, ReplayError, UsageError
from forensics.explain.attribution import attribution
from forensics.explain.background import declared, load
from forensics.records.decision import Decision
from forensics.records.replay import Attribution
from forensics.replay.session import ReplaySession

ROWS = applicants(600, 3)
KNOWN = np.nan_to_num(ROWS)
#: As a model in float32 sees them.
NARROW = ROWS.astype("f4")
RISK = KNOWN[:, 2] + 0.8 * KNOWN[:, 3] - KNOWN[:, 0] / 40_000
TWO = (np.median(RISK) < RISK).astype(int)
THREE = np.digitize(RISK, np.quantile(RISK, [0.4, 0.8]))
QUIET = {"nthread": 1, "verbosity": 0, "max_depth": 3, "eta": 0.4}
ROW = 7

Explain = Callable[..., Attribution]


class Made(NamedTuple):
    """A model file, what its library says of row :data:`ROW`, and the unit that is right."""

    path: Path
    contributions: Any
    unit: str
    method: str


def boosted(folder: Path, **options: Any) -> xgb.Booster:
    label = THREE if "num_class" in options else TWO
    if options.get("objective", "").startswith(("reg", "count")):
        label = np.floor(np.exp(RISK / 3))
    matrix = xgb.DMatrix(NARROW, label, feature_names=list(FEATURES))
    booster = xgb.train({**QUIET, "objective": "binary:logistic", **options}, matrix, 12)
    booster.save_model(folder / "model.ubj")
    return booster


def xgboost_model(folder: Path, unit: str, **options: Any) -> Made:
    booster = boosted(folder, **options)
    matrix = xgb.DMatrix(NARROW[ROW : ROW + 1], feature_names=list(FEATURES))
    found = booster.predict(matrix, pred_contribs=True)[0]
    method = "xgboost pred_contribs (path-dependent TreeSHAP)"
    if options.get("booster") == "gblinear":
        method = "xgboost coefficient times value, as the model prepares it (compared with zeros)"
    return Made(folder / "model.ubj", found, unit, method)


def lightgbm_model(folder: Path) -> Made:
    import lightgbm

    data = lightgbm.Dataset(ROWS, TWO, feature_name=list(FEATURES), params={"verbosity": -1})
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 12)
    booster.save_model(folder / "model.txt")
    found = booster.predict(ROWS[ROW : ROW + 1], pred_contrib=True)[0]
    return Made(
        folder / "model.txt", found, "log_odds", "lightgbm pred_contrib (path-dependent TreeSHAP)"
    )


def catboost_model(folder: Path) -> Made:
    model = catboost.CatBoostClassifier(
        iterations=12, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    pool = catboost.Pool(NARROW, TWO, feature_names=list(FEATURES))
    model.fit(pool)
    model.save_model(str(folder / "model.cbm"))
    found = model.get_feature_importance(pool, type="ShapValues")[ROW]
    return Made(
        folder / "model.cbm", found, "log_odds", "catboost ShapValues (path-dependent TreeSHAP)"
    )


def logistic_model(folder: Path) -> Made:
    model = LogisticRegression(max_iter=2_000).fit(_named(KNOWN), TWO)
    skops.io.dump(model, folder / "model.skops")
    found = [*(model.coef_[0] * KNOWN[ROW]), model.intercept_[0]]
    method = "scikit-learn coefficient times value, as the model prepares it (compared with zeros)"
    return Made(folder / "model.skops", found, "log_odds", method)


LINE = {
    "type": "linear", "version": 1, "intercept": -0.5, "link": "logit",
    "features": [
        {"name": name, "coefficient": 0.25, "mean": 2.0, "scale": 4.0, "missing": 2.0}
        for name in FEATURES
    ],
}  # fmt: skip
CARD = {
    "type": "scorecard", "version": 1, "base": 500,
    "features": [
        {"name": name, "bins": [{"below": 2.0, "points": -10}, {"points": 7.5}], "missing": 3}
        for name in FEATURES
    ],
}  # fmt: skip


def linear_model(folder: Path) -> Made:
    (folder / "line.json").write_text(json.dumps(LINE))
    found = [0.0 if math.isnan(v) else 0.25 * ((v - 2.0) / 4.0) for v in ROWS[ROW].tolist()]
    method = "linear coefficient times value, as the model prepares it (compared with zeros)"
    return Made(folder / "line.json", [*found, -0.5], "log_odds", method)


def scorecard_model(folder: Path) -> Made:
    (folder / "card.json").write_text(json.dumps(CARD))
    found = [3.0 if math.isnan(v) else -10.0 if v < 2 else 7.5 for v in ROWS[ROW].tolist()]
    method = "scorecard points of each feature (compared with zero points)"
    return Made(folder / "card.json", [*found, 500.0], "points", method)


def _named(rows: Any) -> Any:
    import pandas

    return pandas.DataFrame(rows, columns=list(FEATURES))


MODELS: dict[str, Callable[[Path], Made]] = {
    "xgboost": lambda folder: xgboost_model(folder, "log_odds"),
    "xgboost_raw": lambda folder: xgboost_model(folder, "log_odds", objective="binary:logitraw"),
    "xgboost_dart": lambda folder: xgboost_model(folder, "log_odds", booster="dart", rate_drop=0.5),
    "xgboost_linear": lambda folder: xgboost_model(folder, "log_odds", booster="gblinear"),
    "xgboost_number": lambda folder: xgboost_model(folder, "margin", objective="reg:squarederror"),
    "xgboost_count": lambda folder: xgboost_model(folder, "log", objective="count:poisson"),
    "lightgbm": lightgbm_model,
    "catboost": catboost_model,
    "sklearn_linear": logistic_model,
    "linear": linear_model,
    "scorecard": scorecard_model,
}


class Bench:
    """Decisions of any model, with the few artifacts that they need."""

    def __init__(self, folder: Path) -> None:
        self.kept = Kept(folder)

    def decision(
        self, model: Path, features: Mapping[str, Any], logic: Any = None, **changes: Any
    ) -> Decision:
        steps = ()
        if logic is not None:
            steps = ({"id": "policy", "kind": "rules", "digest": self.kept.put(logic)},)
        fields = {"model": {"digest": self.kept.put(model)}, "steps": steps, "threshold": 0.4}
        return record(features, "DECLINE", None, **{**fields, **changes})

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> str:
        return self.kept.put(json.dumps(list(rows)))

    def explain(self, decision: Decision, **options: Any) -> Attribution:
        with ReplaySession(decision, self.kept) as session:
            return attribution(session, **options)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def row(at: int = ROW, *, known: bool = False) -> dict[str, Any]:
    return features_of(KNOWN[at] if known else ROWS[at])


@pytest.mark.parametrize("kind", MODELS)
def test_values_are_the_librarys_own_and_add_up(kind: str, bench: Bench, tmp_path: Path) -> None:
    made = MODELS[kind](tmp_path)
    decision = bench.decision(made.path, row(known=kind == "sklearn_linear"))
    found = bench.explain(decision)
    assert found.evidence == "recomputed"
    assert found.method == made.method
    assert found.unit == made.unit
    values = [found.values[name] for name in FEATURES]
    assert values == pytest.approx([float(v) for v in made.contributions[:-1]], rel=1e-12)
    assert found.base_value == pytest.approx(float(made.contributions[-1]), rel=1e-12)
    assert found.additivity_error is not None
    assert found.additivity_error < 1e-5


@pytest.mark.parametrize(
    ("kind", "threshold"),
    [
        ("xgboost", math.log(0.4 / 0.6)),
        ("xgboost_raw", 0.4),
        ("xgboost_number", 0.4),
        ("xgboost_count", math.log(0.4)),
        ("catboost", math.log(0.4 / 0.6)),
    ],
)
def test_the_threshold_is_on_the_scale_of_the_contributions(
    kind: str, threshold: float, bench: Bench, tmp_path: Path
) -> None:
    found = bench.explain(bench.decision(MODELS[kind](tmp_path).path, row()))
    assert found.threshold_value == pytest.approx(threshold)


def test_one_class_of_several_is_explained_and_named(bench: Bench, tmp_path: Path) -> None:
    booster = boosted(tmp_path, objective="multi:softprob", num_class=3)
    matrix = xgb.DMatrix(NARROW[ROW : ROW + 1], feature_names=list(FEATURES))
    expected = booster.predict(matrix, pred_contribs=True)[0]
    logic = {
        "type": "logic",
        "name": "grade",
        "steps": [
            {"id": "pd", "kind": "model", "output": 2},
            {"id": "policy", "kind": "table",
             "rules": [{"id": "R1", "when": "pd >= threshold", "outcome": "DECLINE"}],
             "default": {"id": "R0", "outcome": "APPROVE"}},
        ],
        "score": "pd", "outcome": "policy",
    }  # fmt: skip
    found = bench.explain(bench.decision(tmp_path / "model.ubj", row(), logic))
    assert found.output == "2"
    assert found.unit == "margin"
    assert [found.values[name] for name in FEATURES] == expected[2][:-1].tolist()
    # Where the margin of this class is at the threshold, and the others' as they are, so is its
    # probability.
    margins = booster.predict(matrix, output_margin=True)[0].astype(float)
    assert found.threshold_value is not None
    margins[2] = found.threshold_value
    assert np.exp(margins)[2] / np.exp(margins).sum() == pytest.approx(0.4)


def made_of(*steps: Mapping[str, Any], score: str) -> dict[str, Any]:
    """Decision logic in which ``steps`` make the score of what the model answers."""
    policy = {
        "id": "policy", "kind": "table",
        "rules": [{"id": "R1", "when": f"{score} >= threshold", "outcome": "DECLINE"}],
        "default": {"id": "R0", "outcome": "APPROVE"},
    }  # fmt: skip
    return {
        "type": "logic", "name": "made", "steps": [{"id": "raw", "kind": "model"}, *steps, policy],
        "score": score, "outcome": "policy",
    }  # fmt: skip


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


PLATT = {"id": "pd", "kind": "calibration", "of": "raw", "method": "platt", "a": -3.0, "b": 1.5}
FLAT = {"id": "pd", "kind": "calibration", "of": "raw", "method": "isotonic", "x": [0, 1],
        "y": [0.5, 0.9]}  # fmt: skip
POINTS = {"id": "points", "kind": "expression", "sql": "1 - raw"}


def test_a_threshold_is_found_through_what_makes_the_score(bench: Bench, tmp_path: Path) -> None:
    boosted(tmp_path)
    found = bench.explain(bench.decision(tmp_path / "model.ubj", row(), made_of(PLATT, score="pd")))
    assert found.threshold_value is not None
    calibrated = 1 / (1 + math.exp(-3.0 * sigmoid(found.threshold_value) + 1.5))
    assert calibrated == pytest.approx(0.4, abs=1e-9)
    turned = bench.explain(
        bench.decision(tmp_path / "model.ubj", row(), made_of(POINTS, score="points"))
    )
    assert turned.threshold_value is not None
    assert 1 - sigmoid(turned.threshold_value) == pytest.approx(0.4, abs=1e-9)


def test_a_threshold_that_no_output_reaches_has_no_place_on_the_scale(
    bench: Bench, tmp_path: Path
) -> None:
    boosted(tmp_path)
    found = bench.explain(bench.decision(tmp_path / "model.ubj", row(), made_of(FLAT, score="pd")))
    assert found.values
    assert found.threshold_value is None


def test_a_model_that_gives_no_answer_has_no_attribution(bench: Bench, tmp_path: Path) -> None:
    card = {**CARD, "features": [{k: v for k, v in f.items() if k != "missing"}
                                 for f in CARD["features"]]}  # fmt: skip
    (tmp_path / "card.json").write_text(json.dumps(card))
    decision = bench.decision(tmp_path / "card.json", {**row(), "income": None})
    with pytest.raises(ReplayError, match="gives no answer"):
        bench.explain(decision)


def test_what_has_no_contributions_of_its_own_says_how_to_get_them(
    bench: Bench, tmp_path: Path
) -> None:
    decision = bench.decision(network(tmp_path), row(known=True))
    with pytest.raises(ReplayError, match="--background DIGEST"):
        bench.explain(decision)


def network(folder: Path) -> Path:
    model = make_pipeline(
        StandardScaler(), MLPClassifier((6,), random_state=1, max_iter=60, tol=1.0)
    )
    skops.io.dump(model.fit(_named(KNOWN), TWO), folder / "network.skops")
    return folder / "network.skops"


def test_over_a_background_every_model_gets_its_exact_values(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("shap")
    path = network(tmp_path)
    model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    background = load(bench.rows([row(at, known=True) for at in range(20, 60)]), bench.kept)
    found = bench.explain(bench.decision(path, row(known=True)), background=background)
    assert "all 128 coalitions" in found.method
    assert found.unit == "probability"
    assert found.threshold_value == 0.4
    assert found.background is not None
    assert (found.background.digest, found.background.rows) == (background.digest, 40)
    answers = model.predict_proba(_named(KNOWN))[:, 1]
    assert found.base_value == pytest.approx(answers[20:60].mean(), abs=1e-9)
    total = found.base_value + sum(found.values.values())
    assert total == pytest.approx(answers[ROW], abs=1e-9)
    assert found.additivity_error is not None
    assert found.additivity_error < 1e-9
    assert found.standard_error == 0.0
    assert found.seed is None


def exported(folder: Path, rows: Any) -> tuple[Path, Any]:
    """An ONNX model with what its maker says that it answers to all rows."""
    label = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int)
    model = catboost.CatBoostClassifier(
        iterations=20, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(rows, label)
    model.save_model(str(folder / "model.onnx"), format="onnx")
    return folder / "model.onnx", model.predict_proba(rows)[:, 1]


def numbered(row: Any) -> dict[str, float]:
    return {f"f{at}": float(value) for at, value in enumerate(row)}


def test_an_onnx_model_is_explained_over_a_background(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("shap")
    rows = np.random.default_rng(0).normal(size=(120, 5)).astype("f4")
    path, answers = exported(tmp_path, rows)
    background = load(bench.rows([numbered(row) for row in rows[20:60]]), bench.kept)
    found = bench.explain(bench.decision(path, numbered(rows[3])), background=background)
    assert "all 32 coalitions" in found.method
    assert (found.unit, found.output, found.threshold_value) == ("probability", "1", 0.4)
    assert found.base_value == pytest.approx(answers[20:60].mean(), abs=1e-6)
    assert found.base_value + sum(found.values.values()) == pytest.approx(answers[3], abs=1e-6)


def test_many_features_are_sampled_and_the_error_and_seed_are_said(
    bench: Bench, tmp_path: Path
) -> None:
    pytest.importorskip("shap")
    rows = np.random.default_rng(1).normal(size=(120, 15)).astype("f4")
    path, answers = exported(tmp_path, rows)
    background = load(bench.rows([numbered(row) for row in rows[20:50]]), bench.kept)
    decision = bench.decision(path, numbered(rows[3]))
    found = bench.explain(decision, background=background)
    assert "32 orders and their reverses" in found.method
    assert found.seed == 0
    assert 0 < found.standard_error < 0.05
    assert found.additivity_error is not None
    assert found.additivity_error < 1e-6
    assert found.base_value + sum(found.values.values()) == pytest.approx(answers[3], abs=1e-6)
    assert found == bench.explain(decision, background=background)


@pytest.mark.parametrize("kind", ["xgboost", "xgboost_dart", "catboost", "lightgbm"])
def test_interventional_values_of_trees_are_those_of_the_definition(
    kind: str, bench: Bench, tmp_path: Path
) -> None:
    """On seven features shap's enumeration of all coalitions is the definition."""
    pytest.importorskip("shap")
    from forensics.explain.shapley import shapley_values
    from forensics.replay.client import ModelWorker

    made = MODELS[kind](tmp_path)
    rows = [row(at) for at in range(40, 70)]
    background = load(bench.rows(rows), bench.kept)
    found = bench.explain(
        bench.decision(made.path, row()), background=background, interventional=True
    )
    assert found.method.endswith("trees and coefficients (interventional)")
    with ModelWorker(made.path) as worker:
        dtype = worker.describe().dtype

        def model(matrix: Any) -> Any:
            typed = np.ascontiguousarray(matrix, dtype)
            return np.array(worker.predict(typed, len(typed), kinds=("margin",))[0])

        expected = shapley_values(model, ROWS[ROW], ROWS[40:70], seed=0)
    values = [found.values[name] for name in FEATURES]
    assert values == pytest.approx(expected.values.tolist(), abs=2e-6)
    assert found.base_value == pytest.approx(expected.base, abs=2e-6)
    assert found.unit == "log_odds"
    assert found.threshold_value == pytest.approx(math.log(0.4 / 0.6))


def test_linear_models_compare_with_the_mean_of_the_background(
    bench: Bench, tmp_path: Path
) -> None:
    model = LinearRegression().fit(_named(KNOWN), RISK)
    skops.io.dump(model, tmp_path / "line.skops")
    background = load(bench.rows([row(at, known=True) for at in range(30)]), bench.kept)
    found = bench.explain(
        bench.decision(tmp_path / "line.skops", row(known=True)),
        background=background,
        interventional=True,
    )
    expected = model.coef_ * (KNOWN[ROW] - KNOWN[:30].mean(axis=0))
    assert [found.values[name] for name in FEATURES] == pytest.approx(expected.tolist(), abs=1e-9)


def test_text_features_are_explained_too(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("shap")
    regions = np.array(["north", "south", "east"])[np.arange(len(ROWS)) % 3]
    table = _named(KNOWN)[["income", "utilisation"]].assign(region=regions)
    signal = TWO ^ (regions == "south")
    model = catboost.CatBoostClassifier(
        iterations=20, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(table, signal, cat_features=["region"])
    model.save_model(str(tmp_path / "text.cbm"))
    rows = table.to_dict("records")
    decision = bench.decision(tmp_path / "text.cbm", rows[ROW])
    own = bench.explain(decision)
    pool = catboost.Pool(table, signal, cat_features=["region"])
    expected = model.get_feature_importance(pool, type="ShapValues")[ROW]
    assert [own.values[name] for name in table] == pytest.approx(expected[:-1].tolist(), abs=1e-9)

    background = load(bench.rows(rows[20:60]), bench.kept)
    over = bench.explain(decision, background=background, interventional=True)
    margins = model.predict(table, prediction_type="RawFormulaVal")
    assert over.base_value == pytest.approx(margins[20:60].mean(), abs=1e-9)
    assert over.base_value + sum(over.values.values()) == pytest.approx(margins[ROW], abs=1e-9)
    mixed = table.iloc[20:60].assign(region=rows[ROW]["region"], income=rows[ROW]["income"])
    without = model.predict(mixed, prediction_type="RawFormulaVal").mean()
    both = table.iloc[20:60].assign(
        region=rows[ROW]["region"], income=rows[ROW]["income"],
        utilisation=rows[ROW]["utilisation"],
    )  # fmt: skip
    last = model.predict(both, prediction_type="RawFormulaVal").mean() - without
    alone = table.iloc[20:60].assign(utilisation=rows[ROW]["utilisation"])
    first = model.predict(alone, prediction_type="RawFormulaVal").mean() - over.base_value
    assert min(first, last) - 0.5 < over.values["utilisation"] < max(first, last) + 0.5


def test_a_recorded_explanation_is_compared_with_a_recomputed_one(
    bench: Bench, tmp_path: Path
) -> None:
    made = MODELS["xgboost"](tmp_path)
    values = {n: float(v) for n, v in zip(FEATURES, made.contributions[:-1], strict=True)}
    recorded = {"method": "shap", "unit": "log_odds", "base_value": float(made.contributions[-1])}

    def explained(changed: Mapping[str, float]) -> Attribution:
        explanation = {**recorded, "attributions": {**values, **changed}}
        return bench.explain(bench.decision(made.path, row(), explanation=explanation))

    same = explained({}).agreement
    assert same is not None
    assert same.max_difference == 0.0
    assert same.same_sign
    assert same.top_order
    assert same.method == made.method

    first = max(values, key=lambda name: abs(values[name]))
    flipped = explained({first: -values[first]})
    assert flipped.evidence == "recorded"
    assert flipped.agreement is not None
    assert flipped.agreement.feature == first
    assert flipped.agreement.max_difference == pytest.approx(2 * abs(values[first]))
    assert flipped.agreement.same_sign is False

    last = min(values, key=lambda name: abs(values[name]))
    moved = explained({last: 9.0}).agreement
    assert moved is not None
    assert not moved.top_order


def test_another_unit_is_compared_in_order_and_sign_alone(bench: Bench, tmp_path: Path) -> None:
    made = MODELS["xgboost"](tmp_path)
    quarter = {n: float(v) / 4 for n, v in zip(FEATURES, made.contributions, strict=False)}
    explanation = {
        "method": "shap", "unit": "probability", "base_value": 0.5, "attributions": quarter,
    }  # fmt: skip
    found = bench.explain(bench.decision(made.path, row(), explanation=explanation))
    assert found.agreement is not None
    assert found.agreement.max_difference is None
    assert found.agreement.unit == "log_odds"
    assert found.agreement.same_sign
    assert found.agreement.top_order


def test_a_recorded_method_over_rows_is_compared_over_its_own_rows(
    bench: Bench, tmp_path: Path
) -> None:
    made = MODELS["xgboost"](tmp_path)
    background = load(bench.rows([row(at) for at in range(40, 70)]), bench.kept)
    decision = bench.decision(made.path, row())
    over = bench.explain(decision, background=background, interventional=True)
    explanation = {
        "method": "shap TreeExplainer interventional", "unit": "log_odds",
        "base_value": over.base_value, "attributions": dict(over.values),
        "background_digest": background.digest,
    }  # fmt: skip
    decision = bench.decision(made.path, row(), explanation=explanation)
    assert declared(decision, {}) == background.digest
    found = bench.explain(decision, background=background)
    assert found.evidence == "recorded"
    assert found.agreement is not None
    assert "interventional" in found.agreement.method
    assert found.agreement.max_difference == pytest.approx(0.0, abs=1e-12)


def test_asked_for_the_interventional_ones_are_shown_whatever_was_recorded(
    bench: Bench, tmp_path: Path
) -> None:
    made = MODELS["xgboost"](tmp_path)
    background = load(bench.rows([row(at) for at in range(40, 70)]), bench.kept)
    explanation = {"method": "then", "unit": "log_odds", "attributions": {"income": 1.0}}
    decision = bench.decision(made.path, row(), explanation=explanation)
    found = bench.explain(decision, background=background, interventional=True)
    assert found.evidence == "recomputed"
    assert found.agreement is not None
    assert found.agreement.method == "then"


def test_a_background_is_read_from_the_lake_or_a_file_and_must_have_the_features(
    bench: Bench, tmp_path: Path
) -> None:
    made = MODELS["xgboost"](tmp_path)
    file = tmp_path / "rows.csv"
    file.write_text("income,age\n1,2\n")
    from_file = load(str(file), bench.kept)
    assert from_file.digest == bench.kept.put(file)
    assert load(from_file.digest, bench.kept).rows == from_file.rows
    with pytest.raises(UsageError, match="lacks limit_balance, utilisation"):
        bench.explain(bench.decision(made.path, row()), background=from_file, interventional=True)
    with pytest.raises(NotFoundError, match="No artifact"):
        load("sha256:" + "0" * 64, bench.kept)
    with pytest.raises(NotFoundError, match="cannot be read"):
        load(str(tmp_path / "none.csv"), bench.kept)


def test_interventional_values_without_a_background_are_refused(
    bench: Bench, tmp_path: Path
) -> None:
    made = MODELS["xgboost"](tmp_path)
    with pytest.raises(UsageError, match="--background DIGEST"):
        bench.explain(bench.decision(made.path, row()), interventional=True)


def test_a_declared_background_is_the_records_and_else_the_configurations() -> None:
    bare = record({}, "DECLINE", None)
    assert declared(bare, {}) is None
    assert declared(bare, {"background_digest": "sha256:c"}) == "sha256:c"
    said = record({}, "DECLINE", None, explanation={"background_digest": "sha256:r"})
    assert declared(said, {"background_digest": "sha256:c"}) == "sha256:r"
