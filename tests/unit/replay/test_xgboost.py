"""XGBoost through its C interface: the bytes of its own Python package, for every kind of model."""

from __future__ import annotations

import json
import random
import struct
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from ensembles import margins

from forensics.errors import ReplayError
from forensics.replay.client import ModelWorker

WIDTH = 6
RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(600, WIDTH)).astype("f4")
ROWS[RNG.random(ROWS.shape) < 0.05] = np.nan
FRESH = RNG.normal(size=(300, WIDTH)).astype("f4")
FRESH[RNG.random(FRESH.shape) < 0.2] = np.nan
SIGNAL = np.nan_to_num(ROWS) @ np.array([1.0, -0.5, 0.3, 0.0, 0.2, 0.1]) + np.abs(
    np.nan_to_num(ROWS[:, 3])
)
QUIET = {"nthread": 1, "verbosity": 0, "seed": 3, "max_depth": 3, "eta": 0.4}

LABELS: dict[str, Callable[[], dict[str, Any]]] = {
    "numbers": lambda: {"label": SIGNAL},
    "positive": lambda: {"label": np.exp(SIGNAL / 3)},
    "shares": lambda: {"label": 1 / (1 + np.exp(-SIGNAL))},
    "two": lambda: {"label": (SIGNAL > 0).astype(int)},
    "classes": lambda: {"label": np.digitize(SIGNAL, [-0.5, 0.8])},
    "counts": lambda: {"label": np.floor(np.exp(SIGNAL / 2))},
    "ranks": lambda: {"label": np.digitize(SIGNAL, [-0.5, 0.8]), "group": [20] * 30},
    "times": lambda: {"label": np.where(SIGNAL > 1, -1, 1) * np.exp(SIGNAL / 3)},
    "bounds": lambda: {
        "label_lower_bound": np.exp(SIGNAL / 3),
        "label_upper_bound": np.where(SIGNAL > 1, np.inf, np.exp(SIGNAL / 3)),
    },
}
OBJECTIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "reg:squarederror": ("numbers", {}),
    "reg:squaredlogerror": ("positive", {}),
    "reg:pseudohubererror": ("numbers", {}),
    "reg:absoluteerror": ("numbers", {}),
    "reg:quantileerror": ("numbers", {"quantile_alpha": 0.3}),
    "reg:logistic": ("shares", {}),
    "reg:gamma": ("positive", {}),
    "reg:tweedie": ("counts", {}),
    "binary:logistic": ("two", {}),
    "binary:logitraw": ("two", {}),
    "binary:hinge": ("two", {}),
    "count:poisson": ("counts", {}),
    "survival:cox": ("times", {}),
    "survival:aft": ("bounds", {}),
    "multi:softprob": ("classes", {"num_class": 3}),
    "rank:pairwise": ("ranks", {}),
    "rank:ndcg": ("ranks", {}),
    "rank:map": ("ranks", {"lambdarank_pair_method": "topk"}),
}


def _matrix(labels: str, rows: Any = ROWS, **options: Any) -> xgb.DMatrix:
    found = LABELS[labels]()
    if labels == "ranks" and options.pop("two", False):
        found["label"] = (found["label"] > 1).astype(int)
    return xgb.DMatrix(rows, **found, **options)


def _train(objective: str, rounds: int = 8, **options: Any) -> xgb.Booster:
    labels, needed = OBJECTIVES[objective]
    matrix = _matrix(labels, two=objective == "rank:map") if labels == "ranks" else _matrix(labels)
    return xgb.train({**QUIET, "objective": objective, **needed, **options}, matrix, rounds)


def _save(booster: xgb.Booster, folder: Path, name: str = "model.ubj") -> Path:
    booster.save_model(folder / name)
    return folder / name


def _bytes(values: Any) -> bytes:
    return np.ascontiguousarray(values, "f4").tobytes()


def _check(booster: xgb.Booster, path: Path, rows: Any = FRESH) -> None:
    """Value, margin, contributions and ensemble, each against the library's own Python package."""
    matrix = xgb.DMatrix(rows)
    with ModelWorker(path) as worker:
        found = worker.describe()
        answers = dict(
            zip(found.kinds, worker.predict(rows, len(rows), kinds=found.kinds), strict=True)
        )
        single = worker.predict(rows[3], 1)[0]
        model = worker.ensemble()
    assert answers["value"].tobytes() == _bytes(booster.predict(matrix))
    size = len(answers["value"]) // len(rows)
    assert single.tobytes() == answers["value"][3 * size : 4 * size].tobytes()
    margin = booster.predict(matrix, output_margin=True)
    if "margin" in answers:
        assert size == found.outputs
        assert answers["margin"].tobytes() == _bytes(margin)
    if "contributions" in answers:
        assert answers["contributions"].tobytes() == _bytes(
            booster.predict(matrix, pred_contribs=True)
        )
    linked = _linked(found.link, np.asarray(margin, "f8").reshape(len(rows), -1))
    if linked is not None:
        value = np.array(answers["value"]).reshape(linked.shape)
        np.testing.assert_allclose(value, linked, rtol=1e-5, atol=1e-6)
    computed = [margins(model, row) for row in rows]
    np.testing.assert_allclose(computed, np.reshape(margin, (len(rows), -1)), rtol=2e-5, atol=2e-5)


