"""LightGBM through its C interface: the bytes of its own Python package, whatever the model."""

from __future__ import annotations

import csv
import math
import random
import re
from array import array
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from ensembles import margins

from forensics.errors import ReplayError
from forensics.replay.client import ModelWorker
from forensics.replay.runtimes.interface import ModelRefusedError
from forensics.replay.runtimes.lightgbm_file import LightGBMFile

WIDTH = 6
RNG = np.random.default_rng(6)
ROWS = RNG.normal(size=(800, WIDTH))
ROWS[RNG.random(ROWS.shape) < 0.05] = np.nan
ROWS[:, 4] = np.where(RNG.random(800) < 0.5, 0.0, ROWS[:, 4])
FRESH = RNG.normal(size=(300, WIDTH))
FRESH[RNG.random(FRESH.shape) < 0.2] = np.nan
FRESH[RNG.random(FRESH.shape) < 0.1] = 0.0
SIGNAL = np.nan_to_num(ROWS) @ np.array([1.0, -0.5, 0.3, 0.0, 0.8, 0.1]) + np.abs(
    np.nan_to_num(ROWS[:, 3])
)
QUIET = {"num_threads": 1, "verbose": -1, "seed": 3, "num_leaves": 9, "deterministic": True}

OBJECTIVES: dict[str, tuple[Any, dict[str, Any]]] = {
    "regression": (SIGNAL, {}),
    "regression_l1": (SIGNAL, {}),
    "huber": (SIGNAL, {}),
    "fair": (SIGNAL, {}),
    "quantile": (SIGNAL, {"alpha": 0.3}),
    "mape": (SIGNAL, {}),
    "poisson": (np.floor(np.exp(SIGNAL / 2)), {}),
    "gamma": (np.exp(SIGNAL / 3), {}),
    "tweedie": (np.floor(np.exp(SIGNAL / 2)), {}),
    "binary": ((SIGNAL > 0).astype(int), {}),
    "cross_entropy": (1 / (1 + np.exp(-SIGNAL)), {}),
    "cross_entropy_lambda": (1 / (1 + np.exp(-SIGNAL)), {}),
    "multiclass": (np.digitize(SIGNAL, [-0.5, 0.8]), {"num_class": 3}),
    "multiclassova": (np.digitize(SIGNAL, [-0.5, 0.8]), {"num_class": 3}),
    "lambdarank": (np.digitize(SIGNAL, [-0.5, 0.8]), {}),
    "rank_xendcg": (np.digitize(SIGNAL, [-0.5, 0.8]), {}),
}


def _train(objective: str, rounds: int = 8, rows: Any = ROWS, **options: Any) -> lgb.Booster:
    labels, needed = OBJECTIVES[objective]
    group = [20] * 40 if "rank" in objective else None
    settings = {**QUIET, "objective": objective, **needed, **options}
    return lgb.train(settings, lgb.Dataset(rows, labels, group=group, params=settings), rounds)


def _save(booster: lgb.Booster, folder: Path) -> Path:
    booster.save_model(folder / "model.txt")
    return folder / "model.txt"


def _bytes(values: Any) -> bytes:
    return np.ascontiguousarray(values, "f8").tobytes()


