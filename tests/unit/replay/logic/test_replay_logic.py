"""Decisions made by a graph of steps replay step by step, and the first that differs is named."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from credit import CONFIG, LEVERS, RULES, python_score, record

from forensics.records.decision import Decision
from forensics.replay.replay import replay
from forensics.replay.session import ReplaySession

A, B = -1.3, 0.2
LOGIC: dict[str, Any] = {
    "type": "logic",
    "name": "credit_line",
    "version": "9",
    "steps": [
        {"id": "main", "kind": "model"},
        {"id": "backup", "kind": "model"},
        {"id": "chosen", "kind": "fallback", "of": ["main", "backup"]},
        {"id": "pd", "kind": "calibration", "of": "chosen", "method": "platt", "a": A, "b": B},
        {
            "id": "policy",
            "kind": "table",
            "rules": [
                {"id": "R1", "when": "months_late >= max_months_late", "outcome": "DECLINE"},
                {"id": "R2", "when": "pd >= threshold", "outcome": "DECLINE"},
            ],
            "default": {"id": "R0", "outcome": "APPROVE"},
        },
    ],
    "score": "pd",
    "outcome": "policy",
    "levers": LEVERS,
}


class GraphService:
    """The same logic written again in Python, recording each step as a service would."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.logic = service.kept.put(LOGIC)

    def decide(
        self, features: Mapping[str, Any], *, main_fails: bool = False, **changes: Any
    ) -> Decision:
        service = self.service
        main, backup = (float(python_score(b, features)) for b in (service.booster, service.old))
        chosen = backup if main_fails else main
        pd = 1 / (1 + math.exp(A * chosen + B))
        late = features["months_late"]
        rule = "R1" if late is not None and late >= 3 else "R2" if pd >= 0.5 else "R0"
        outcome = "APPROVE" if rule == "R0" else "DECLINE"
        main_step = {"status": "error", "error": "timeout"} if main_fails else _said(main)
        fields = {
            **service.identity(outcome),
            "score_dtype": "float64",
            "score_bytes": struct.pack("<d", pd),
            "steps": (
                {"id": "main", "kind": "model", "digest": service.model, **main_step},
                {"id": "backup", "kind": "model", "digest": service.old_model, **_said(backup)},
                {"component": "chosen", "kind": "rules", **_said(chosen)},
                {"id": "pd", "kind": "rules", **_said(pd)},
                {
                    "id": "policy",
                    "kind": "rules",
                    "digest": self.logic,
                    "outputs": json.dumps({"outcome": outcome, "rule": rule}),
                },
            ),
            **changes,
        }
        return record(features, fields.pop("outcome", outcome), pd, **fields)


def _said(value: Any) -> dict[str, Any]:
    return {"status": "ok", "outputs": json.dumps({"value": value})}


@pytest.fixture(scope="module")
def graph(service: Any) -> GraphService:
    return GraphService(service)


def test_decisions_of_a_graph_with_two_models_are_reproduced_step_by_step(
    graph: GraphService,
) -> None:
    for features in graph.service.rows[:40]:
        found = replay(graph.decide(features), graph.service.kept)
        # exp() of the service's Python and of DuckDB may differ in the last place.
        assert found.verdict in ("bit_exact", "within_ulp"), found
        assert [step.step for step in found.steps] == ["main", "backup", "chosen", "pd", "policy"]
        assert {step.status for step in found.steps} == {"reproduced"}


def test_a_model_that_failed_at_the_time_is_evidence_and_its_fallback_answers(
    graph: GraphService,
) -> None:
    features = graph.service.rows[1]
    found = replay(graph.decide(features, main_fails=True), graph.service.kept)
    assert found.verdict in ("bit_exact", "within_ulp"), found
    main, backup = found.steps[:2]
    assert (main.status, main.replayed) == ("not_recorded", None)
    assert backup.status == "reproduced"


def test_a_step_that_gave_another_value_is_named_before_all_after_it(graph: GraphService) -> None:
    decision = graph.decide(graph.service.rows[2])
    steps = tuple(
        {**step, **_said(0.25)} if step.get("id") == "backup" else step for step in decision.steps
    )
    changed = graph.decide(graph.service.rows[2], steps=steps)
    found = replay(changed, graph.service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "backup"
    assert found.first_divergence.recorded == 0.25


def test_without_logic_a_decision_replays_as_far_as_its_model(service: Any) -> None:
    decision = service.decide(service.rows[3], steps=())
    found = replay(decision, service.kept)
    assert found.verdict == "not_replayable"
    assert [(step.step, step.status) for step in found.steps] == [("score", "reproduced")]
    assert any("rules artifact" in text for text in found.missing)


def test_without_its_model_a_decision_says_where_replay_stops(service: Any) -> None:
    decision = service.decide(service.rows[3], model={"name": "pd", "version": "v2"})
    found = replay(decision, service.kept)
    assert found.verdict == "not_replayable"
    assert [step.status for step in found.steps] == ["not_run", "not_run"]
    assert found.steps[0].reason == "model.digest"


def test_a_decision_by_rules_alone_needs_no_model(service: Any) -> None:
    rules = {**RULES, "rules": [RULES["rules"][0]]}  # type: ignore[index]
    digest = service.kept.put(rules)
    features = {**service.rows[0], "months_late": 4}
    steps = ({"id": "policy", "kind": "rules", "digest": digest},)
    decision = record(
        features,
        "DECLINE",
        None,
        steps=steps,
        score_dtype=None,
        config={"values": json.dumps(CONFIG)},
    )
    assert replay(decision, service.kept).verdict == "bit_exact"
    wrong = record(features, "APPROVE", None, steps=steps, config=decision.config)
    assert replay(wrong, service.kept).verdict == "diverged"


def test_levers_in_the_configuration_take_precedence_over_those_of_the_logic(
    graph: GraphService,
) -> None:
    own = {"levers": {"income": {"min": 0, "max": 1e6}}, "constraints": ["income >= age"]}
    values = json.dumps({**CONFIG, "counterfactuals": own})
    decision = graph.decide(graph.service.rows[0], config={"values": values})
    with ReplaySession(decision, graph.service.kept) as session:
        assert session.logic is not None
        assert list(session.logic.logic.levers) == ["income"]
        assert len(session.logic.constraints) == 1


def test_features_derived_from_others_follow_when_those_are_varied(graph: GraphService) -> None:
    derived = {"utilisation": "enquiries * 0.5"}
    levers = {"enquiries": {"min": 0, "max": 20, "integer": True}}
    digest = graph.service.kept.put({**LOGIC, "derived": derived, "levers": levers})
    decision = graph.decide(graph.service.rows[0])
    steps = (*decision.steps[:-1], {**decision.steps[-1], "digest": digest})
    decision = graph.decide(graph.service.rows[0], steps=steps)
    with ReplaySession(decision, graph.service.kept) as session:
        followed = session.decide({"enquiries": [0, 6]}, 2)
        by_hand = session.decide({"enquiries": [0, 6], "utilisation": [0.0, 3.0]}, 2)
        assert list(followed.scores) == list(by_hand.scores)
        assert followed.scores[0] != followed.scores[1]