def _linked(link: str, margin: Any) -> Any:
    if link == "softmax":
        powers = np.exp(margin - margin.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if not link:
        return None
    return {
        "identity": lambda: margin,
        "logit": lambda: 1 / (1 + np.exp(-margin)),
        "log": lambda: np.exp(margin),
    }[link]()


@pytest.mark.parametrize("base", [None, 0.4])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_is_answered_as_the_library_does(
    tmp_path: Path, objective: str, base: float | None
) -> None:
    options = {} if base is None else {"base_score": base}
    booster = _train(objective, **options)
    _check(booster, _save(booster, tmp_path))


def test_the_objectives_tested_are_all_that_the_library_offers() -> None:
    with pytest.raises(xgb.core.XGBoostError) as caught:
        xgb.train({"objective": "no:such"}, _matrix("numbers"), 1)
    lines = str(caught.value).splitlines()
    offered = {
        line.removeprefix("Objective candidate: ")
        for line in lines
        if line.startswith("Objective candidate: ")
    }
    # reg:linear is the old name of reg:squarederror, and no file has it.
    assert offered - {"reg:linear"} == {*OBJECTIVES, "multi:softmax"}


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("binary:logistic", {"booster": "dart", "rate_drop": 0.5, "one_drop": True}),
        ("multi:softprob", {"booster": "dart", "rate_drop": 0.5, "num_class": 3}),
        ("binary:logistic", {"booster": "gblinear"}),
        ("multi:softprob", {"booster": "gblinear", "num_class": 3}),
        ("count:poisson", {"booster": "gblinear", "eta": 0.1}),
        ("binary:logistic", {"num_parallel_tree": 4, "subsample": 0.5}),
        ("multi:softprob", {"num_parallel_tree": 3, "subsample": 0.5}),
        ("reg:quantileerror", {"quantile_alpha": [0.1, 0.5, 0.9]}),
        ("binary:logistic", {"tree_method": "exact"}),
        ("binary:logistic", {"tree_method": "approx", "gamma": 0.5}),
        ("binary:logistic", {"grow_policy": "lossguide", "max_leaves": 9}),
    ],
)
def test_every_booster_is_answered_as_the_library_does(
    tmp_path: Path, form: str, objective: str, options: dict[str, Any]
) -> None:
    booster = _train(objective, **{**QUIET, **options})
    _check(booster, _save(booster, tmp_path, f"model.{form}"))


@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_targets_are_several_outputs(tmp_path: Path, strategy: str) -> None:
    labels = np.column_stack([SIGNAL, -2 * SIGNAL, SIGNAL**2])
    options = {**QUIET, "multi_strategy": strategy, "tree_method": "hist"}
    booster = xgb.train(options, xgb.DMatrix(ROWS, labels), 6)
    path = _save(booster, tmp_path)
    _check(booster, path)
    if strategy == "multi_output_tree":  # the library has no contributions for these
        with ModelWorker(path) as worker, pytest.raises(ReplayError, match="no contributions"):
            worker.predict(FRESH, len(FRESH), kinds=("contributions",))


def test_the_value_of_softmax_is_the_class(tmp_path: Path) -> None:
    options = {**QUIET, "objective": "multi:softmax", "num_class": 3}
    booster = xgb.train(options, _matrix("classes"), 5)
    with ModelWorker(_save(booster, tmp_path)) as worker:
        found = worker.describe()
        (value,) = worker.predict(FRESH, len(FRESH))
    assert value.tobytes() == _bytes(booster.predict(xgb.DMatrix(FRESH)))
    assert (found.outputs, found.kinds, found.link) == (1, ("value",), "")


