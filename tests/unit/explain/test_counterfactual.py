"""Counterfactuals: every answer flips the decision when xgboost and the rules are asked anew."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from credit import LEVERS, RULES, python_rules, python_score
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forensics.errors import UsageError
from forensics.explain.counterfactual import search_changes, statement_of
from forensics.explain.problems import SPARSITY
from forensics.explain.search.problem import Answer, Found
from forensics.records.decision import Decision
from forensics.records.replay import Counterfactual, CounterfactualChange, CounterfactualSearch
from forensics.replay.session import ReplaySession


def _ask(service: Any, decision: Decision, **options: Any) -> tuple[Counterfactual, ...]:
    search = _search(service, decision, **options)
    return search.found if search is not None else ()


def _search(
    service: Any, decision: Decision, limit: int = 3, time_s: float = 5.0, target: Any = ()
) -> CounterfactualSearch | None:
    with ReplaySession(decision, service.kept) as session:
        wanted = (target,) if isinstance(target, str) else tuple(target)
        return search_changes(session, limit, time_s=time_s, target=wanted)[0]


def _independent(service: Any, decision: Decision, changed: dict[str, Any]) -> str:
    """The outcome by xgboost's Python API and the rules written in Python."""
    features = {**decision.features, **changed}
    return python_rules(features, float(python_score(service.booster, features)))


def _ends(change: CounterfactualChange) -> set[float]:
    """The ends of a stated range, within the lever's own."""
    numbers = [
        float(text.replace(",", "")) for text in re.findall(r"-?[\d,]+\.?\d*", change.statement)
    ]
    lever = LEVERS[change.feature]
    if " at most " in change.statement:
        return {float(lever["min"]), numbers[-1]}
    if " at least " in change.statement:
        return {numbers[-1], float(lever["max"])}
    return set(numbers[-2:]) if " between " in change.statement else {numbers[-1]}


def _on_grid(change: CounterfactualChange) -> bool:
    lever = LEVERS[change.feature]
    steps = (change.to_value - lever["min"]) / lever["step"]
    decimals = len(str(lever["step"]).partition(".")[2])
    return abs(steps - round(steps)) < 1e-6 and round(change.to_value, decimals) == change.to_value


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(row=st.integers(0, 299), limit=st.integers(1, 5))
def test_every_answer_flips_at_its_value_and_at_the_ends_of_its_range(
    service: Any, row: int, limit: int
) -> None:
    decision = service.decide(service.rows[row])
    found = _ask(service, decision, limit=limit)
    assert len(found) <= limit
    for answer in found:
        assert answer.verified
        assert answer.outcome != decision.outcome
        changed = {change.feature: change.to_value for change in answer.changes}
        assert _independent(service, decision, changed) == answer.outcome
        features = {**decision.features, **changed}
        assert answer.score == float(python_score(service.booster, features))
        for ends in itertools.product(*(_ends(change) for change in answer.changes)):
            corner = dict(zip(changed, ends, strict=True))
            assert _independent(service, decision, corner) == answer.outcome, answer
        for change in answer.changes:
            lever = LEVERS[change.feature]
            assert change.from_value == decision.features[change.feature]
            assert lever["min"] <= change.to_value <= lever["max"]
            assert _on_grid(change)
            if change.from_value is not None and lever.get("direction") == "up":
                assert change.to_value > change.from_value
            if change.from_value is not None and lever.get("direction") == "down":
                assert change.to_value < change.from_value


def test_a_single_lever_answer_is_the_nearest_that_exists(service: Any) -> None:
    """Against brute force over the whole grid of one lever."""
    rules = {**RULES, "levers": {"utilisation": LEVERS["utilisation"]}}
    digest = service.kept.put(rules)
    checked = 0
    for decision in service.declined(12):
        if decision.features["utilisation"] is None:
            continue
        steps = ({"id": "policy", "kind": "rules", "digest": digest},)
        found = _ask(service, replace(decision, steps=steps), limit=4)
        current = decision.features["utilisation"]
        grid = [round(k * 0.01, 2) for k in range(301)]
        flips = [
            v for v in grid if _independent(service, decision, {"utilisation": v}) != "DECLINE"
        ]
        if not flips:
            assert found == ()
            continue
        nearest = min(abs(value - current) for value in flips)
        assert abs(found[0].changes[0].to_value - current) == pytest.approx(nearest)
        assert found[0].distance == pytest.approx(nearest / 3 + SPARSITY)
        checked += 1
    assert checked >= 3


