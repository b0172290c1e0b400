"""scikit-learn models by skops: the estimator's own numbers, and nothing loaded but known types."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from ensembles import margins
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from forensics.errors import ReplayError
from forensics.replay.client import ModelDescription, ModelWorker
from forensics.replay.ensemble import Ensemble
from forensics.replay.runtimes.interface import ModelRefusedError
from forensics.replay.runtimes.sklearn import SklearnRuntime

RANDOM = np.random.default_rng(11)
ROWS = np.abs(RANDOM.normal(size=(240, 4)))
TWO = (ROWS[:, 0] > 0.7).astype(int)
THREE = np.digitize(ROWS[:, 0], [0.4, 1.0])
AMOUNT = 2 * ROWS[:, 0] + ROWS[:, 1] + 1
HOLES = np.where(np.arange(ROWS.size).reshape(ROWS.shape) % 11 == 0, np.nan, ROWS)

Answers = tuple[ModelDescription, dict[str, Any]]


def saved(model: Any, folder: Path) -> Path:
    path = folder / "model.skops"
    skops.io.dump(model, path)
    return path


class Loaded:
    """A runtime in this process: its own takes a second to import scikit-learn."""

    def __init__(self, path: Path) -> None:
        self.runtime = SklearnRuntime(path.read_bytes(), "")
        header, flat = self.runtime.describe()
        self.description = as_description(header, flat)

    def predict(
        self, rows: Any, kind: str = "value", texts: Mapping[int, Sequence[str]] | None = None
    ) -> Any:
        count = len(rows)
        data = self.runtime.predict(array("d", rows.tobytes()), count, kind, 0, 1, texts or {})
        return np.frombuffer(data).reshape(count, self.description.outputs, -1)

    def ensemble(self) -> Ensemble:
        header, arrays = self.runtime.ensemble(0)
        return Ensemble(
            *arrays, below=header["below"], dtype=header["dtype"], sets=dict(header["sets"])
        )


def as_description(header: dict[str, Any], flat: Any) -> ModelDescription:
    cuts, start = [], 0
    for count in header.pop("cut_counts"):
        cuts.append(flat[start : start + count])
        start += count
    for name in ("features", "texts", "categorical", "classes", "kinds"):
        header[name] = tuple(header[name])
    return ModelDescription(**header, cuts=tuple(cuts))


def fitted(model: Any, rows: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, target)


def coded(rows: Any, found: ModelDescription) -> tuple[Any, dict[int, list[str]]]:
    """Rows as a matrix with places of texts."""
    table = rows.to_numpy() if hasattr(rows, "to_numpy") else rows
    matrix = np.full(table.shape, np.nan)
    texts: dict[int, list[str]] = {}
    for at in range(table.shape[1]):
        if at not in found.texts:
            matrix[:, at] = table[:, at].astype(float)
            continue
        texts[at] = [text for text in dict.fromkeys(table[:, at]) if isinstance(text, str)]
        for row, text in enumerate(table[:, at]):
            if isinstance(text, str):
                matrix[row, at] = texts[at].index(text)
    return matrix, texts


def ask(path: Path, rows: Any, singly: int = 12) -> Answers:
    """All that a model answers, and the value of its first rows asked for one by one."""
    model = Loaded(path)
    found = model.description
    matrix, texts = coded(rows, found)
    answers = {kind: model.predict(matrix, kind, texts) for kind in found.kinds}
    answers["singly"] = np.concatenate(
        [model.predict(matrix[at : at + 1], "value", texts)[:, :, 0] for at in range(singly)]
    )
    return found, answers


def expected(model: Any, rows: Any) -> Any:
    """What a service gets that asks for one row at a time."""
    if not hasattr(model, "classes_"):
        ask = model.decision_function if hasattr(model, "offset_") else model.predict
    else:
        ask = getattr(model, "predict_proba", None) or model.decision_function
    cut = rows.iloc if hasattr(rows, "iloc") else rows
    answers = np.concatenate([ask(cut[at : at + 1]) for at in range(len(rows))])
    answers = answers.reshape(len(rows), -1)
    return answers[:, 1:] if hasattr(model, "predict_proba") and answers.shape[1] == 2 else answers


BACK: dict[str, Callable[[Any], Any]] = {
    "identity": lambda margin: margin,
    "logit": lambda margin: 1 / (1 + np.exp(-margin)),
    "log": np.exp,
    "softmax": lambda margin: np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True),
}

LINEAR = [
    (LogisticRegression(), TWO, "logit"),
    (LogisticRegression(), THREE, "softmax"),
    (LogisticRegression(solver="liblinear"), TWO, "logit"),
    (LinearDiscriminantAnalysis(), TWO, "logit"),
    (SGDClassifier(loss="log_loss", random_state=0), TWO, "logit"),
    (LinearSVC(), THREE, "identity"),
    (RidgeClassifier(), TWO, "identity"),
    (LinearRegression(), AMOUNT, "identity"),
    (Ridge(), np.stack([AMOUNT, -AMOUNT], axis=1), "identity"),
    (ElasticNet(alpha=0.01), AMOUNT, "identity"),
    (PoissonRegressor(), AMOUNT, "log"),
    (TweedieRegressor(power=1.5), AMOUNT, "log"),
    (TweedieRegressor(power=0), AMOUNT, "identity"),
]
TREES = [
    (DecisionTreeClassifier(max_depth=4), TWO, "identity"),
    (DecisionTreeRegressor(max_depth=4), AMOUNT, "identity"),
    (RandomForestClassifier(9, random_state=0, n_jobs=2), TWO, "identity"),
    (RandomForestClassifier(9, random_state=0), THREE, "identity"),
    (ExtraTreesClassifier(9, random_state=0), TWO, "identity"),
    (RandomForestRegressor(9, random_state=0), np.stack([AMOUNT, -AMOUNT], axis=1), "identity"),
    (GradientBoostingClassifier(n_estimators=9), TWO, "logit"),
    (GradientBoostingClassifier(n_estimators=9), THREE, "softmax"),
    (GradientBoostingClassifier(n_estimators=9, loss="exponential"), TWO, ""),
    (GradientBoostingClassifier(n_estimators=9, init="zero"), TWO, "logit"),
    (GradientBoostingRegressor(n_estimators=9, loss="huber"), AMOUNT, "identity"),
    (HistGradientBoostingClassifier(max_iter=9), TWO, "logit"),
    (HistGradientBoostingClassifier(max_iter=9), THREE, "softmax"),
    (HistGradientBoostingRegressor(max_iter=9, loss="poisson"), AMOUNT, "log"),
]
OTHERS = [
    (SVC(), TWO, "identity"),
    (SVR(), AMOUNT, "identity"),
    (GaussianNB(), THREE, ""),
    (MLPClassifier(max_iter=5, random_state=0), TWO, ""),
    (AdaBoostClassifier(n_estimators=5), TWO, ""),
    (BaggingRegressor(n_estimators=3, random_state=0), AMOUNT, "identity"),
    (CalibratedClassifierCV(GradientBoostingClassifier(n_estimators=5)), TWO, ""),
    (CalibratedClassifierCV(RandomForestClassifier(5), method="isotonic"), TWO, ""),
    (VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"), TWO, ""),
    (StackingClassifier([("b", RandomForestClassifier(5)), ("c", GaussianNB())]), TWO, ""),
    (IsolationForest(n_estimators=9, random_state=0), TWO, "identity"),
]


def _id(part: Any) -> str | None:
    return type(part).__name__ if hasattr(part, "get_params") else None


@pytest.mark.parametrize(("model", "target", "link"), [*LINEAR, *TREES, *OTHERS], ids=_id)
def test_the_value_is_what_the_estimator_answers_to_a_row(
    tmp_path: Path, model: Any, target: Any, link: str
) -> None:
    model = fitted(model, ROWS, target)
    found, answers = ask(saved(model, tmp_path), ROWS)
    value = answers["value"][:, :, 0]
    assert value[:80].tobytes() == expected(model, ROWS[:80]).tobytes()
    assert answers["singly"].tobytes() == value[: len(answers["singly"])].tobytes()
    assert found.link == link
    if link:
        assert np.abs(BACK[link](answers["margin"][:, :, 0]) - value).max() < 1e-13
    assert found.runtime == f"scikit-learn {sklearn.__version__}"
    assert found.file_version == f"scikit-learn {sklearn.__version__}, skops {skops.__version__}"
    classes = tuple(str(label) for label in getattr(model, "classes_", ()))
    assert found.classes == classes
    assert found.objective == type(model).__name__


@pytest.mark.parametrize(("model", "target", "link"), LINEAR, ids=_id)
def test_contributions_of_linear_models_add_up_to_the_margin(
    tmp_path: Path, model: Any, target: Any, link: str
) -> None:
    model = fitted(model, ROWS, target)
    found, answers = ask(saved(model, tmp_path), ROWS)
    parts = answers["contributions"].reshape(len(ROWS), found.outputs, -1)
    assert parts.shape[2] == found.width + 1
    assert np.abs(parts.sum(axis=2) - answers["margin"][:, :, 0]).max() < 1e-12
    assert np.allclose(parts[:, 0, 2], ROWS[:, 2] * np.atleast_2d(model.coef_)[0, 2], atol=0)


@pytest.mark.parametrize(("model", "target", "link"), [*LINEAR, *TREES], ids=_id)
def test_the_ensemble_gives_the_margin_of_every_row(
    tmp_path: Path, model: Any, target: Any, link: str
) -> None:
    path = saved(fitted(model, ROWS, target), tmp_path)
    found, answers = ask(path, ROWS)
    ensemble = Loaded(path).ensemble()
    given = np.array([margins(ensemble, row) for row in ROWS[:50]])
    assert np.abs(given - answers["margin"][:50, :, 0]).max() < 1e-12
    for feature, threshold in zip(ensemble.feature, ensemble.threshold, strict=True):
        assert feature < 0 or threshold in found.cuts[feature]


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(9, random_state=0),
        HistGradientBoostingClassifier(max_iter=9),
        DecisionTreeClassifier(),
    ],
    ids=_id,
)
def test_missing_values_take_the_side_that_the_tree_says(tmp_path: Path, model: Any) -> None:
    model = fitted(model, HOLES, TWO)
    path = saved(model, tmp_path)
    _, answers = ask(path, HOLES)
    assert answers["value"][:80, :, 0].tobytes() == expected(model, HOLES[:80]).tobytes()
    ensemble = Loaded(path).ensemble()
    given = np.array([margins(ensemble, row) for row in HOLES[:60]])
    assert np.abs(given - answers["margin"][:60, :, 0]).max() < 1e-12


def test_a_missing_value_that_the_estimator_does_not_take_is_refused(tmp_path: Path) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)
    with pytest.raises(ModelRefusedError, match="Input X contains NaN"):
        ask(path, HOLES)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(PCA(4), Ridge()),
        MLPClassifier(max_iter=3, random_state=0),
        QuadraticDiscriminantAnalysis(),
    ],
    ids=_id,
)
def test_each_of_many_rows_has_the_answer_that_it_has_alone(tmp_path: Path, model: Any) -> None:
    rows = RANDOM.normal(size=(900, 30))
    model = fitted(model, rows, (rows[:, 0] > 0).astype(int))
    loaded = Loaded(saved(model, tmp_path))
    many = loaded.predict(rows)
    alone = [loaded.predict(rows[at : at + 1]) for at in range(len(rows))]
    assert many.tobytes() == np.concatenate(alone).tobytes()
    assert many[:, :, 0].tobytes() == expected(model, rows).tobytes()


# Pipelines over named columns.

FRAME = pd.DataFrame(
    {
        "age": ROWS[:, 0],
        "job": np.array(["cook", "air_pilot", "none"], dtype=object)[THREE],
        "income": ROWS[:, 1],
        "city": np.array(["x", "y", "z", "w"], dtype=object)[RANDOM.integers(0, 4, len(ROWS))],
        "late": RANDOM.integers(0, 5, len(ROWS)),
    }
)
GAPS = FRAME.assign(
    income=FRAME["income"].where(np.arange(len(FRAME)) % 7 > 0),
    city=FRAME["city"].where(np.arange(len(FRAME)) % 11 > 0).astype(object),
)
NONES = GAPS.assign(city=pd.Series([None if c != c else c for c in GAPS["city"]], dtype=object))


def prepared(**options: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    names = OneHotEncoder(handle_unknown="ignore", **options)
    return ColumnTransformer(
        [("numbers", numbers, ["age", "income"]), ("names", names, ["job", "city"])],
        remainder="passthrough",
    )


PIPELINES: dict[str, tuple[Any, Any, Any]] = {
    "numbers and names": (make_pipeline(prepared(), LogisticRegression()), FRAME, TWO),
    "gaps": (make_pipeline(prepared(), LogisticRegression()), GAPS, THREE),
    "None for missing": (make_pipeline(prepared(), LogisticRegression()), NONES, TWO),
    "first dropped": (make_pipeline(prepared(drop="first"), Ridge()), FRAME, AMOUNT),
    "rare together": (make_pipeline(prepared(min_frequency=70), LinearSVC()), FRAME, TWO),
    "trees": (make_pipeline(prepared(), RandomForestClassifier(5, random_state=0)), GAPS, THREE),
    "codes": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("names", make_pipeline(SimpleImputer(strategy="most_frequent"),
                                            OrdinalEncoder()), ["job", "city"]),
                    ("rest", "passthrough", [0, 2, 4]),
                ]
            ),
            HistGradientBoostingClassifier(max_iter=5),
        ), GAPS, TWO,
    ),
    "target encoding": (
        make_pipeline(
            ColumnTransformer([("names", TargetEncoder(), ["job", "city"])], remainder="drop"),
            LinearRegression(),
        ), FRAME, AMOUNT,
    ),
    "chosen by type": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("numbers", MinMaxScaler(), make_column_selector(dtype_include=float)),
                    ("names", OneHotEncoder(), make_column_selector(dtype_exclude=[float, int])),
                ]
            ),
            LogisticRegression(),
        ), FRAME, TWO,
    ),
    "scaled": (
        make_pipeline(StandardScaler(), LogisticRegression()), FRAME[["age", "income"]], TWO,
    ),
    "nested": (
        make_pipeline(make_pipeline(StandardScaler(), "passthrough"),
                      make_pipeline(MinMaxScaler(), Ridge())),
        ROWS, AMOUNT,
    ),
    "selected": (
        make_pipeline(SelectFromModel(RandomForestClassifier(5, random_state=0)),
                      LogisticRegression()),
        ROWS, TWO,
    ),
    "columns by number": (
        make_pipeline(
            ColumnTransformer([("names", OneHotEncoder(), [1]), ("two", StandardScaler(),
                                                                 slice(2, 4))]),
            LogisticRegression(),
        ),
        np.column_stack([ROWS[:, 0], FRAME["job"], ROWS[:, 1:3]]).astype(object), TWO,
    ),
    "mixed": (make_pipeline(PolynomialFeatures(), LogisticRegression(max_iter=500)), ROWS, TWO),
    "components": (make_pipeline(PCA(2), RandomForestClassifier(5, random_state=0)), ROWS, TWO),
    "bins": (make_pipeline(KBinsDiscretizer(quantile_method="averaged_inverted_cdf"),
                           LogisticRegression()), ROWS, TWO),
}  # fmt: skip
_ADDITIVE = {
    "numbers and names", "gaps", "None for missing", "first dropped", "rare together",
    "target encoding", "chosen by type", "scaled", "nested", "selected", "columns by number",
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_answer_as_they_do_to_named_columns(tmp_path: Path, name: str) -> None:
    model, rows, target = PIPELINES[name]
    model = fitted(model, rows, target)
    found, answers = ask(saved(model, tmp_path), rows)
    value = answers["value"][:, :, 0]
    assert np.abs(value[:40] - expected(model, rows[:40])).max() < 1e-14
    assert answers["singly"].tobytes() == value[: len(answers["singly"])].tobytes()
    columns = tuple(rows.columns) if hasattr(rows, "columns") else ()
    assert found.features == columns
    texts = tuple(at for at, cell in enumerate(np.asarray(rows)[1]) if isinstance(cell, str))
    assert found.texts == texts
    assert ("contributions" in found.kinds) == (name in _ADDITIVE)
    if name in _ADDITIVE:
        parts = answers["contributions"].reshape(len(rows), found.outputs, -1)
        assert np.abs(parts.sum(axis=2) - answers["margin"][:, :, 0]).max() < 1e-11


def test_contributions_of_a_pipeline_belong_to_the_features_before_it(tmp_path: Path) -> None:
    model = fitted(make_pipeline(prepared(), LogisticRegression()), FRAME, TWO)
    _, answers = ask(saved(model, tmp_path), FRAME)
    parts = answers["contributions"].reshape(len(FRAME), -1)
    columns = model[:-1].transform(FRAME)
    weights = model[-1].coef_[0]
    # In the order of the transformer: age, income, three jobs, four cities, late.
    for feature, own in ((0, [0]), (2, [1]), (1, [2, 3, 4]), (3, [5, 6, 7, 8]), (4, [9])):
        assert np.allclose(parts[:, feature], columns[:, own] @ weights[own], atol=1e-14)


def test_a_category_that_the_encoder_refuses_is_refused_with_its_reason(tmp_path: Path) -> None:
    encoder = ColumnTransformer([("names", OneHotEncoder(), ["job"])])
    model = fitted(make_pipeline(encoder, LogisticRegression()), FRAME[["job"]], TWO)
    with pytest.raises(ModelRefusedError, match="unknown categories"):
        ask(saved(model, tmp_path), FRAME[["job"]].assign(job="astronaut"))


def test_its_process_answers_the_same_bytes(tmp_path: Path) -> None:
    model = fitted(make_pipeline(prepared(), GradientBoostingClassifier(n_estimators=5)), GAPS, TWO)
    path = saved(model, tmp_path)
    found, answers = ask(path, GAPS)
    matrix, texts = coded(GAPS, found)
    with ModelWorker(path) as worker:
        assert worker.describe() == found
        value, margin = worker.predict(matrix, len(matrix), kinds=("value", "margin"), texts=texts)
    assert value.tobytes() == answers["value"].tobytes()
    assert margin.tobytes() == answers["margin"].tobytes()


def test_matrices_are_multiplied_in_the_process_as_here(tmp_path: Path) -> None:
    model = fitted(LogisticRegression(), ROWS, TWO)
    with ModelWorker(saved(model, tmp_path)) as worker:
        (value,) = worker.predict(ROWS, len(ROWS))
        alone = [worker.predict(row, 1)[0][0] for row in ROWS[:30]]
        ensemble = worker.ensemble()
    assert value.tobytes() == expected(model, ROWS).tobytes()
    assert alone == value[:30].tolist()
    assert ensemble == Loaded(tmp_path / "model.skops").ensemble()


# What is not loaded.


def _double(rows: Any) -> Any:
    return rows * 2


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()), "numpy.log1p"),
        (make_pipeline(FunctionTransformer(_double), LogisticRegression()), "_double"),
        (KNeighborsClassifier(), "KDTree"),
        (
            HistGradientBoostingClassifier(max_iter=2, categorical_features=[3]),
            "functools.partial (PartialNode)",
        ),
    ],
)
def test_functions_and_unknown_types_are_refused_by_name(
    tmp_path: Path, model: Any, named: str
) -> None:
    rows = np.column_stack([ROWS[:, :3], THREE])
    path = saved(fitted(model, rows, TWO), tmp_path)
    with pytest.raises(ModelRefusedError) as caught:
        ask(path, rows)
    assert "not trusted here" in said(caught.value)
    assert named in said(caught.value)


def rewritten(path: Path, change: Callable[[Any], None]) -> None:
    """The file with its schema changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    change(schema)
    parts["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def said(error: ModelRefusedError) -> str:
    return f"{error.reason} {error.todo}"


def nodes(item: Any) -> Iterator[dict[str, Any]]:
    if isinstance(item, dict):
        if "__loader__" in item:
            yield item
        for child in item.values():
            yield from nodes(child)
    elif isinstance(item, list):
        for child in item:
            yield from nodes(child)


@pytest.mark.parametrize(
    "planted",
    [
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        {"__class__": "system", "__module__": "os", "__loader__": "TypeNode"},
        {"__class__": "Popen", "__module__": "subprocess", "__loader__": "ObjectNode"},
        {"__class__": "Popen", "__module__": "subprocess", "__loader__": "ListNode", "content": []},
        {"__class__": "Popen", "__module__": "subprocess", "__loader__": "LossNode"},
        {"__class__": "str", "__module__": "builtins", "__loader__": "MethodNode"},
        {"__class__": "str", "__module__": "builtins"},
        {"__loader__": "JsonNode"},
    ],
)
def test_a_planted_type_is_refused_wherever_it_stands(
    tmp_path: Path, planted: Mapping[str, Any]
) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)

    def plant(schema: Any) -> None:
        places = [node for node in nodes(schema) if node["__loader__"] == "DictNode"]
        places[-1]["content"]["tol"] = {**planted, "__id__": 1}

    rewritten(path, plant)
    with pytest.raises(ModelRefusedError, match="not trusted here"):
        ask(path, ROWS)