def _check(booster: lgb.Booster, path: Path, rows: Any = FRESH, average: int = 1) -> Any:
    """Value, margin, contributions and ensemble, each against the library's own Python package."""
    with ModelWorker(path) as worker:
        found = worker.describe()
        answers = dict(
            zip(found.kinds, worker.predict(rows, len(rows), kinds=found.kinds), strict=True)
        )
        single = worker.predict(rows[3], 1)[0]
        model = worker.ensemble() if "contributions" in answers else None
    size = found.outputs
    assert answers["value"].tobytes() == _bytes(booster.predict(rows))
    assert single.tobytes() == answers["value"][3 * size : 4 * size].tobytes()
    margin = booster.predict(rows, raw_score=True) / average
    assert answers["margin"].tobytes() == _bytes(margin)
    if model is not None:
        contributions = booster.predict(rows, pred_contrib=True) / average
        assert answers["contributions"].tobytes() == _bytes(contributions)
        computed = [margins(model, row) for row in rows]
        np.testing.assert_allclose(
            computed, np.reshape(margin, (len(rows), -1)), rtol=1e-12, atol=1e-12
        )
    linked = _linked(found.link, np.reshape(margin, (len(rows), -1)))
    if linked is not None:
        np.testing.assert_allclose(np.reshape(answers["value"], linked.shape), linked, rtol=1e-12)
    return found


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


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_is_answered_as_the_library_does(tmp_path: Path, objective: str) -> None:
    booster = _train(objective)
    found = _check(booster, _save(booster, tmp_path))
    assert found.objective == objective
    assert found.runtime == f"lightgbm {lgb.__version__}"
    assert (found.file_version, found.rounds, found.dtype) == ("v4", 8, "d")
    assert bool(found.link) == (objective != "cross_entropy_lambda")


@pytest.mark.parametrize(
    ("objective", "options", "link"),
    [
        ("binary", {"sigmoid": 2.5}, ""),
        ("multiclassova", {"sigmoid": 0.5}, ""),
        ("regression", {"reg_sqrt": True}, ""),
        ("binary", {"boosting": "dart", "drop_rate": 0.5, "skip_drop": 0.0}, "logit"),
        ("binary", {"extra_trees": True, "data_sample_strategy": "goss"}, "logit"),
        ("regression", {"zero_as_missing": True}, "identity"),
        ("regression", {"use_missing": False}, "identity"),
        ("regression", {"linear_tree": True}, "identity"),
        ("multiclass", {"linear_tree": True}, "softmax"),
    ],
)
def test_other_boosters_and_missing_values_are_answered_as_the_library_does(
    tmp_path: Path, objective: str, options: dict[str, Any], link: str
) -> None:
    booster = _train(objective, **options)
    path = _save(booster, tmp_path)
    found = _check(booster, path)
    assert found.link == link
    if options.get("linear_tree"):
        with ModelWorker(path) as worker:
            with pytest.raises(ReplayError, match="no contributions"):
                worker.predict(FRESH, len(FRESH), kinds=("contributions",))
            with pytest.raises(ReplayError, match="leaves are linear"):
                worker.ensemble()


