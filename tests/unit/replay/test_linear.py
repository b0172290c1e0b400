"""Linear models and scorecards: sums in the declared order to the last bit, nothing guessed."""

from __future__ import annotations

import json
import math
import random
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ensembles import margins

from forensics.errors import ReplayError
from forensics.replay.client import ModelWorker
from forensics.replay.runtimes.interface import ModelRefusedError
from forensics.replay.runtimes.linear import LinearRuntime

NAN = math.nan
LINEAR: dict[str, Any] = {
    "type": "linear",
    "version": 1,
    "name": "collections",
    "intercept": -1.25,
    "link": "logit",
    "features": [
        {"name": "income", "coefficient": -0.8, "mean": 41000, "scale": 15000.5, "missing": 30000},
        {"name": "late", "coefficient": 0.3},
        {
            "name": "region",
            "categories": {"north": 0.2, "südwest": -0.1, "east": 0.2},
            "other": 0.05,
            "missing": 0,
        },
        {"name": "age", "coefficient": 1e-3, "missing": 0.1},
        {"name": "job", "categories": {"none": 0.7}},
    ],
}
CARD: dict[str, Any] = {
    "type": "scorecard",
    "version": 1,
    "base": 500,
    "features": [
        {
            "name": "age",
            "bins": [
                {"below": 25, "points": -10.5},
                {"below": 40, "points": 5},
                {"points": 15},
            ],
            "missing": 1,
        },
        {"name": "region", "categories": {"north": 5, "south": 5, "east": -2}, "other": 0},
        {"name": "months", "bins": [{"below": 0.1, "points": 0.1}, {"points": 7}]},
    ],
}
TEXTS = {2: ["east", "mars", "südwest", "north"], 4: ["none", "some"]}


def _write(folder: Path, model: Any) -> Path:
    path = folder / "model.json"
    path.write_text(json.dumps(model, ensure_ascii=False), encoding="utf-8")
    return path


def _rows(count: int) -> Any:
    rng = np.random.default_rng(count)
    rows = np.column_stack(
        [
            rng.lognormal(10, 1, count),
            rng.poisson(2, count),
            rng.integers(0, 4, count),
            rng.normal(40, 20, count),
            rng.integers(0, 2, count),
        ]
    ).astype("f8")
    rows[rng.random(rows.shape) < 0.15] = NAN
    return rows


def _terms(row: Any) -> list[float]:
    """What each feature of ``LINEAR`` adds, written again."""
    income, late, region, age, job = row
    income = 30000 if math.isnan(income) else income
    regions = {"north": 0.2, "südwest": -0.1, "east": 0.2}
    return [
        -0.8 * ((income - 41000) / 15000.5),
        0.3 * late,
        0.0 if math.isnan(region) else regions.get(TEXTS[2][int(region)], 0.05),
        1e-3 * (0.1 if math.isnan(age) else age),
        NAN if math.isnan(job) or TEXTS[4][int(job)] != "none" else 0.7,
    ]


def test_a_linear_model_is_the_sum_of_its_terms_in_the_declared_order(tmp_path: Path) -> None:
    rows = _rows(3000)
    with ModelWorker(_write(tmp_path, LINEAR)) as worker:
        value, margin, contributions = worker.predict(
            rows, len(rows), kinds=("value", "margin", "contributions"), texts=TEXTS
        )
    answered = 0
    for at, row in enumerate(rows):
        expected = -1.25
        for term, found in zip(_terms(row), contributions[6 * at : 6 * at + 5], strict=True):
            expected += term
            assert found == term or math.isnan(term)
        assert contributions[6 * at + 5] == -1.25
        assert margin[at] == expected or (math.isnan(expected) and math.isnan(margin[at]))
        if not math.isnan(expected):
            answered += 1
            assert abs(value[at] - 1 / (1 + math.exp(-expected))) <= 2 * math.ulp(value[at])
    assert 500 < answered < 2500


def test_a_row_alone_has_the_bytes_that_it_has_in_a_batch(tmp_path: Path) -> None:
    rows = _rows(200)
    with ModelWorker(_write(tmp_path, LINEAR)) as worker:
        (batch,) = worker.predict(rows, len(rows), texts=TEXTS)
        singles = [worker.predict(row.copy(), 1, texts=TEXTS)[0].tobytes() for row in rows]
    assert batch.tobytes() == b"".join(singles)


