"""Decision logic means the same for one decision and for a table of many."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from forensics.errors import ReplayError, UsageError
from forensics.lake.frames import Frame, RowFrame, TableFrame
from forensics.lake.sql import connect
from forensics.replay.logic import BoundLogic, ModelUse, bind, read_logic

CONNECTION = connect(threads=1)
CONFIG: dict[str, Any] = {"threshold": 0.5, "low": 0.2, "max_burden": 0.6, "product": "card"}
GRAPH = {
    "type": "logic",
    "name": "credit_line",
    "version": "8",
    "steps": [
        {
            "id": "raw",
            "kind": "model",
            "value": "margin",
            "features": {"thousands": "income / 1e3"},
        },
        {"id": "thin", "kind": "model", "when": "months_known < 12"},
        {"id": "platt", "kind": "calibration", "of": "raw", "method": "platt", "a": -1.5, "b": 0.1},
        {
            "id": "iso",
            "kind": "calibration",
            "of": "platt",
            "method": "isotonic",
            "x": [0.1, 0.4, 0.8],
            "y": [0.05, 0.5, 0.9],
            "dtype": "float32",
        },
        {"id": "pd", "kind": "fallback", "of": ["thin", "iso"], "default": 0.99},
        {"id": "burden", "kind": "expression", "sql": "debt / nullif(income, 0)"},
        {
            "id": "band",
            "kind": "bands",
            "of": "pd",
            "bands": [
                {"below": "low", "value": "A"},
                {"at_most": "config.threshold", "value": "B"},
                {"value": "C"},
            ],
            "missing": "C",
        },
        {
            "id": "limit",
            "kind": "table",
            "rules": [
                {"id": "L1", "when": "band = 'A'", "value": "income * 0.5"},
                {"id": "L2", "when": "band = 'B'", "value": "least(income * 0.2, 5000)"},
            ],
            "default": {"id": "L0", "outcome": 0},
        },
        {
            "id": "policy",
            "kind": "table",
            "rules": [
                {"id": "R1", "when": "burden > max_burden", "outcome": "DECLINE", "reason": "debt"},
                {"id": "R2", "when": "band = 'C' OR \"limit\" < 100", "outcome": "DECLINE"},
            ],
            "default": {"id": "R0", "outcome": "APPROVE"},
        },
    ],
    "score": "pd",
    "outcome": "policy",
}
FEATURES = ("income", "debt", "months_known")


def logic(
    document: Mapping[str, Any], features: Any = FEATURES, config: Any = CONFIG
) -> BoundLogic:
    return bind(read_logic(json.dumps(document).encode()), features, config, CONNECTION)


def predict(use: ModelUse, frame: Frame) -> list[float | None]:
    """A stand-in for a model's process: a fixed function of what it is fed."""
    source = frame.column(use.column("thousands")) if use.features else frame.feature("debt")
    values = source.to_pylist() if hasattr(source, "to_pylist") else source
    values = values if isinstance(values, list) else [values] * frame.count
    return [0.1 if value is None else math.tanh(value / 50 - 1) for value in values]


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)

    def number(high: float) -> float | None:
        return None if chance.random() < 0.1 else round(chance.random() * high, 2)

    return [
        {
            "income": number(100_000),
            "debt": number(50_000),
            "months_known": None if chance.random() < 0.1 else float(chance.randrange(40)),
        }
        for _ in range(count)
    ]


