"""The search against other people's solvers and models: CP-SAT's proofs, xgboost's own answers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from forensics.explain.search.boxes import Boxes
from forensics.explain.search.conditions import Call, Constant, Name
from forensics.explain.search.engine import search
from forensics.explain.search.problem import Lever, Logic, Model, Problem
from forensics.explain.search.space import Space
from forensics.replay.ensemble import Ensemble

_NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
_WANTED = frozenset({"APPROVE"})


def _rows(count: int, seed: int) -> np.ndarray:
    """Eight features, half of them whole numbers, on grids of 0.1."""
    rng = np.random.default_rng(seed)
    rows = np.round(rng.gamma(2.0, 1.0, (count, len(_NAMES))), 1)
    rows[:, 4:] = np.floor(rows[:, 4:])
    return rows


@pytest.fixture(scope="module")
def booster() -> xgb.Booster:
    rows = _rows(3000, 1)
    rng = np.random.default_rng(2)
    risk = rows[:, 0] + rows[:, 1] * rows[:, 2] - rows[:, 3] + 0.7 * rows[:, 4] - rows[:, 5]
    labels = (risk + rng.normal(0, 1, len(rows)) > np.median(risk)).astype(int)
    options = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2, "nthread": 1, "seed": 3}
    matrix = xgb.DMatrix(rows.astype("f4"), labels, feature_names=list(_NAMES))
    return xgb.train(options, matrix, 40)


def _ensemble(booster: xgb.Booster) -> Ensemble:
    """The booster's own JSON as trees."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    columns: dict[str, list[Any]] = {
        key: [] for key in ("feature", "cut", "left", "right", "value")
    }
    roots = []
    for tree in learner["gradient_booster"]["model"]["trees"]:
        first = len(columns["feature"])
        roots.append(first)
        for node, left in enumerate(tree["left_children"]):
            number = float(np.float32(tree["split_conditions"][node]))
            inner = left >= 0
            columns["feature"].append(tree["split_indices"][node] if inner else -1)
            columns["cut"].append(number if inner else 0.0)
            columns["value"].append(0.0 if inner else number)
            columns["left"].append(first + left if inner else -1)
            columns["right"].append(first + tree["right_children"][node] if inner else -1)
    share = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    count = len(columns["feature"])
    return Ensemble(
        array("i", columns["feature"]), array("d", columns["cut"]), array("i", columns["left"]),
        array("i", columns["right"]), array("b", [1] * count), array("b", [1] * count),
        array("d", columns["value"]), array("i", roots), array("i", [0] * len(roots)),
        array("d", [np.log(share / (1 - share))]), array("d"), True, "f", {},
    )  # fmt: skip


def _problem(ensemble: Ensemble, row: np.ndarray, levers: Sequence[str]) -> Problem:
    values = {name: float(value) for name, value in zip(_NAMES, row, strict=True)}
    grids = [
        Lever(name, 0.0, 0.1, 120, 1) if name < "e" else Lever(name, 0, 1, 12, integer=True)
        for name in levers
    ]  # fmt: skip
    decline = Call(">=", (Name("score"), Constant(0.5)))
    return Problem(
        values, tuple(grids), (Model(ensemble, _NAMES, tuple(row.tolist()), link="logit"),),
        Logic(((decline, "DECLINE"), (None, "APPROVE"))),
    )  # fmt: skip


def _declined(booster: xgb.Booster, count: int) -> list[np.ndarray]:
    rows = _rows(400, 7)
    scores = booster.inplace_predict(rows.astype("f4"))
    return list(rows[scores >= 0.6][:count])


def test_answers_flip_the_decision_when_xgboost_is_asked(booster: xgb.Booster) -> None:
    ensemble = _ensemble(booster)
    for row in _declined(booster, 12):
        problem = _problem(ensemble, row, _NAMES)

        def verify(
            settings: Sequence[Mapping[str, Any]], row: np.ndarray = row
        ) -> list[str | None]:
            asked = np.tile(row, (len(settings), 1))
            for at, setting in enumerate(settings):
                for name, value in setting.items():
                    asked[at, _NAMES.index(name)] = value
            scores = booster.inplace_predict(asked.astype("f4"))
            return ["DECLINE" if score >= 0.5 else "APPROVE" for score in scores]

        found = search(problem, wanted=_WANTED, units=5_000_000, verify=verify)
        assert found.status == "optimal"
        assert found.refused == 0
        for answer in found.answers:
            assert verify([answer.changes]) == ["APPROVE"]


def test_three_levers_are_as_good_as_trying_every_value(booster: xgb.Booster) -> None:
    ensemble = _ensemble(booster)
    tried = 0
    for row in _declined(booster, 8):
        levers = ("a", "d", "e")
        problem = _problem(ensemble, row, levers)
        grids = [
            np.round(np.arange(lever.last + 1) * lever.step, 1) for lever in problem.levers
        ]  # fmt: skip
        now = [row[_NAMES.index(name)] for name in levers]
        grids = [np.append(own, grid) for own, grid in zip(now, grids, strict=True)]
        points = np.array(np.meshgrid(*grids)).reshape(3, -1).T
        asked = np.tile(row, (len(points), 1))
        at = [_NAMES.index(name) for name in levers]
        asked[:, at] = points
        margin = booster.inplace_predict(asked.astype("f4"), predict_type="margin")
        costs = np.abs(points - row[at]).sum(axis=1)[margin < -1e-5]
        found = search(problem, wanted=_WANTED, units=None)
        assert bool(found.answers) == bool(len(costs))
        if len(costs):
            assert found.answers[0].cost == pytest.approx(costs.min(), abs=1e-9)
            tried += 1
    assert tried


def test_the_optimum_is_the_one_that_cp_sat_proves(booster: xgb.Booster) -> None:
    pytest.importorskip("ortools")
    ensemble = _ensemble(booster)
    for row in _declined(booster, 5):
        problem = _problem(ensemble, row, _NAMES)
        space = Space(problem, _WANTED)
        (case,) = space.cases()
        region = space.region(case)
        assert region is not None
        boxes = space.boxes(region)
        assert boxes is not None
        found = search(problem, wanted=_WANTED, units=None)
        assert found.answers[0].cost == pytest.approx(_cp_sat(boxes), abs=1e-5)


def _cp_sat(boxes: Boxes) -> float:
    """The least cost by OR-tools: a boolean for each box and each cell, and their agreement."""
    from ortools.sat.python import cp_model

    scale = 10**7
    model = cp_model.CpModel()
    below = []
    cost = []
    for line in boxes.lines:
        count = line.cells
        chosen = [model.new_bool_var("") for _ in range(count)]
        model.add_exactly_one(chosen)
        cost += [
            round(each * scale) * cell for each, cell in zip(line.cell_cost, chosen, strict=True)
        ]
        below.append(chosen)
    total = []
    for group in range(boxes.groups):
        mine = np.flatnonzero(boxes.group == group)
        taken = [model.new_bool_var("") for _ in mine]
        model.add_exactly_one(taken)
        for leaf, variable in zip(mine, taken, strict=True):
            total.append(round(float(boxes.value[leaf]) * scale) * variable)
            for at, line in enumerate(boxes.lines):
                low, high = int(boxes.low[leaf, at]), int(boxes.high[leaf, at])
                if low > 0 or high < line.cells - 1:
                    model.add(sum(below[at][low : high + 1]) >= variable)
    model.add(sum(total) <= int(boxes.limit[0] * scale))
    model.minimize(sum(cost))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 2
    solver.parameters.max_time_in_seconds = 60
    assert solver.solve(model) == cp_model.OPTIMAL
    return solver.objective_value / scale
