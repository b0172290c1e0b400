"""CatBoost files: the library's own numbers, its trees, and plain reasons where it is not run."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from ensembles import margins

from forensics.errors import ReplayError
from forensics.replay.check import check_model
from forensics.replay.client import ModelWorker
from forensics.replay.runtimes import cbm

RANDOM = np.random.default_rng(7)
ROWS = RANDOM.normal(size=(400, 4)).astype("f4")
ROWS[::9, 1] = np.nan
NAMES = ["income", "debt", "age", "late"]
BINARY = (ROWS[:, 0] + np.nan_to_num(ROWS[:, 1]) > 0).astype(int)
THREE = np.digitize(ROWS[:, 0], [-0.5, 0.5])
CORPUS = {
    "ClassificationAudit": "Audit",
    "ClassificationIris": "Iris",
    "ClassificationVersicolor": "Versicolor",
    "RegressionAuto": "Auto",
}

Texts = Mapping[int, Sequence[str]]


def train(target: Any, rows: Any = ROWS, **options: Any) -> Any:
    settings = {"iterations": 12, "depth": 4, "verbose": 0, "allow_writing_files": False}
    pool = catboost.Pool(rows, target, feature_names=NAMES, cat_features=options.pop("cats", None))
    return catboost.CatBoost({**settings, "random_seed": 3, **options}).fit(pool)


def saved(model: Any, folder: Path) -> Path:
    path = folder / "model.cbm"
    model.save_model(str(path))
    return path


def ask(
    path: Path, *kinds: str, rows: Any = ROWS, trees: int = 0, texts: Texts | None = None
) -> Any:
    with ModelWorker(path) as worker:
        found = worker.describe()
        matrix = np.ascontiguousarray(rows, dtype=found.dtype)
        answers = worker.predict(matrix, len(rows), kinds=kinds, trees=trees, texts=texts)
    shapes = {"contributions": (len(rows), found.outputs, found.width + 1)}
    return [
        np.array(answer).reshape(shapes.get(kind, (len(rows), found.outputs)))
        for kind, answer in zip(kinds, answers, strict=True)
    ]


@pytest.mark.parametrize("name", CORPUS)
def test_public_models_answer_what_their_authors_expect(corpus: Path, name: str) -> None:
    folder = corpus / "models" / "catboost_jpmml"
    found = check_model(
        folder / "cbm" / f"{name}.cbm",
        rows=folder / "csv" / f"{CORPUS[name]}.csv",
        expect=folder / "csv" / f"{name}.csv",
    )
    assert found.reasons == ()
    assert found.comparisons
    for compared in found.comparisons:
        # https://github.com/jpmml/jpmml-catboost, CatBoostTest.java: 2 units in the last place.
        assert (compared.largest_ulps or 0) <= 2
        assert found.rows == compared.count <= compared.bit_equal + 1


@pytest.mark.parametrize(
    ("loss", "target", "kind", "link"),
    [
        ("Logloss", BINARY, "Probability", "logit"),
        ("CrossEntropy", BINARY, "Probability", "logit"),
        ("MultiClass", THREE, "Probability", "softmax"),
        ("MultiClassOneVsAll", THREE, "Probability", "logit"),
        ("RMSE", ROWS[:, 0], "RawFormulaVal", "identity"),
        ("Quantile:alpha=0.9", ROWS[:, 0], "RawFormulaVal", "identity"),
        ("Poisson", BINARY, "Exponent", "log"),
        ("Tweedie:variance_power=1.5", BINARY, "Exponent", "log"),
        ("RMSEWithUncertainty", ROWS[:, 0], "RMSEWithUncertainty", ""),
        ("MultiRMSE", ROWS[:, [0, 2]], "RawFormulaVal", "identity"),
    ],
)
def test_the_value_is_what_the_library_predicts_for_the_loss(
    tmp_path: Path, loss: str, target: Any, kind: str, link: str
) -> None:
    model = train(target, loss_function=loss)
    path = saved(model, tmp_path)
    value, margin = ask(path, "value", "margin")
    expected = model.predict(ROWS, prediction_type=kind).reshape(len(ROWS), -1)
    if loss in ("Logloss", "CrossEntropy"):
        expected = expected[:, 1:]
    assert value.tobytes() == expected.astype("f8").tobytes()
    raw = model.predict(ROWS, prediction_type="RawFormulaVal").reshape(len(ROWS), -1)
    assert margin.tobytes() == raw.tobytes()
    with ModelWorker(path) as worker:
        found = worker.describe()
    if "contributions" in found.kinds:
        (contributions,) = ask(path, "contributions")
        assert np.abs(contributions.sum(axis=2) - margin).max() < 1e-12
    assert ("contributions" in found.kinds) == (loss != "RMSEWithUncertainty")
    back = {
        "logit": lambda m: 1 / (1 + np.exp(-m)),
        "softmax": lambda m: np.exp(m) / np.exp(m).sum(axis=1, keepdims=True),
        "log": np.exp,
        "identity": lambda m: m,
    }
    assert found.link == link
    if link:
        assert np.abs(back[link](margin) - value).max() < 1e-14
    assert found.objective == loss.partition(":")[0]
    assert found.runtime == f"catboost {catboost.__version__}"
    assert found.file_version == catboost.__version__
    assert found.features == tuple(NAMES)
    assert found.rounds == 12


def test_some_of_the_trees_answer_as_the_library_does_with_them(tmp_path: Path) -> None:
    model = train(BINARY, loss_function="Logloss")
    path = saved(model, tmp_path)
    value, margin, contributions = ask(path, "value", "margin", "contributions", trees=5)
    expected = model.predict(ROWS, prediction_type="Probability", ntree_end=5)[:, 1]
    assert value[:, 0].tobytes() == expected.tobytes()
    assert np.abs(contributions.sum(axis=2) - margin).max() < 1e-12
    with pytest.raises(ReplayError, match="has 12 trees, not 13"):
        ask(path, "value", trees=13)


@pytest.mark.parametrize("loss", ["Logloss", "MultiClass", "RMSE"])
@pytest.mark.parametrize("nan_mode", ["Min", "Max"])
def test_the_ensemble_gives_the_margin_of_every_row(
    tmp_path: Path, loss: str, nan_mode: str
) -> None:
    target = {"Logloss": BINARY, "MultiClass": THREE, "RMSE": ROWS[:, 0]}[loss]
    path = saved(train(target, loss_function=loss, nan_mode=nan_mode), tmp_path)
    for trees in (0, 3):
        with ModelWorker(path) as worker:
            ensemble = worker.ensemble(trees)
            cuts = worker.describe().cuts
        (margin,) = ask(path, "margin", trees=trees)
        found = [margins(ensemble, row) for row in ROWS[:60]]
        assert np.abs(np.array(found) - margin[:60]).max() < 1e-12
        for feature, threshold in zip(ensemble.feature, ensemble.threshold, strict=True):
            assert feature < 0 or threshold in cuts[feature]


@pytest.fixture(scope="module")
def loan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model over two numbers, a category with names and one with codes."""
    jobs = np.array(["cook", "pilot", "none"], dtype=object)[THREE]
    frame = pd.DataFrame(
        {"income": ROWS[:, 0], "debt": jobs, "age": ROWS[:, 2], "late": np.arange(400) % 5}
    )
    model = train(BINARY, frame, loss_function="Logloss", cats=["debt", "late"], iterations=20)
    return model, frame, saved(model, tmp_path_factory.mktemp("loan"))