def test_a_model_describes_itself(tmp_path: Path) -> None:
    with ModelWorker(_write(tmp_path, LINEAR)) as worker:
        found = worker.describe()
    assert found.features == ("income", "late", "region", "age", "job")
    assert (found.objective, found.file_version, found.link) == ("linear", "1", "logit")
    assert found.texts == found.categorical == (2, 4)
    assert found.categories == {2: ("north", "südwest", "east"), 4: ("none",)}
    assert (found.rounds, found.outputs, found.dtype, found.score_dtype) == (0, 1, "d", "d")
    with ModelWorker(_write(tmp_path, CARD)) as worker:
        found = worker.describe()
    assert [list(cuts) for cuts in found.cuts] == [[25, 40], [], [0.1]]
    assert (found.objective, found.link) == ("scorecard", "identity")


def test_a_scorecard_adds_the_points_of_each_bin(tmp_path: Path) -> None:
    below = math.nextafter(25.0, 0)
    cases = [
        ((below, "north", 0.0), 500 - 10.5 + 5 + 0.1),
        ((25.0, "south", 0.1), 500 + 5 + 5 + 7),
        ((40.0, "east", 3.0), 500 + 15 - 2 + 7),
        ((NAN, "west", 3.0), 500 + 1 + 0 + 7),
        ((-math.inf, "north", math.inf), 500 - 10.5 + 5 + 7),
        ((30.0, None, 1.0), NAN),
        ((30.0, "north", NAN), NAN),
    ]
    names = ["west", "east", "north", "south"]
    rows = array("d")
    for (age, region, months), _ in cases:
        rows.extend((age, names.index(region) if region else NAN, months))
    with ModelWorker(_write(tmp_path, CARD)) as worker:
        value, margin = worker.predict(
            rows, len(cases), kinds=("value", "margin"), texts={1: names}
        )
    assert value.tobytes() == margin.tobytes()
    for found, (_, expected) in zip(value, cases, strict=True):
        assert found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize("pdo", [20, -20])
def test_scaling_turns_points_into_odds(tmp_path: Path, pdo: int) -> None:
    scaled = {**CARD, "scaling": {"score": 517, "odds": 50, "pdo": pdo}}
    rows = array("d", [25.0, 0.0, 5.0, 50.0, 0.0, 5.0])  # 517 and 527 points
    with ModelWorker(_write(tmp_path, scaled)) as worker:
        value, margin, contributions = worker.predict(
            rows, 2, kinds=("value", "margin", "contributions"), texts={1: ["south"]}
        )
        assert worker.describe().link == "logit"
        model = worker.ensemble()
    odds = [p / (1 - p) for p in value]
    assert odds[0] == pytest.approx(50)
    assert odds[1] == pytest.approx(50 * 2 ** (10 / pdo))
    assert [math.exp(m) for m in margin] == pytest.approx(odds)
    assert [sum(contributions[:4]), sum(contributions[4:])] == pytest.approx(list(margin))
    assert margins(model, [25.0, 1.0, 5.0])[0] == pytest.approx(margin[0])


@pytest.mark.parametrize("name", ["linear", "card"])
def test_the_ensemble_is_the_model(tmp_path: Path, name: str) -> None:
    rows = _rows(400)
    rows[:, 2] = np.where(rows[:, 2] > 2, 9, rows[:, 2])
    if name == "card":
        rows = np.column_stack([rows[:, 3], rows[:, 2], rows[:, 1] / 5])
    rows = np.ascontiguousarray(rows)
    with ModelWorker(_write(tmp_path, LINEAR if name == "linear" else CARD)) as worker:
        (margin,) = worker.predict(rows, len(rows), kinds=("margin",))
        model = worker.ensemble()
    np.testing.assert_allclose(
        [margins(model, row)[0] for row in rows], margin, rtol=1e-12, atol=1e-12
    )


def test_extreme_margins_have_a_probability(tmp_path: Path) -> None:
    model = {**LINEAR, "features": [{"name": "x", "coefficient": 1}], "intercept": 0}
    rows = array("d", [-1e308, -800.0, 0.0, 800.0, 1e308, math.inf, -math.inf])
    with ModelWorker(_write(tmp_path, model)) as worker:
        (value,) = worker.predict(rows, len(rows))
    assert list(value) == [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.0]