@pytest.mark.parametrize("booster_kind", ["gbtree", "dart"])
def test_fewer_rounds_are_those_of_iteration_range(tmp_path: Path, booster_kind: str) -> None:
    booster = _train("multi:softprob", num_parallel_tree=2, booster=booster_kind)
    booster.set_attr(best_iteration="4")
    with ModelWorker(_save(booster, tmp_path)) as worker:
        found = worker.describe()
        assert (found.rounds, found.best_iteration) == (8, 4)
        value, margin = worker.predict(FRESH, len(FRESH), kinds=("value", "margin"), trees=5)
        model = worker.ensemble(trees=5)
        with pytest.raises(ReplayError, match="8 boosting rounds, not 9"):
            worker.predict(FRESH, len(FRESH), trees=9)
    matrix = xgb.DMatrix(FRESH)
    assert value.tobytes() == _bytes(booster.predict(matrix, iteration_range=(0, 5)))
    computed = np.array([margins(model, row) for row in FRESH])
    np.testing.assert_allclose(computed.ravel(), margin, rtol=2e-5, atol=2e-5)


def test_a_linear_booster_has_no_rounds_to_stop_at(tmp_path: Path) -> None:
    booster = _train("binary:logistic", booster="gblinear")
    booster.set_attr(best_iteration="2")
    with ModelWorker(_save(booster, tmp_path)) as worker:
        assert worker.describe().rounds == 0
        with pytest.raises(ReplayError, match="0 boosting rounds"):
            worker.predict(FRESH, len(FRESH), trees=1)


@pytest.mark.parametrize("onehot", [1, 100])
def test_codes_of_categories_are_answered_as_the_library_does(tmp_path: Path, onehot: int) -> None:
    rows, fresh = ROWS.copy(), FRESH.copy()
    for part in (rows, fresh):
        part[:, 1] = RNG.integers(0, 12, len(part))
        part[::7, 1] = np.nan
    types = ["q", "c", *["q"] * (WIDTH - 2)]
    labels = np.nan_to_num(rows[:, 1]) % 3 + SIGNAL / 4
    matrix = xgb.DMatrix(rows, labels, feature_types=types, enable_categorical=True)
    booster = xgb.train({**QUIET, "max_cat_to_onehot": onehot}, matrix, 6)
    path = _save(booster, tmp_path)
    # The library itself would not take the last of these in a matrix.
    fresh[:4, 1] = (40, 0, 11, 3)
    with ModelWorker(path) as worker:
        found = worker.describe()
        value, contributions = worker.predict(fresh, len(fresh), kinds=("value", "contributions"))
        model = worker.ensemble()
    own = xgb.DMatrix(fresh, feature_types=types, enable_categorical=True)
    assert value.tobytes() == _bytes(booster.predict(own))
    assert contributions.tobytes() == _bytes(booster.predict(own, pred_contribs=True))
    assert found.categorical == (1,)
    assert not found.cuts[1]
    assert (found.texts, found.categories) == ((), {})
    odd = fresh.copy()
    odd[:3, 1] = (-1, 2.7, 1e9)
    np.testing.assert_allclose(
        [margins(model, row)[0] for row in odd], booster.inplace_predict(odd), atol=2e-5
    )


CITIES = ["Zurich", "Aix", "Osaka", "Lima", "aarhus", "Bern"]


def _frame(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "city": pd.Categorical(rng.choice([*CITIES, None], count), categories=CITIES),
            "age": rng.normal(size=count).astype("f4"),
            "code": pd.Categorical(rng.choice([3, 9, 5, 12], count), categories=[3, 9, 5, 12]),
        }
    )


def _texts(frame: pd.DataFrame) -> tuple[Any, dict[int, list[str]]]:
    """A frame as a matrix in which a text is its place among those that occur."""
    texts, columns = {}, []
    for at, name in enumerate(frame):
        column = frame[name]
        if name == "age":
            columns.append(column.to_numpy("f4"))
            continue
        known = [str(value) for value in column.dropna().unique()][::-1]
        texts[at] = known
        places = [known.index(str(v)) if pd.notna(v) else np.nan for v in column]
        columns.append(np.array(places, "f4"))
    return np.column_stack(columns), texts


@pytest.fixture
def cities(tmp_path: Path) -> tuple[xgb.Booster, Path]:
    frame = _frame(500, 1)
    labels = frame["city"].cat.codes % 3 + frame["code"].astype(int) / 5
    matrix = xgb.DMatrix(frame, labels, enable_categorical=True)
    booster = xgb.train({**QUIET, "max_cat_to_onehot": 1}, matrix, 8)
    return booster, _save(booster, tmp_path)