def with_version(path: Path, version: str) -> None:
    def change(schema: Any) -> None:
        for node in nodes(schema):
            content = node.get("content")
            if isinstance(content, dict) and "_sklearn_version" in content:
                content["_sklearn_version"]["content"] = json.dumps(version)

    rewritten(path, change)


def test_a_file_of_a_later_version_is_refused_and_an_earlier_one_is_stated(tmp_path: Path) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)
    with_version(path, "99.1")
    with pytest.raises(ModelRefusedError) as caught:
        ask(path, ROWS)
    assert "runtime older than the model" in said(caught.value)
    assert "scikit-learn 99.1" in said(caught.value)
    with_version(path, "1.7.0")
    found, _ = ask(path, ROWS)
    assert found.file_version.startswith("scikit-learn 1.7.0, ")
    assert found.runtime == f"scikit-learn {sklearn.__version__}"


def test_a_file_that_another_version_cannot_load_says_how_it_can_be_replayed(
    tmp_path: Path,
) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)

    def rename(schema: Any) -> None:
        for node in nodes(schema):
            if node["__class__"] == "LogisticRegression":
                node["content"]["content"].pop("coef_")

    rewritten(path, rename)
    with_version(path, "1.5.2")
    with pytest.raises(ModelRefusedError) as caught:
        ask(path, ROWS)
    assert "written by scikit-learn 1.5.2" in said(caught.value)
    assert "--exact-runtime" in said(caught.value)


