"""Rule sets: the first rule that is true decides, with SQL's NULL and NaN."""

from __future__ import annotations

import json
from array import array
from typing import Any

import pytest
from credit import RULES

from forensics.errors import ReplayError, UsageError
from forensics.lake.frames import RowFrame
from forensics.lake.sql import connect
from forensics.replay.logic import Rule, bind, read_logic


def _decide(rules: list[tuple[str, str]], features: Any, config: Any, score: Any) -> list[str]:
    document = {
        "type": "rules",
        "rules": [{"id": i, "when": when, "outcome": i} for i, when in rules],
        "default": {"id": "R0", "outcome": "R0"},
    }
    count = len(score) if isinstance(score, (list, array)) else 1
    scores = list(score) if isinstance(score, (list, array)) else [score]
    return [rule.id for rule in _rules(document, features, config, scores, count)]


def _rules(
    document: Any, features: Any, config: Any, scores: list[float], count: int = 1
) -> list[Rule]:
    connection = connect(threads=1)
    bound = bind(read_logic(json.dumps(document).encode()), features, config, connection)
    frame = RowFrame(connection, features, config, count)
    answer = bound.run(frame, lambda use, frame: scores)
    assert answer.rule is not None
    return list(answer.rule)


def test_the_first_true_rule_wins_and_the_default_where_none_is() -> None:
    rules = [("A", "score >= high"), ("B", "score >= low")]
    config = {"low": 0.2, "high": 0.6}
    assert _decide(rules, {}, config, [0.1, 0.2, 0.5, 0.6, 0.9]) == ["R0", "B", "B", "A", "A"]


def test_null_is_not_true_and_nan_is_greater_than_any_number() -> None:
    assert _decide([("A", "x > 1")], {"x": None}, {}, 0.5) == ["R0"]
    assert _decide([("A", "not (x > 1)")], {"x": None}, {}, 0.5) == ["R0"]
    assert _decide([("A", "x is null")], {"x": None}, {}, 0.5) == ["A"]
    assert _decide([("A", "x > 1")], {"x": float("nan")}, {}, 0.5) == ["A"]
    assert _decide([("A", "coalesce(abs(x), 5) = 5")], {"x": None}, {}, 0.5) == ["A"]


def test_the_score_is_the_double_of_its_float32() -> None:
    third = array("f", [1 / 3])
    assert _decide([("A", "score > third")], {}, {"third": 1 / 3}, third) == ["A"]
    assert _decide([("A", "score = third")], {}, {"third": third[0]}, third) == ["A"]


def test_text_and_booleans_compare_as_what_they_are() -> None:
    features = {"region": "north", "vip": True}
    assert _decide([("A", "region in ('north', 'west') and vip")], features, {}, 0.1) == ["A"]
    assert _decide([("A", "starts_with(region, 'so') or not vip")], features, {}, 0.1) == ["R0"]


def test_groups_tell_names_apart_and_a_shared_name_alone_is_refused() -> None:
    features, config = {"cap": 5}, {"cap": 3}
    assert _decide([("A", "features.cap > config.cap")], features, config, 0.1) == ["A"]
    with pytest.raises(UsageError, match="Nothing is called 'cap'"):
        _decide([("A", "cap > 3")], features, config, 0.1)


def test_a_rule_that_looks_at_nothing_that_differs_answers_every_row() -> None:
    assert _decide([("A", "x > 1")], {"x": 2}, {}, [0.1, 0.2, 0.3]) == ["A"] * 3
    assert _decide([], {"x": 2}, {}, [0.1, 0.2]) == ["R0"] * 2


def test_values_that_a_rule_cannot_take_are_an_error_that_says_so() -> None:
    with pytest.raises(ReplayError, match="cannot be evaluated"):
        _decide([("A", "cast(x as int) > 1")], {"x": "many"}, {}, 0.1)


def test_levers_have_steps_and_directions() -> None:
    levers = read_logic(json.dumps(RULES).encode()).levers
    assert levers["income"].direction == "up"
    assert levers["months_late"].integer
    assert levers["utilisation"].step == 0.01


@pytest.mark.parametrize(
    "lever",
    [
        {"min": 1, "max": 0},
        {"min": 0, "max": 1, "step": 0},
        {"min": 0, "max": 1, "direction": "sideways"},
        {"min": 0, "max": 9, "step": 0.5, "integer": True},
        {"max": 1},
    ],
)
def test_a_lever_that_cannot_be_moved_is_refused(lever: Any) -> None:
    with pytest.raises(ReplayError):
        read_logic(json.dumps({**RULES, "levers": {"income": lever}}).encode())


LISTS = {
    "type": "rules",
    "rules": [{"id": "L1", "when": "contains(labs, 9.0)", "outcome": "RED"}],
    "default": {"id": "L0", "outcome": "GREEN"},
}


@pytest.mark.parametrize(
    ("labs", "expected"),
    [([9.0, 1.0], "RED"), ([1.0, 9.0], "RED"), ([7.0], "GREEN"), ([], "GREEN")],
)
def test_a_recorded_list_is_one_value_and_never_a_value_for_each_row(
    labs: list[float], expected: str
) -> None:
    (rule,) = _rules(LISTS, {"labs": tuple(labs)}, {}, [0.5])
    assert rule.outcome == expected


def test_a_list_compared_with_a_number_is_an_error_and_not_a_verdict() -> None:
    document = {**LISTS, "rules": [{"id": "L1", "when": "labs > 5", "outcome": "RED"}]}
    with pytest.raises(ReplayError):
        _rules(document, {"labs": (9.0, 1.0)}, {}, [0.5])