def test_categories_are_text_or_the_whole_numbers_that_they_are_written_as(loan: Any) -> None:
    model, frame, path = loan
    jobs = list(dict.fromkeys(frame["debt"]))
    rows = np.stack(
        [frame["income"], [jobs.index(job) for job in frame["debt"]], frame["age"], frame["late"]],
        axis=1,
    )
    expected = model.predict(frame, prediction_type="Probability")[:, 1]
    with ModelWorker(path) as worker:
        assert worker.describe().texts == (1, 3)
    (coded,) = ask(path, "value", rows=rows, texts={1: jobs})
    assert coded[:, 0].tobytes() == expected.tobytes()
    late = [str(code) for code in range(5)]
    (texts,) = ask(path, "value", rows=rows, texts={1: jobs, 3: late})
    assert texts.tobytes() == coded.tobytes()
    value, contributions, margin = ask(
        path, "value", "contributions", "margin", rows=rows, texts={1: jobs}
    )
    assert np.abs(contributions.sum(axis=2) - margin).max() < 1e-12
    assert np.array_equal(value, coded)


def test_what_a_category_cannot_be_is_refused_by_its_name(loan: Any) -> None:
    _, _, path = loan
    with pytest.raises(ReplayError, match="feature debt is a category and is missing"):
        ask(path, "value", rows=np.array([[0.1, np.nan, 0.2, 1]]))
    with pytest.raises(ReplayError, match="feature late is a category; a fraction is none"):
        ask(path, "value", rows=np.array([[0.1, 0, 0.2, 1.5]]), texts={1: ["cook"]})
    with ModelWorker(path) as worker, pytest.raises(ReplayError, match="features of text"):
        worker.ensemble()