def test_texts_have_the_codes_that_the_file_keeps(cities: tuple[xgb.Booster, Path]) -> None:
    booster, path = cities
    frame = _frame(200, 2)
    rows, texts = _texts(frame)
    with ModelWorker(path) as worker:
        found = worker.describe()
        value, contributions = worker.predict(
            rows, len(rows), kinds=("value", "contributions"), texts=texts
        )
        coded = np.column_stack(
            [frame["city"].cat.codes, frame["age"], frame["code"].cat.codes]
        ).astype("f4")
        coded[coded[:, 0] < 0, 0] = np.nan
        (by_code,) = worker.predict(coded, len(coded))
        patched = worker.predict(
            rows[0], 3, columns={0: array("f", [0, 1, np.nan])}, texts={**texts, 0: ["Bern", "Aix"]}
        )[0]
        model = worker.ensemble()
    matrix = xgb.DMatrix(frame, enable_categorical=True)
    assert found.features == ("city", "age", "code")
    assert found.texts == found.categorical == (0, 2)
    assert found.categories == {0: tuple(CITIES), 2: ("3", "9", "5", "12")}
    assert value.tobytes() == by_code.tobytes() == _bytes(booster.predict(matrix))
    assert contributions.tobytes() == _bytes(booster.predict(matrix, pred_contribs=True))
    three = frame.iloc[[0, 0, 0]].copy()
    three["city"] = pd.Categorical(["Bern", "Aix", None], categories=CITIES)
    assert patched.tobytes() == _bytes(booster.inplace_predict(three))
    np.testing.assert_allclose([margins(model, row)[0] for row in coded], value, atol=2e-5)


@pytest.mark.parametrize("city", ["Ars", "Cádiz", "Zzz", "Ñuble", "ÿ", "", "Bern "])
def test_an_unknown_text_is_what_the_library_takes_it_for(
    cities: tuple[xgb.Booster, Path], city: str
) -> None:
    """XGBoost before 3.3 takes it for the next known one, and refuses it when there is none."""
    booster, path = cities
    frame = _frame(3, 2)
    frame["city"] = pd.Categorical([city, "Bern", "Aix"])
    rows, texts = _texts(frame)
    with ModelWorker(path) as worker:
        value, contributions = worker.predict(
            rows, 3, kinds=("value", "contributions"), texts=texts
        )
    try:
        own = booster.inplace_predict(frame)
    except xgb.core.XGBoostError:
        assert np.isnan(value[0])
        assert np.isnan(contributions[:4]).all()
        assert not np.isnan(value[1:]).any()
    else:
        assert value.tobytes() == _bytes(own)


def test_an_unknown_number_of_a_category_is_what_the_library_takes_it_for(
    cities: tuple[xgb.Booster, Path],
) -> None:
    booster, path = cities
    for code in (4, 10, 99):
        frame = _frame(2, 2)
        frame["code"] = pd.Categorical([code, 9])
        rows, texts = _texts(frame)
        with ModelWorker(path) as worker:
            (value,) = worker.predict(rows, 2, texts=texts)
        try:
            own = booster.inplace_predict(frame)
        except xgb.core.XGBoostError:
            assert np.isnan(value[0])
            assert not np.isnan(value[1])
        else:
            assert value.tobytes() == _bytes(own)


def test_names_that_the_library_wrote_in_pieces_are_refused_and_codes_are_not(
    tmp_path: Path,
) -> None:
    names = ["Zürich", "Aix", "Bern"]
    frame = pd.DataFrame({"city": pd.Categorical(names * 20, categories=names)})
    matrix = xgb.DMatrix(frame, np.arange(60) % 3, enable_categorical=True)
    booster = xgb.train(QUIET, matrix, 3)
    whole = json.loads(booster.save_raw("json"))["version"] >= [3, 4, 0]
    with ModelWorker(_save(booster, tmp_path)) as worker:
        found = worker.describe()
        (value,) = worker.predict(array("f", [0, 1, 2]), 3)
        assert found.texts == (0,)
        assert found.categories == {0: tuple(names) if whole else ()}
        if not whole:
            with pytest.raises(ReplayError, match="beyond ASCII"):
                worker.predict(array("f", [0]), 1, texts={0: ["Bern"]})
    assert value.tobytes() == _bytes(booster.predict(matrix)[:3])


def test_a_place_beyond_the_texts_is_refused(cities: tuple[xgb.Booster, Path]) -> None:
    with ModelWorker(cities[1]) as worker, pytest.raises(ReplayError, match="text 1 of 1"):
        worker.predict(array("f", [1, 0, 0]), 1, texts={0: ["Bern"]})


