"""Decisions whose outcome comes from another rule engine replay through that engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from credit import CONFIG, python_score, record

from forensics.records.decision import Decision
from forensics.replay.replay import replay

pytest.importorskip("zen")
pytest.importorskip("cel_expr_python")

TABLE = {
    "contentType": "application/vnd.gorules.decision",
    "nodes": [
        {"id": "in", "type": "inputNode", "name": "in"},
        {
            "id": "t",
            "type": "decisionTableNode",
            "name": "policy",
            "content": {
                "hitPolicy": "first",
                "inputs": [
                    {"id": "s", "name": "score", "field": "applicant.score"},
                    {"id": "l", "name": "late", "field": "applicant.late"},
                ],
                "outputs": [{"id": "o", "name": "outcome", "field": "outcome"}],
                "rules": [
                    {"_id": "late", "s": "", "l": ">= 3", "o": '"DECLINE"'},
                    {"_id": "risky", "s": ">= 0.5", "l": "", "o": '"DECLINE"'},
                    {"_id": "rest", "s": "", "l": "", "o": '"APPROVE"'},
                ],
            },
        },
        {"id": "out", "type": "outputNode", "name": "out"},
    ],
    "edges": [
        {"id": "e1", "sourceId": "in", "targetId": "t", "type": "edge"},
        {"id": "e2", "sourceId": "t", "targetId": "out", "type": "edge"},
    ],
}


def decided(service: Any, policy: dict[str, Any], outcome: str, rule: str | None) -> Decision:
    features = {name: value or 0 for name, value in service.rows[4].items()}
    score = python_score(service.booster, features)
    steps = [{"id": "pd", "kind": "model"}, {"id": "policy", **policy}]
    digest = service.kept.put({"type": "logic", "steps": steps, "score": "pd"})
    said = {"outcome": outcome} | ({"rule": rule} if rule else {})
    recorded = {"id": "policy", "kind": "rules", "digest": digest, "outputs": json.dumps(said)}
    return record(
        features, outcome, score, model=service.identity(outcome)["model"], steps=(recorded,),
        config={"values": json.dumps(CONFIG)},
    )  # fmt: skip


def zen(service: Any) -> dict[str, Any]:
    inputs = {"applicant.score": "pd", "applicant.late": "months_late"}
    digest = service.kept.put(TABLE)
    return {"kind": "zen", "artifact": digest, "input": inputs, "output": "outcome"}


CEL = {"kind": "cel", "expression": "pd >= threshold || months_late >= 3.0 ? 'DECLINE' : 'APPROVE'"}


def right(service: Any) -> tuple[str, str]:
    features = {name: value or 0 for name, value in service.rows[4].items()}
    if features["months_late"] >= 3:
        return "DECLINE", "late"
    risky = float(python_score(service.booster, features)) >= 0.5
    return ("DECLINE", "risky") if risky else ("APPROVE", "rest")


def test_a_zen_table_is_run_and_its_deciding_row_compared(service: Any) -> None:
    outcome, rule = right(service)
    found = replay(decided(service, zen(service), outcome, rule), service.kept)
    assert (found.verdict, found.replayed["rule"]) == ("bit_exact", rule), found
    other = replay(decided(service, zen(service), outcome, "another"), service.kept)
    assert other.verdict == "diverged"


def test_a_cel_policy_is_run_and_has_no_rule_to_compare(service: Any) -> None:
    outcome, _ = right(service)
    found = replay(decided(service, CEL, outcome, "whatever"), service.kept)
    assert found.verdict == "bit_exact", found
    other = "APPROVE" if outcome == "DECLINE" else "DECLINE"
    assert replay(decided(service, CEL, other, None), service.kept).verdict == "diverged"


def rounding(service: Any, recorded: str) -> Decision:
    """A table that asks whether 0.30000000000000004 is more than 0.3, and what it answered."""
    content = json.loads(json.dumps(TABLE))
    table = content["nodes"][1]["content"]
    table["inputs"] = [{"id": "x", "name": "x", "field": "x"}]
    table["rules"] = [
        {"_id": "more", "x": "> 0.3", "o": '"DECLINE"'},
        {"_id": "rest", "x": "", "o": '"APPROVE"'},
    ]
    features = {"x": 0.1 + 0.2}
    step = {"id": "policy", "kind": "zen", "artifact": service.kept.put(content),
            "input": {"x": "x"}, "output": "outcome"}  # fmt: skip
    digest = service.kept.put({"type": "logic", "steps": [step]})
    outputs = json.dumps({"outcome": recorded})
    rules = {"id": "policy", "kind": "rules", "digest": digest, "outputs": outputs}
    return record(features, recorded, None, model={}, steps=(rules,))


def test_the_engine_and_its_version_stand_with_the_step(service: Any) -> None:
    (step,) = replay(rounding(service, "DECLINE"), service.kept).steps
    assert step.status == "reproduced"
    assert step.reason is not None
    assert step.reason.startswith("run by zen-engine 2.")


def test_what_a_python_dict_would_have_decided_is_told(service: Any) -> None:
    found = replay(rounding(service, "APPROVE"), service.kept)
    (step,) = found.steps
    assert (found.verdict, step.status) == ("diverged", "differs")
    assert step.reason is not None
    assert 'in a Python dict, which rounds numbers, the inputs give "APPROVE", as recorded' in (
        step.reason
    )


def test_a_step_that_asks_the_clock_says_so(service: Any) -> None:
    content = json.loads(json.dumps(TABLE))
    node = {"id": "t", "type": "expressionNode", "name": "today", "content": {
        "expressions": [{"id": "e", "key": "outcome", "value": "d().year() > 2000 ? 'OLD' : 'NEW'"}]
    }}  # fmt: skip
    content["nodes"][1] = node
    step = {"id": "policy", "kind": "zen", "artifact": service.kept.put(content),
            "input": {"x": "x"}, "output": "outcome"}  # fmt: skip
    digest = service.kept.put({"type": "logic", "steps": [step]})
    rules = {"id": "policy", "kind": "rules", "digest": digest,
             "outputs": json.dumps({"outcome": "OLD"})}  # fmt: skip
    found = replay(record({"x": 1.0}, "OLD", None, model={}, steps=(rules,)), service.kept)
    assert found.steps[0].reason is not None
    assert "today uses the clock" in found.steps[0].reason