def test_every_value_within_a_single_range_flips(service: Any) -> None:
    seen = 0
    for decision in service.declined(10):
        for answer in _ask(service, decision, limit=3):
            (change, *more) = answer.changes
            if more or change.feature != "utilisation":
                continue
            low, high = min(_ends(change)), max(_ends(change))
            for value in np.round(np.arange(low, high + 0.005, 0.05), 2):
                changed = {"utilisation": float(value)}
                assert _independent(service, decision, changed) == answer.outcome
            seen += 1
    assert seen


@pytest.mark.torture
def test_every_answer_to_every_row_flips_at_its_value_and_at_the_ends_of_its_range(
    service: Any,
) -> None:
    flips = test_every_answer_flips_at_its_value_and_at_the_ends_of_its_range
    for row in range(300):
        flips.hypothesis.inner_test(service, row, 5)


@pytest.mark.parametrize(
    "rows", [slice(20), pytest.param(slice(20, 300), marks=pytest.mark.torture)], ids=["few", "all"]
)
def test_two_levers_are_only_offered_where_both_are_needed(service: Any, rows: slice) -> None:
    pairs = 0
    for features in service.rows[rows]:
        decision = service.decide(features)
        for answer in _ask(service, decision, limit=5):
            if len(answer.changes) < 2:
                continue
            pairs += 1
            for change in answer.changes:
                alone = {change.feature: change.to_value}
                assert _independent(service, decision, alone) != answer.outcome
    assert pairs


def test_a_decline_by_rule_is_undone_by_what_the_rule_checks(service: Any) -> None:
    seen = 0
    for features in service.rows:
        risk = python_score(service.booster, {**features, "months_late": 3})
        if risk >= 0.5 and features["utilisation"] is not None:
            continue
        decision = service.decide({**features, "months_late": 5})
        assert decision.outcome == "DECLINE"
        found = _ask(service, decision)
        assert found
        assert all("months_late" in [c.feature for c in answer.changes] for answer in found)
        assert all(
            change.to_value < 3
            for answer in found
            for change in answer.changes
            if change.feature == "months_late"
        )
        seen += 1
        if seen == 5:
            break
    assert seen == 5


@pytest.mark.parametrize(
    ("levers", "constraints", "status"),
    [
        ({"age": {"min": 18, "max": 80, "integer": True}}, ["age > 200"], "none_exists"),
        ({"months_late": {"values": [0, 1, 2]}}, ["months_late = 7"], "none_exists"),
        (LEVERS, [], "optimal"),
    ],
)
def test_what_the_search_proved_is_said(
    service: Any, levers: Any, constraints: list[str], status: str
) -> None:
    document = {**RULES, "levers": levers, "constraints": constraints}
    steps = ({"id": "policy", "kind": "rules", "digest": service.kept.put(document)},)
    search = _search(service, replace(service.declined(3)[2], steps=steps))
    assert search is not None
    assert search.status == status
    assert search.statement.startswith("proven")
    assert bool(search.found) == (status == "optimal")


def test_a_clock_that_ended_the_search_is_told_of() -> None:
    answer = Answer({"x": 1.0}, {}, "APPROVE", 2.0)
    for found, words in (
        (Found((answer,), "gap", 1.0, 9, 9, 0), "not proven in the time given: a change at 50% of"),
        (Found((answer,), "gap", 0.01, 9, 9, 0), "given: a nearer change may exist"),
        (Found((answer,), "gap", 1.0, 9, 9, 0, True), "before the clock ended the search"),
        (Found((), "none_found", 1.0, 9, 9, 0), "none was found in the time given"),
        (Found((), "none_found", 1.0, 9, 9, 0, True), "another run need not repeat"),
    ):
        assert words in statement_of(found)


def test_constraints_hold_for_every_answer_and_its_ranges(service: Any) -> None:
    levers = {name: LEVERS[name] for name in ("utilisation", "limit_balance", "enquiries")}
    document = {**RULES, "levers": levers, "constraints": ["limit_balance <= 40000 * enquiries"]}
    steps = ({"id": "policy", "kind": "rules", "digest": service.kept.put(document)},)
    for decision in service.declined(6):
        for answer in _ask(service, replace(decision, steps=steps)):
            now = dict(decision.features)
            now.update({change.feature: change.to_value for change in answer.changes})
            assert now["limit_balance"] <= 40_000 * now["enquiries"]
            assert _independent(service, decision, now) == answer.outcome