@pytest.mark.parametrize("model", [RandomForestClassifier(3), HistGradientBoostingClassifier()])
def test_a_tree_that_leads_nowhere_is_refused_before_it_is_run(tmp_path: Path, model: Any) -> None:
    model = fitted(model, ROWS, TWO)
    if isinstance(model, RandomForestClassifier):
        tree = model.estimators_[1].tree_
        state = tree.__getstate__()
        state["nodes"]["left_child"][0] = 10**6
        tree.__setstate__(state)
    else:
        model._predictors[3][0].nodes["feature_idx"][0] = 77
    with pytest.raises(ModelRefusedError, match="leads nowhere; the file is damaged"):
        ask(saved(model, tmp_path), ROWS)


@pytest.mark.parametrize(
    ("model", "target", "reason"),
    [
        (StandardScaler(), TWO, "neither classifies nor regresses"),
        (RandomForestClassifier(3), np.stack([TWO, TWO], axis=1), "several questions at once"),
        (VotingClassifier([("a", GaussianNB())]), TWO, "gives a label and no score"),
    ],
)
def test_what_gives_no_score_is_refused(
    tmp_path: Path, model: Any, target: Any, reason: str
) -> None:
    path = saved(fitted(model, ROWS, target), tmp_path)
    with pytest.raises(ModelRefusedError, match=reason):
        ask(path, ROWS)