def by_hand(row: Mapping[str, Any]) -> tuple[float, str, str]:
    income, debt, months = (row[name] for name in FEATURES)
    raw = 0.1 if income is None else math.tanh(income / 1e3 / 50 - 1)
    platt = 1 / (1 + math.exp(-1.5 * raw + 0.1))
    points = [(0.1, 0.05), (0.4, 0.5), (0.8, 0.9)]
    if platt <= 0.1:
        iso = 0.05
    elif platt > 0.8:
        iso = 0.9
    else:
        (x0, y0), (x1, y1) = points[0:2] if platt <= 0.4 else points[1:3]
        iso = (y1 - y0) / (x1 - x0) * (platt - x0) + y0
    thin = months is not None and months < 12
    pd = (0.1 if debt is None else math.tanh(debt / 50 - 1)) if thin else iso
    band = "A" if pd < 0.2 else "B" if pd <= 0.5 else "C"
    limit = 0.0
    if band in "AB":
        limit = math.nan if income is None else income * 0.5
        if band == "B":
            limit = 5000 if income is None else min(income * 0.2, 5000)
    burden = debt / income if debt is not None and income else 0
    if burden > 0.6:
        return pd, "DECLINE", "R1"
    if band == "C" or limit < 100:
        return pd, "DECLINE", "R2"
    return pd, "APPROVE", "R0"


def test_a_graph_of_steps_decides_as_one_would_by_hand() -> None:
    bound = logic(GRAPH)
    for row in rows(300, seed=1):
        answer = bound.run(RowFrame(CONNECTION, row, CONFIG), predict)
        score, outcome, rule = by_hand(row)
        assert answer.score[0] == pytest.approx(score, rel=1e-6)
        assert list(answer.outcome) == [outcome]
        assert answer.rule is not None
        assert [found.id for found in answer.rule] == [rule]


def test_a_table_of_decisions_gets_the_same_answers_as_each_alone() -> None:
    bound = logic(GRAPH)
    found = rows(500, seed=2)
    table = pa.Table.from_pylist(found)
    many = bound.run(TableFrame(CONNECTION, table, CONFIG), predict)
    assert many.rule is not None
    columns = (many.score.to_pylist(), many.value("limit").to_pylist(), many.outcome, many.rule)
    for row, score, limit, outcome, rule in zip(found, *columns, strict=True):
        one = bound.run(RowFrame(CONNECTION, row, CONFIG), predict)
        assert one.rule is not None
        assert one.score == [score]
        assert list(one.outcome) == [outcome]
        assert list(one.rule) == [rule]
        assert one.value("limit") == [limit]


def test_variants_of_one_decision_get_the_same_answers_as_each_alone() -> None:
    bound = logic(GRAPH)
    base = {"income": 30_000.0, "debt": 9_000.0, "months_known": 20.0}
    incomes = [1_000.0, 20_000.0, 80_000.0, 200_000.0]
    frame = RowFrame(CONNECTION, {**base, "income": incomes}, CONFIG, len(incomes))
    answer = bound.run(frame, predict)
    alone = [
        bound.run(RowFrame(CONNECTION, {**base, "income": value}, CONFIG), predict)
        for value in incomes
    ]
    assert list(answer.outcome) == [next(iter(one.outcome)) for one in alone]
    assert answer.score == [one.score[0] for one in alone]


def test_a_step_that_failed_at_the_time_has_no_value_and_the_fallback_answers() -> None:
    row = {"income": 30_000.0, "debt": 9_000.0, "months_known": 20.0}
    answer = logic(GRAPH).run(RowFrame(CONNECTION, row, CONFIG), predict, failed={"raw"})
    assert answer.score == [0.99]
    assert list(answer.outcome) == ["DECLINE"]


def test_a_given_score_is_judged_without_the_model() -> None:
    row = {"income": 30_000.0, "debt": 9_000.0, "months_known": 20.0}
    frame = RowFrame(CONNECTION, row, CONFIG, 3)
    answer = logic(GRAPH).run(frame, predict, given={"pd": [0.1, 0.4, 0.6]})
    assert list(answer.outcome) == ["APPROVE", "APPROVE", "DECLINE"]