def test_only_wanted_outcomes_are_answered(service: Any) -> None:
    for decision in service.declined(6):
        assert {a.outcome for a in _ask(service, decision, target="APPROVE")} <= {"APPROVE"}
        assert {a.outcome for a in _ask(service, decision, target=["REFER"])} <= {"REFER"}
    with pytest.raises(UsageError, match="Known are APPROVE, DECLINE, REFER"):
        _ask(service, service.declined(1)[0], target="NO_SUCH_OUTCOME")


def test_answers_are_nearest_first_and_use_different_levers(service: Any) -> None:
    for decision in service.declined(8):
        found = _ask(service, decision, limit=3)
        distances = [answer.distance for answer in found]
        assert distances == sorted(distances)
        levers = [tuple(change.feature for change in answer.changes) for answer in found]
        if len(found) > 1 and all(len(names) == 1 for names in levers[:2]):
            assert levers[0] != levers[1]


def test_without_declared_levers_the_models_own_features_are_moved(service: Any) -> None:
    digest = service.kept.put({**RULES, "levers": {}})
    steps = ({"id": "policy", "kind": "rules", "digest": digest},)
    decision = replace(service.declined(1)[0], steps=steps)
    found = _ask(service, decision)
    assert found
    for answer in found:
        changed = {change.feature: change.to_value for change in answer.changes}
        assert _independent(service, decision, changed) == answer.outcome


def test_rules_that_multiply_levers_are_searched_too(service: Any) -> None:
    """No constant of the rule is a boundary of a lever here; halving finds where it turns."""
    document = {
        **RULES,
        "rules": [{"id": "R1", "when": "income * 2 < limit_balance", "outcome": "DECLINE"}],
    }
    digest = service.kept.put(document)
    features = {**service.rows[0], "income": 20_000.0, "limit_balance": 75_000}
    score = python_score(service.booster, features)
    decision = service.decide(features, outcome="DECLINE", raw=score)
    steps = ({"id": "policy", "kind": "rules", "digest": digest},)
    found = _ask(service, replace(decision, steps=steps))
    statements = {change.statement for answer in found for change in answer.changes}
    assert "income at least 37,500" in statements
    assert "limit_balance at most 40,000" in statements


def test_what_cannot_be_replayed_has_no_counterfactuals(service: Any) -> None:
    decision = service.declined(1)[0]
    assert _ask(service, replace(decision, model={})) == ()
    assert _ask(service, replace(decision, steps=())) == ()
    assert _ask(service, replace(decision, outcome="APPROVE")) == ()
    assert _ask(service, decision, limit=0) == ()


def test_a_value_far_outside_its_lever_comes_back_into_it(service: Any) -> None:
    for features in service.rows:
        calm = {**features, "utilisation": 0.05, "months_late": 0}
        if python_score(service.booster, calm) < 0.3:
            break
    decision = service.decide({**calm, "utilisation": 48.2})
    assert decision.outcome == "DECLINE"
    statements = [a.changes[0].statement for a in _ask(service, decision, limit=5)]
    assert any(text.startswith("utilisation ") for text in statements)


def test_a_trace_loads_no_model_library_and_no_numpy(service: Any) -> None:
    """In a fresh process, with everything that replay and explanations import."""
    code = (
        "import sys; from forensics.explain.attribution import attribution;"
        "from forensics.explain.counterfactual import counterfactuals;"
        "from forensics.lake.frames import RowFrame; from forensics.lake.sql import connect;"
        "frame = RowFrame(connect(threads=1), {'x': [1.0, 2.0]}, {}, 2);"
        "frame.evaluate([('a', 'x > 1')], ['a'], ['x']);"
        "print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert "forensics.replay.session" in loaded
    assert not loaded & {"numpy", "pyarrow", "xgboost", "pandas", "polars", "deltalake", "shap"}


def test_a_lever_of_another_kind_is_left_alone_and_a_missing_one_may_be_set(service: Any) -> None:
    levers = {**LEVERS, "age": {"min": 18, "max": 80, "step": 1}, "colour": {"min": 0, "max": 1}}
    digest = service.kept.put(json.dumps({**RULES, "levers": levers}))
    steps = ({"id": "policy", "kind": "rules", "digest": digest},)
    decision = service.declined(1)[0]
    features = {**decision.features, "age": None, "colour": "red"}
    changed = replace(service.decide(features), steps=steps)
    for answer in _ask(service, changed, limit=9):
        moved = {change.feature: change.to_value for change in answer.changes}
        assert "colour" not in moved
        assert _independent(service, changed, moved) == answer.outcome