def test_an_estimator_that_was_never_fitted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError, match="cannot load it"):
        ask(saved(LogisticRegression(), tmp_path), ROWS)


def test_what_is_no_ensemble_or_has_steps_before_it_says_so(tmp_path: Path) -> None:
    for model, reason in (
        (SVC(), "neither an ensemble of trees"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "pipeline of several steps"),
        (GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()), "begin with"),
    ):
        path = saved(fitted(model, ROWS, TWO), tmp_path)
        with pytest.raises(ModelRefusedError, match=reason):
            Loaded(path).ensemble()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelRefusedError, match="not a whole skops file"):
        ask(path, ROWS)
    with pytest.raises(ReplayError, match="cut short or damaged"):
        ModelWorker(path)


def test_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b"NUMPY") + 100
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelRefusedError, match="is damaged"):
        ask(path, ROWS)


def test_a_pickle_within_a_zip_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(LogisticRegression()))
        archive.writestr("schema.json", "{}")
    with pytest.raises(ReplayError, match="Python pickle in it"):
        ModelWorker(path)


def test_arrays_of_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path = saved(fitted(LogisticRegression(), ROWS, TWO), tmp_path)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, buffer.getvalue() if name.endswith(".npy") else data)
    with pytest.raises(ModelRefusedError, match="allow_pickle=False"):
        ask(path, ROWS)


def test_the_first_classes_of_texts_keep_their_names(tmp_path: Path) -> None:
    labels = np.array(["no", "yes"])[TWO]
    found, answers = ask(saved(fitted(LogisticRegression(), ROWS, labels), tmp_path), ROWS)
    assert found.classes == ("no", "yes")
    high: Sequence[float] = answers["value"][TWO == 1, 0, 0]
    assert np.mean(high) > 0.5


def test_a_pipeline_is_one_estimator(tmp_path: Path) -> None:
    model = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    found, _ = ask(saved(fitted(model, ROWS, TWO), tmp_path), ROWS)
    assert (found.objective, found.width, found.features) == ("LogisticRegression", 4, ())