@pytest.mark.parametrize("objective", ["binary", "regression", "multiclass"])
def test_margins_of_random_forests_are_averages(tmp_path: Path, objective: str) -> None:
    booster = _train(objective, boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    path = _save(booster, tmp_path)
    _check(booster, path, average=8)
    with ModelWorker(path) as worker:
        value, margin = worker.predict(FRESH, len(FRESH), kinds=("value", "margin"), trees=3)
        model = worker.ensemble(trees=3)
    assert value.tobytes() == _bytes(booster.predict(FRESH, num_iteration=3))
    computed = np.ravel([margins(model, row) for row in FRESH])
    np.testing.assert_allclose(computed, margin, rtol=1e-12, atol=1e-12)


def test_a_custom_objective_has_the_margin_as_its_value(tmp_path: Path) -> None:
    def squares(predicted: Any, data: lgb.Dataset) -> Any:
        return predicted - data.get_label(), np.ones(len(predicted))

    settings = {**QUIET, "objective": squares}
    booster = lgb.train(settings, lgb.Dataset(ROWS, SIGNAL), 5)
    found = _check(booster, _save(booster, tmp_path))
    assert found.link == "identity"


def test_fewer_rounds_are_those_of_num_iteration(tmp_path: Path) -> None:
    booster = _train("multiclass")
    with ModelWorker(_save(booster, tmp_path)) as worker:
        value, margin = worker.predict(FRESH, len(FRESH), kinds=("value", "margin"), trees=5)
        model = worker.ensemble(trees=5)
        with pytest.raises(ReplayError, match="8 boosting rounds, not 9"):
            worker.predict(FRESH, len(FRESH), trees=9)
    assert value.tobytes() == _bytes(booster.predict(FRESH, num_iteration=5))
    computed = np.ravel([margins(model, row) for row in FRESH])
    np.testing.assert_allclose(computed, margin, rtol=1e-12, atol=1e-12)


def test_a_tree_of_one_leaf_is_an_answer(tmp_path: Path) -> None:
    booster = _train("regression", min_data_in_leaf=5000)
    found = _check(booster, _save(booster, tmp_path))
    assert found.rounds == 1
    assert not any(found.cuts)


@pytest.mark.parametrize("options", [{}, {"zero_as_missing": True}])
def test_between_two_cut_points_nothing_changes(tmp_path: Path, options: dict[str, Any]) -> None:
    booster = _train("regression", **options)
    with ModelWorker(_save(booster, tmp_path)) as worker:
        cuts = worker.describe().cuts[4]
        probes = sorted({value for cut in cuts for value in (cut, math.nextafter(cut, -math.inf))})
        values = array("d", [*probes, *np.linspace(-3, 3, 2000)])
        (answers,) = worker.predict(FRESH[5], len(values), columns={4: values}, kinds=("margin",))
    cells = [sum(value >= cut for cut in cuts) for value in values]
    by_cell: dict[int, set[float]] = {}
    for cell, answer in zip(cells, answers, strict=True):
        by_cell.setdefault(cell, set()).add(answer)
    assert len(by_cell) == len(cuts) + 1
    assert all(len(found) == 1 for found in by_cell.values())
    assert list(cuts) == sorted(set(cuts))


def _frame(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    cities = ["Zürich", "Aix", "Ōsaka", "Lima", 'a "b"', "Bern"]
    return pd.DataFrame(
        {
            "age": rng.normal(size=count),
            "city": pd.Categorical(rng.choice(np.array([*cities, None], "O"), count), cities),
            "member": pd.Categorical(rng.choice([True, False], count)),
            "code": pd.Categorical(rng.choice([3, 9, 5, 12], count), categories=[3, 9, 5, 12]),
        }
    )


def _texts(frame: pd.DataFrame) -> tuple[Any, dict[int, list[str]]]:
    """A frame as a matrix in which a text is its place among those that occur."""
    texts, columns = {}, []
    for at, name in enumerate(frame):
        column = frame[name]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            columns.append(column.to_numpy("f8"))
            continue
        texts[at] = [str(value) for value in column.dropna().unique()][::-1]
        places = [texts[at].index(str(v)) if pd.notna(v) else np.nan for v in column]
        columns.append(np.array(places, "f8"))
    return np.column_stack(columns), texts


def _train_frame(frame: pd.DataFrame, rounds: int = 8, **options: Any) -> lgb.Booster:
    code = frame["code"].cat.codes if "code" in frame else 0
    labels = frame["city"].cat.codes % 3 + code / 2 + frame["age"] / 3
    settings = {**QUIET, "min_data_per_group": 1, "cat_smooth": 1, **options}
    return lgb.train(settings, lgb.Dataset(frame, labels, params=settings), rounds)


@pytest.mark.parametrize("max_cat_to_onehot", [1, 20])
def test_texts_have_the_codes_that_the_file_keeps(tmp_path: Path, max_cat_to_onehot: int) -> None:
    booster = _train_frame(_frame(600, 1), max_cat_to_onehot=max_cat_to_onehot)
    frame = _frame(200, 2)
    frame["city"] = frame["city"].cat.add_categories("Oz")
    frame.loc[:20, "city"] = "Oz"  # which was never seen, and so counts as missing
    rows, texts = _texts(frame)
    with ModelWorker(_save(booster, tmp_path)) as worker:
        found = worker.describe()
        value, contributions = worker.predict(
            rows, len(rows), kinds=("value", "contributions"), texts=texts
        )
        model = worker.ensemble()
    assert value.tobytes() == _bytes(booster.predict(frame))
    assert contributions.tobytes() == _bytes(booster.predict(frame, pred_contrib=True))
    assert found.features == ("age", "city", "member", "code")
    assert found.texts == (1, 2, 3)
    assert set(found.categorical) <= {1, 2, 3}
    assert found.categories[1] == ("Zürich", "Aix", "Ōsaka", "Lima", 'a "b"', "Bern")
    assert found.categories[2] == ("False", "True")
    assert found.categories[3] == ("3", "9", "5", "12")
    known = {at: {text: code for code, text in enumerate(found.categories[at])} for at in texts}
    coded = rows.copy()
    for at, names in texts.items():
        for row in coded:
            row[at] = known[at].get(names[int(row[at])], math.nan) if row[at] >= 0 else math.nan
    np.testing.assert_allclose([margins(model, row)[0] for row in coded], value, atol=1e-12)
    odd = coded[:60].copy()
    odd[:, 1] = np.linspace(-3, 8, 60)
    np.testing.assert_allclose(
        [margins(model, row)[0] for row in odd], booster.predict(odd), atol=1e-12
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [("9", 1), ("9.0", 1), (" 9", 1), ("nan", None), ("nine", None), ("4", None), ("inf", None)],
)
def test_a_category_that_is_a_number_is_known_however_it_is_written(
    tmp_path: Path, text: str, code: int | None
) -> None:
    booster = _train_frame(_frame(600, 1))
    row = array("d", [0.5, 1, 0, 0])
    coded = np.array([[0.5, 1, 0, math.nan if code is None else code]])
    with ModelWorker(_save(booster, tmp_path)) as worker:
        (value,) = worker.predict(row, 1, texts={3: [text]})
    assert value.tobytes() == _bytes(booster.predict(coded))


def test_categories_of_which_it_is_not_known_whose_they_are_are_refused(tmp_path: Path) -> None:
    frame = _frame(600, 1)
    frame["member"] = frame["member"].cat.as_ordered()  # its codes are split as numbers
    booster = _train_frame(frame)
    rows, texts = _texts(frame)
    with ModelWorker(_save(booster, tmp_path)) as worker:
        found = worker.describe()
        assert found.texts == (0, 1, 2, 3)
        assert not any(found.categories.values())
        with pytest.raises(ReplayError, match="does not say of which features"):
            worker.predict(rows, len(rows), texts=texts)
        coded = frame.assign(**{name: frame[name].cat.codes for name in frame if name != "age"})
        coded["city"] = coded["city"].replace(-1, np.nan)
        (value,) = worker.predict(coded.to_numpy("f8").copy("C"), len(coded))
    assert value.tobytes() == _bytes(booster.predict(frame))


def test_names_that_the_library_made_up_are_none(tmp_path: Path) -> None:
    booster = _train("binary")
    assert booster.feature_name()[0] == "Column_0"
    with ModelWorker(_save(booster, tmp_path)) as worker:
        assert worker.describe().features == ()


# Foreign models. The authors allow from 2 units in the last place to 16, by model:
# https://github.com/jpmml/jpmml-lightgbm, ClassificationTest.java and RegressionTest.java.
_ULPS_MAX = 2
FOREIGN = [
    "ClassificationAudit", "ClassificationAudit@17", "ClassificationAuditInvalid",
    "ClassificationAuditNA", "ClassificationAuditNA@17", "ClassificationAuditBin",
    "ClassificationAuditBinNA", "ClassificationIris", "ClassificationIris@7",
    "ClassificationIrisNA", "ClassificationIrisNA@7", "ClassificationVersicolor",
    "ClassificationVersicolor@9", "LinearTreeClassificationAudit",
    "LinearTreeClassificationAuditNA", "LinearTreeRegressionAuto", "LinearTreeRegressionAutoNA",
    "RFClassificationAudit", "RFClassificationIris", "RFRegressionAuto", "RegressionAuto",
    "RegressionAuto@17", "RegressionAutoNA", "RegressionAutoNA@17", "RegressionHousing",
    "RegressionHousing@31", "RegressionHousingNA", "RegressionHousingNA@31", "RegressionVisit",
    "RegressionVisit@31", "RegressionVisitNA", "RegressionVisitNA@31",
]  # fmt: skip


def _foreign(corpus: Path) -> Path:
    return corpus / "models" / "lightgbm_jpmml"


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _foreign_matrix(names: tuple[str, ...], texts: tuple[int, ...], rows: Any) -> Any:
    """Rows of CSV text as the matrix and texts that a worker takes."""
    known: dict[int, dict[str, int]] = {at: {} for at in texts}
    flat = array("d")
    for row in rows:
        for at, name in enumerate(names):
            text = row.get(name)
            if text is None:  # one of several columns made of a text
                column, _, value = name.partition("_")
                flat.append(float(row[column] == value))
            elif text in ("N/A", "NA"):
                flat.append(math.nan)
            elif at in known:
                flat.append(known[at].setdefault(text, len(known[at])))
            else:
                flat.append(float(text))
    return flat, {at: list(found) for at, found in known.items()}


def test_every_foreign_result_is_tried(corpus: Path) -> None:
    inputs = {"Audit", "Auto", "Housing", "Iris", "Versicolor", "Visit"}
    folder = _foreign(corpus) / "csv"
    results = {path.stem for path in folder.iterdir()} - inputs
    assert results - {f"{name}NA" for name in inputs} - {"AuditInvalid"} == set(FOREIGN)
    models = {path.stem for path in (_foreign(corpus) / "lgbm").iterdir()}
    assert models == {name.split("@")[0] for name in FOREIGN} - {"ClassificationAuditInvalid"}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_model_gives_its_authors_results(corpus: Path, name: str) -> None:
    folder = _foreign(corpus)
    base, _, rounds = name.partition("@")
    matched = re.search(r"(Audit|Auto|Housing|Iris|Versicolor|Visit)(Bin)?(NA|Invalid)?$", base)
    assert matched
    rows = _csv(folder / "csv" / f"{matched[1]}{matched[3] or ''}.csv")
    expected = _csv(folder / "csv" / f"{name}.csv")
    with ModelWorker(folder / "lgbm" / f"{base.removesuffix('Invalid')}.txt") as worker:
        found = worker.describe()
        flat, texts = _foreign_matrix(found.features, found.texts, rows)
        (value,) = worker.predict(flat, len(rows), trees=int(rounds or 0), texts=texts)
    if "Regression" in base:
        wanted = [float(row["_target"]) for row in expected]
    elif found.outputs > 1:
        wanted = [float(row[f"probability({k})"]) for row in expected for k in range(3)]
    else:
        wanted = [float(row["probability(1)"]) for row in expected]
    assert len(wanted) == len(value)
    far = max(abs(a - b) / math.ulp(b) for a, b in zip(value, wanted, strict=True))
    assert far <= _ULPS_MAX


def _refusal(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "changed"
    path.write_bytes(data)
    with pytest.raises(ReplayError) as caught, ModelWorker(path, timeout_s=20) as worker:
        worker.predict(FRESH, len(FRESH))
    return str(caught.value)


def test_a_file_cut_at_any_length_is_refused(tmp_path: Path) -> None:
    """Cut after the parameters it is what the command-line program writes, which is a whole file.

    Nothing is lost by that but the lists of categories, which only files from Python have.
    """
    whole = _save(_train_frame(_frame(200, 1), 2), tmp_path).read_bytes()
    end = whole.index(b"end of parameters") + len(b"end of parameters")
    for size in (*range(1, end, 3), *range(end + 3, len(whole) - 1)):
        with pytest.raises(ModelRefusedError):
            LightGBMFile(whole[:size])
    for size in (6, end // 3, whole.index(b"end of trees"), end - 1, len(whole) - 5):
        assert "model" in _refusal(tmp_path, whole[:size])


def test_changed_line_ends_are_refused_where_the_library_would_stop_the_process(
    tmp_path: Path,
) -> None:
    whole = _save(_train("binary", 2), tmp_path).read_bytes()
    assert "no tree was found" in _refusal(tmp_path, whole.replace(b"\n", b"\r\n"))
    sizes = re.search(rb"tree_sizes=(\d+)", whole)
    assert sizes
    moved = whole.replace(sizes[0], b"tree_sizes=%d" % (int(sizes[1]) - 30))
    assert "line ends" in _refusal(tmp_path, moved)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (rb"version=v4", rb"version=v5", "format is v5"),
        (rb"version=v4\n", rb"", "older than v2"),
        (rb"\nobjective=binary", rb"\nobjective=guessing", "refused it"),
        (rb"num_leaves=9\n", rb"num_leaves=8\n", "of 8 are there of leaf_value"),
        (rb"max_feature_idx=5", rb"max_feature_idx=4", "6 features are named"),
        (rb"split_feature=\d", rb"split_feature=6", "no known feature"),
        (rb"decision_type=\d+", rb"decision_type=12", "no known feature or kind"),
        (rb"split_feature=(.*)\n", rb"split_gain=\1\n", "KeyError"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, before: bytes, after: bytes, reason: str
) -> None:
    whole = _save(_train("binary", 2), tmp_path).read_bytes()
    changed = re.sub(before, after, whole, count=1)
    assert changed != whole
    # Where a tree got longer or shorter, tree_sizes follows.
    start, second = changed.index(b"Tree=0"), changed.index(b"Tree=1")
    sizes = b"tree_sizes=%d %d" % (second - start, changed.index(b"end of trees") - second)
    assert reason in _refusal(tmp_path, re.sub(rb"tree_sizes=.*", sizes, changed))


@pytest.mark.parametrize("child", [0, 1_900_000_000])
def test_a_tree_that_crashes_the_library_or_never_ends_is_a_reason_and_no_crash(
    tmp_path: Path, child: int
) -> None:
    whole = _save(_train("binary", 1), tmp_path).read_bytes()
    matched = re.search(rb"left_child=(.*)\nright_child=(.*)\n", whole)
    assert matched
    count = len(matched[1].split())
    wild = b" ".join([b"%d" % child] * count)
    changed = whole.replace(matched[0], b"left_child=%b\nright_child=%b\n" % (wild, wild))
    start = changed.index(b"Tree=0")
    sizes = b"tree_sizes=%d" % (changed.index(b"end of trees") - start)
    path = tmp_path / "wild"
    path.write_bytes(re.sub(rb"tree_sizes=.*", sizes, changed))
    with ModelWorker(path) as worker:
        with pytest.raises(ReplayError, match="its trees are damaged"):
            worker.ensemble()
        worker._timeout_s = 1  # its start may take longer than that
        with pytest.raises(ReplayError, match=r"killed by SIG|no answer within"):
            worker.predict(FRESH, len(FRESH))


def test_flipped_bits_never_end_the_caller(tmp_path: Path) -> None:
    whole = _save(_train_frame(_frame(200, 1), 2), tmp_path).read_bytes()
    chance = random.Random(9)
    answers, reasons = 0, []
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(7)
        path = tmp_path / "flipped"
        path.write_bytes(data)
        try:
            with ModelWorker(path, timeout_s=3, memory_bytes=1 << 30) as worker:
                width = worker.describe().width
                worker.predict(array("d", bytes(8 * width)), 1)
                worker.ensemble()
                answers += 1
        except ReplayError as error:
            reasons.append(str(error))
    assert reasons
    assert all(reasons)
    assert answers  # some bits are not looked at: the digest is what tells those