def test_text_for_a_feature_of_numbers_is_a_programming_error(
    cities: tuple[xgb.Booster, Path],
) -> None:
    with ModelWorker(cities[1]) as worker, pytest.raises(ValueError, match="takes none"):
        worker.predict(array("f", [0, 0, 0]), 1, texts={1: ["old"]})


def _document(tmp_path: Path, **options: Any) -> Any:
    path = _save(_train("binary:logistic", 3, **options), tmp_path, "model.json")
    return json.loads(path.read_text())


def _refusal(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "changed"
    path.write_bytes(data)
    with pytest.raises(ReplayError) as caught, ModelWorker(path, timeout_s=20) as worker:
        worker.predict(FRESH, len(FRESH))
    return str(caught.value)


def test_a_model_with_a_tree_too_few_is_refused(tmp_path: Path) -> None:
    document = _document(tmp_path)
    del document["learner"]["gradient_booster"]["model"]["trees"][1]
    assert "number of trees" in _refusal(tmp_path, json.dumps(document).encode())


def test_dropout_without_its_weights_is_refused(tmp_path: Path) -> None:
    document = _document(tmp_path, booster="dart")
    document["learner"]["gradient_booster"]["weight_drop"].pop()
    assert "number of weights" in _refusal(tmp_path, json.dumps(document).encode())


def test_vector_leaves_of_earlier_versions_are_refused_where_the_library_would_crash(
    tmp_path: Path,
) -> None:
    options = {**QUIET, "multi_strategy": "multi_output_tree", "tree_method": "hist"}
    booster = xgb.train(options, xgb.DMatrix(ROWS, np.column_stack([SIGNAL, -SIGNAL])), 2)
    document = json.loads(booster.save_raw("json"))
    document["version"] = [3, 1, 3]
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        del tree["leaf_weights"]
    text = _refusal(tmp_path, json.dumps(document).encode())
    assert "leaves are vectors" in text
    assert "Install xgboost 3.1.3" in text


def test_a_booster_that_is_not_known_is_refused(tmp_path: Path) -> None:
    document = _document(tmp_path)
    document["learner"]["gradient_booster"]["name"] = "gbforest"
    assert "boosters called gbforest" in _refusal(tmp_path, json.dumps(document).encode())


def test_an_objective_that_the_library_does_not_know_is_refused(tmp_path: Path) -> None:
    document = _document(tmp_path)
    document["learner"]["objective"]["name"] = "reg:new"
    assert "refused it" in _refusal(tmp_path, json.dumps(document).encode())


def test_trees_that_run_in_circles_are_no_ensemble(tmp_path: Path) -> None:
    document = _document(tmp_path)
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    at = next(at for at, left in enumerate(tree["left_children"]) if at and left != -1)
    tree["left_children"][at], tree["right_children"][at] = 0, 1
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    with ModelWorker(path) as worker:
        try:
            worker.describe()
        except ReplayError:
            return
        with pytest.raises(ReplayError, match="damaged"):
            worker.ensemble()


@pytest.mark.parametrize("kind", ["gbtree", "dart", "gblinear"])
@pytest.mark.parametrize("form", ["json", "ubj"])
def test_a_file_cut_at_any_length_is_refused(tmp_path: Path, form: str, kind: str) -> None:
    whole = _save(_train("binary:logistic", 2, booster=kind), tmp_path, f"m.{form}").read_bytes()
    chance = random.Random(4)
    for size in [*chance.sample(range(1, len(whole)), 12), len(whole) - 1]:
        assert _refusal(tmp_path, whole[:size])


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_flipped_bits_never_end_the_caller(tmp_path: Path, form: str) -> None:
    whole = _save(_train("binary:logistic", 2), tmp_path, f"model.{form}").read_bytes()
    chance = random.Random(9)
    answers, reasons = 0, []
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path = tmp_path / "flipped"
        path.write_bytes(data)
        try:
            with ModelWorker(path, timeout_s=20, memory_bytes=1 << 30) as worker:
                if worker.describe().width == WIDTH:
                    worker.predict(FRESH, len(FRESH))
                    worker.ensemble()
                    answers += 1
        except ReplayError as error:
            reasons.append(str(error))
    assert reasons
    assert all(reasons)
    assert answers  # some bits are not looked at: the digest is what tells those


def test_what_is_typed_or_nested_wrongly_in_ubjson_is_refused(tmp_path: Path) -> None:
    long = b"L" + struct.pack(">q", 1 << 40)
    for data in (
        b"{" + long,
        b"{L" + bytes(8) + b"[$q#" + long,
        b"{" + (b"L" + bytes(8) + b"{") * 99,
    ):
        assert "not a whole XGBoost model" in _refusal(tmp_path, data)