UNIQUE = {
    "type": "logic",
    "steps": [
        {
            "id": "tier",
            "kind": "table",
            "hit_policy": "unique",
            "rules": [
                {"id": "A", "when": "x < 10", "outcome": "LOW"},
                {"id": "B", "when": "x > 5", "outcome": "HIGH"},
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("x", "rule", "outcome"),
    [(1.0, "A", "LOW"), (20.0, "B", "HIGH"), (7.0, "several", None), (None, "none", None)],
)
def test_where_only_one_rule_may_hold_several_are_no_answer(
    x: Any, rule: str, outcome: str | None
) -> None:
    answer = logic(UNIQUE, ["x"], {}).run(RowFrame(CONNECTION, {"x": x}, {}), predict)
    assert answer.rule is not None
    assert [found.id for found in answer.rule] == [rule]
    assert list(answer.outcome) == [outcome]


def test_it_is_known_whether_a_score_had_a_say_in_the_rule_that_decided() -> None:
    def asked_a_model(document: Mapping[str, Any]) -> dict[str, bool]:
        bound = logic(document)
        rules = bound.logic.step(bound.logic.outcome).rules
        return {rule.id: bound.rests_on_a_model(rule) for rule in rules if rule.when is not None}

    # R1 asks for the burden alone, R2 for a band of what two models said.
    assert asked_a_model(GRAPH) == {"R1": False, "R2": True}
    policy = GRAPH["steps"][-1]
    turned = {**policy, "rules": policy["rules"][::-1]}
    # Now R1 decides where R2 did not hold, which takes the models too.
    assert asked_a_model({**GRAPH, "steps": [*GRAPH["steps"][:-1], turned]}) == {
        "R2": True,
        "R1": True,
    }
    alone = {**policy, "hit_policy": "unique"}
    assert asked_a_model({**GRAPH, "steps": [*GRAPH["steps"][:-1], alone]})["R1"]


def broken(**changes: Any) -> bytes:
    return json.dumps({**GRAPH, **changes}).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[]", "expected 'logic' or 'rules'"),
        (b"{", "not JSON"),
        (b'{"type": "model"}', "expected 'logic' or 'rules'"),
        (b'{"type": "logic"}', "'steps' is missing"),
        (broken(steps=[]), "1 to 200 steps"),
        (broken(steps=[{"id": "a b", "kind": "model"}]), "an id is letters"),
        (broken(steps=[{"id": "a", "kind": "magic"}]), "kind 'magic'"),
        (broken(steps=[{"id": "a", "kind": "model"}] * 2), "two steps are called a"),
        (broken(steps=[{"id": "a", "kind": "expression"}]), "'sql' is missing"),
        (broken(score="nothing"), "which there is not"),
        (broken(steps=[{"id": "a", "kind": "model", "artifact": "pd.ubj"}]), "no digest"),
        (
            broken(levers={"x": {"min": 0, "max": 1}}, derived={"x": "y * 2"}),
            "both a lever and derived",
        ),
    ],
)
def test_an_artifact_that_is_no_decision_logic_is_refused_with_the_reason(
    data: bytes, said: str
) -> None:
    with pytest.raises(ReplayError, match=said):
        read_logic(data)


@pytest.mark.parametrize(
    "sql",
    ["(SELECT 1)", "x) OR (true", "read_text('/etc/passwd')", "later + 1", "x; DROP TABLE y", ""],
)
def test_a_step_can_only_compute_with_what_came_before_it(sql: str) -> None:
    steps = [
        {"id": "now", "kind": "expression", "sql": sql},
        {"id": "later", "kind": "expression", "sql": "x"},
    ]
    with pytest.raises(UsageError):
        logic({"type": "logic", "steps": steps}, ["x"], {})


def test_values_that_an_expression_cannot_take_are_an_error_and_the_frame_goes_on() -> None:
    steps = [{"id": "n", "kind": "expression", "sql": "cast(x as integer) + 1"}]
    bound = logic({"type": "logic", "steps": steps}, ["x"], {})
    good, bad = pa.table({"x": ["1", "2"]}), pa.table({"x": ["1", "many"]})
    with pytest.raises(ReplayError, match="cannot be evaluated"):
        bound.run(TableFrame(CONNECTION, bad, {}), predict)
    answer = bound.run(TableFrame(CONNECTION, good, {}), predict)
    assert list(answer.outcome) == ["2", "3"]