def test_a_model_without_link_answers_its_margin(tmp_path: Path) -> None:
    model = {key: value for key, value in LINEAR.items() if key != "link"}
    with ModelWorker(_write(tmp_path, model)) as worker:
        value, margin = worker.predict(_rows(50), 50, kinds=("value", "margin"), texts=TEXTS)
    assert value.tobytes() == margin.tobytes()


def _changed(model: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**model, **changes}).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_changed(LINEAR, version=2), "runtime older than the model"),
        (_changed(LINEAR, intercep=1), "intercep is not known"),
        (_changed(LINEAR, link="probit"), "neither identity nor logit"),
        (_changed(LINEAR, intercept=True), "intercept is True"),
        (_changed(LINEAR, intercept="1"), "not a number"),
        (_changed(LINEAR, intercept=math.nan), "NaN is no number"),
        (_changed(LINEAR, intercept=10**400), "OverflowError"),
        (_changed(LINEAR, features=[]), "a name of its own"),
        (_changed(LINEAR, features=LINEAR["features"][:1] * 2), "a name of its own"),
        (_changed(LINEAR, features=[{"name": "x"}]), "coefficient"),
        (_changed(LINEAR, features=[{"name": "", "coefficient": 1}]), "no name of a feature"),
        (_changed(LINEAR, features=[{"name": "x", "coefficient": 1, "mising": 0}]), "mising"),
        (_changed(LINEAR, features=[{"name": "x", "coefficient": 1, "scale": 0}]), "above 0"),
        (_changed(LINEAR, features=[{"name": "x", "categories": {}}]), "no categories"),
        (_changed(LINEAR, features=[{"name": "x", "bins": [{"points": 1}]}]), "bins"),
        (_changed(LINEAR, features={"x": 1}), "not a whole linear model"),
        (_changed(CARD, base=None), "not a number"),
        (_changed(CARD, link="logit"), "link is not known"),
        (_changed(CARD, scaling={"score": 1, "odds": 0, "pdo": 1}), "ValueError"),
        (_changed(CARD, scaling={"score": 1, "odds": 2, "pdo": 0}), "ZeroDivision"),
        (
            _changed(CARD, features=[{"name": "x", "bins": [{"below": 2, "points": 1}]}]),
            "below is not known",
        ),
        (
            _changed(
                CARD,
                features=[
                    {
                        "name": "x",
                        "bins": [
                            {"below": 2, "points": 1},
                            {"below": 2, "points": 1},
                            {"points": 3},
                        ],
                    }
                ],
            ),
            "do not ascend",
        ),
        (_changed(LINEAR).replace(b'"link"', b'"link": "identity", "link"'), "a key occurs twice"),
        (b'{"type": "linear", "version": 1, "x": ' + b"[" * 100_000, "nested too deeply"),
        (_changed(LINEAR).replace(b"collections", b"\xff\xff"), "UnicodeDecodeError"),
    ],
)
def test_a_model_that_is_not_whole_is_refused_with_a_reason(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(data)
    with ModelWorker(path) as worker, pytest.raises(ReplayError, match=reason):
        worker.describe()


@pytest.mark.parametrize("model", [LINEAR, CARD])
def test_a_file_cut_at_any_length_is_refused(tmp_path: Path, model: dict[str, Any]) -> None:
    whole = json.dumps(model).encode()
    for size in range(len(whole)):
        with pytest.raises(ModelRefusedError):
            LinearRuntime(whole[:size], "")
    for size in (3, 20, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.json"
        path.write_bytes(whole[:size])
        with pytest.raises(ReplayError), ModelWorker(path) as worker:
            worker.describe()


def test_flipped_bits_are_refused_or_answered(tmp_path: Path) -> None:
    whole = json.dumps(LINEAR).encode()
    chance = random.Random(2)
    answers, reasons = 0, []
    for _ in range(500):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            LinearRuntime(bytes(data), "").predict(array("d", [0.0] * 5), 1, "value", 0, 1, {})
            answers += 1
        except ModelRefusedError as error:
            reasons.append(str(error))
    assert all(reasons)
    assert len(reasons) > answers > 0


def test_there_are_no_rounds_to_stop_at(tmp_path: Path) -> None:
    with (
        ModelWorker(_write(tmp_path, LINEAR)) as worker,
        pytest.raises(ReplayError, match="no boosting rounds"),
    ):
        worker.predict(_rows(1), 1, trees=1)