def test_a_category_that_training_never_met_is_answered_as_the_library_does(loan: Any) -> None:
    model, frame, path = loan
    row = frame.iloc[:1].assign(debt="astronaut")
    expected = model.predict(row, prediction_type="Probability")[0, 1]
    rows = np.array([[row["income"].iloc[0], 0, row["age"].iloc[0], row["late"].iloc[0]]])
    (value,) = ask(path, "value", rows=rows, texts={1: ["astronaut"]})
    assert value[0, 0] == expected


def test_features_that_training_did_not_name_have_no_names(tmp_path: Path) -> None:
    model = catboost.CatBoost(
        {"iterations": 2, "verbose": 0, "allow_writing_files": False, "loss_function": "RMSE"}
    ).fit(ROWS, ROWS[:, 0])
    with ModelWorker(saved(model, tmp_path)) as worker:
        found = worker.describe()
    assert (found.features, found.width) == ((), 4)


@pytest.mark.parametrize(("factor", "older"), [(9, True), (0, False)])
def test_a_file_of_a_later_version_is_refused(tmp_path: Path, factor: int, older: bool) -> None:
    path = saved(train(BINARY, loss_function="Logloss"), tmp_path)
    data = path.read_bytes()
    tag = f"tags/v{catboost.__version__}".encode()
    assert tag in data
    other = re.sub(rb"v\d", b"v%d" % factor, tag)
    path.write_bytes(data.replace(tag, other))
    if not older:
        ask(path, "value")
        return
    with pytest.raises(ReplayError, match="runtime older than the model"):
        ask(path, "value")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(train(BINARY, loss_function="Logloss"), tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(len(data) * share))])
    with pytest.raises(ReplayError, match="not a whole CatBoost model"):
        ask(path, "value")


def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    path = saved(train(BINARY, loss_function="Logloss", iterations=2), tmp_path)
    data = path.read_bytes()
    for at in range(8, len(data), 13):
        with pytest.raises(ValueError, match="cut short"):
            cbm.read(data[:at])
        with suppress(ValueError):
            cbm.read(data[:at] + b"\xff\xff" + data[at + 2 :])


def test_the_reader_of_files_agrees_with_the_library(tmp_path: Path) -> None:
    for target, loss in ((THREE, "MultiClass"), (ROWS[:, 0], "RMSE")):
        model = train(target, loss_function=loss)
        found = cbm.read(saved(model, tmp_path).read_bytes())
        assert list(found.names) == NAMES
        assert list(found.sizes) == [4] * 12
        assert list(found.leaves) == list(model.get_leaf_values())
        scale, bias = model.get_scale_and_bias()
        assert (found.scale, found.bias) == (scale, tuple(np.atleast_1d(bias)))
        borders = {feature.name: list(feature.borders) for feature in found.floats}
        assert borders == {
            NAMES[at]: [np.float32(x) for x in edges] for at, edges in model.get_borders().items()
        }


def test_a_sum_of_models_keeps_its_loss(tmp_path: Path) -> None:
    model = train(BINARY, loss_function="Logloss")
    both = catboost.sum_models([model, model])
    path = saved(both, tmp_path)
    (margin,) = ask(path, "margin")
    assert margin[:, 0].tobytes() == both.predict(ROWS, prediction_type="RawFormulaVal").tobytes()


def test_vectors_are_refused_by_name(tmp_path: Path) -> None:
    vectors = [list(map(float, row)) for row in np.nan_to_num(ROWS)]
    frame = pd.DataFrame({"x": ROWS[:, 0], "picture": vectors})
    pool = catboost.Pool(frame, BINARY, embedding_features=["picture"])
    model = catboost.CatBoost(
        {"iterations": 2, "verbose": 0, "allow_writing_files": False, "loss_function": "Logloss"}
    ).fit(pool)
    path = saved(model, tmp_path)
    with pytest.raises(ReplayError, match="feature picture is a vector"):
        ask(path, "value", rows=np.zeros((1, 2)))


def test_rows_arrive_as_any_buffer_of_the_models_type(tmp_path: Path) -> None:
    path = saved(train(BINARY, loss_function="Logloss"), tmp_path)
    with ModelWorker(path) as worker:
        (one,) = worker.predict(array("f", ROWS[0].tobytes()), 1)
        (many,) = worker.predict(np.ascontiguousarray(ROWS), len(ROWS))
    assert one[0] == many[0]
