"""A decision's principal reasons: of what decided it, and with what they rest on beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from credit import CONFIG, FEATURES, RULES

from forensics.errors import NotFoundError, UsageError
from forensics.explain.attribution import method_of
from forensics.explain.explanation import Explanation, Options, explain
from forensics.explain.reference import Reference
from forensics.explain.templates import read_templates
from forensics.records.decision import Decision
from forensics.replay.session import ReplaySession

TEMPLATES = read_templates(
    b"""
adverse = ["DECLINE"]
adverse_score = "high"
[features.utilisation]
text = "Balances are {value:.0%} of limits"
[rules.R1]
text = "Payments were missed recently (score {score:.2f})"
code = "40"
"""
)


def ask(service: Any, decision: Decision, **options: Any) -> Explanation:
    with ReplaySession(decision, service.kept) as session:
        return explain(session, "r-1", Options(reasons=True, counterfactuals=0, **options))


def reference(service: Any, **changes: Any) -> Reference:
    with ReplaySession(service.declined(1)[0], service.kept) as session:
        session.model.ready()
        assert session.model.description is not None
        method = method_of(session.model.description)
    fields = {
        "statement": "those that were approved", "contributions": {"utilisation": -0.5},
        "medians": {"utilisation": 0.3}, "decisions": 100, "digest": "sha256:" + "d" * 64,
        "decision_point": "credit_line", "model_digest": service.model, "method": method,
        "unit": "log_odds", "higher_is_adverse": True,
    }  # fmt: skip
    return Reference(**{**fields, **changes})


def by_score(service: Any) -> Decision:
    """A decision that the score declined: no payment was missed."""
    return next(d for d in service.declined(40) if (d.features["months_late"] or 0) < 3)


def by_rule(service: Any, *, low_score: bool) -> Decision:
    """A decision that rule R1 declined, whatever the score."""
    for features in service.rows:
        decision = service.decide({**features, "months_late": 4})
        if (decision.score < 0.5) == low_score:
            return decision
    raise AssertionError("no such decision")


def test_a_score_that_decided_gives_its_factors_as_reasons(service: Any) -> None:
    decision = by_score(service)
    found = ask(service, decision)
    assert found.replay.verdict == "bit_exact"
    assert found.reasons is not None
    assert found.reasons.decided_by == "score"
    assert found.attribution is not None
    against = [name for name, value in found.attribution.values.items() if value > 0]
    assert [reason.features[0] for reason in found.reasons.items] == against[:4]
    assert found.reasons.reference is not None
    assert "training data" in found.reasons.reference
    assert found.reasons.unit == "log_odds"


def test_without_templates_the_outcome_is_taken_for_adverse_and_that_is_said(service: Any) -> None:
    found = ask(service, by_score(service))
    assert found.reasons is not None
    assert any("DECLINE is taken for adverse" in text for text in found.reasons.warnings)


def test_a_pinned_reference_changes_what_counts_and_is_named(service: Any) -> None:
    decision = by_score(service)
    plain = ask(service, decision).reasons
    found = ask(service, decision, reference=reference(service), templates=TEMPLATES).reasons
    assert plain is not None
    assert found is not None
    points = {reason.features[0]: reason.points for reason in found.items}
    alone = ask(service, decision).attribution
    assert alone is not None
    assert points["utilisation"] == pytest.approx(alone.values["utilisation"] + 0.5)
    assert found.reference == "those that were approved"
    assert found.reference_digest == "sha256:" + "d" * 64


def test_a_reference_of_another_model_is_refused(service: Any) -> None:
    other = reference(service, model_digest=service.old_model)
    with pytest.raises(UsageError, match="of another model"):
        ask(service, by_score(service), reference=other)


def test_a_rule_that_no_score_could_change_is_the_only_reason(service: Any) -> None:
    found = ask(service, by_rule(service, low_score=True), templates=TEMPLATES).reasons
    assert found is not None
    assert found.decided_by == "R1"
    (only,) = found.items
    assert only.kind == "rule"
    assert only.text.startswith("Payments were missed recently (score 0.")
    assert only.code == "40"
    assert found.reference is None


def test_a_rule_comes_before_a_score_that_is_adverse_too(service: Any) -> None:
    found = ask(service, by_rule(service, low_score=False), templates=TEMPLATES).reasons
    assert found is not None
    assert found.decided_by == "R1"
    assert [reason.kind for reason in found.items] == ["rule", "score", "score", "score"]


def test_a_decision_that_was_not_adverse_has_no_reasons(service: Any) -> None:
    approved = next(d for d in map(service.decide, service.rows) if d.outcome == "APPROVE")
    with pytest.raises(UsageError, match="APPROVE is not adverse"):
        ask(service, approved, templates=TEMPLATES)


def test_the_side_of_a_score_that_counts_the_other_way_is_found_by_replay(service: Any) -> None:
    rules = {
        **RULES,
        "rules": [{"id": "R2", "when": "score < threshold", "outcome": "DECLINE"}],
        "default": {"id": "R0", "outcome": "APPROVE"},
    }
    digest = service.kept.put(json.dumps(rules))
    low = next(
        d for d in map(service.decide, service.rows) if d.score is not None and d.score < 0.3
    )
    steps = ({"id": "policy", "kind": "rules", "digest": digest},)
    declined = replace(low, outcome="DECLINE", steps=steps)
    found = ask(service, declined)
    assert found.reasons is not None
    assert found.attribution is not None
    for reason in found.reasons.items:
        assert found.attribution.values[reason.features[0]] < 0
    warned = ask(service, declined, templates=TEMPLATES).reasons
    assert warned is not None
    assert any("declared is the other side" in text for text in warned.warnings)


def test_a_replay_that_diverges_is_said_beside_the_reasons(service: Any) -> None:
    moved = by_score(service)
    assert moved.score is not None
    moved = replace(moved, score=moved.score + 0.01, score_bytes=None)
    found = ask(service, moved)
    assert found.replay.verdict == "same_outcome"
    assert found.reasons is not None
    assert any("replay is same outcome" in text for text in found.reasons.warnings)


RECORDED = {
    "method": "shap 0.51",
    "unit": "log_odds",
    "base_value": -0.5,
    "attributions": {name: 0.5 - at / 10 for at, name in enumerate(FEATURES)},
    "reasons": ["Income too low"],
}


def test_where_nothing_can_be_run_recorded_attributions_are_shown_and_reasoned_from(
    service: Any,
) -> None:
    bare = replace(by_score(service), model={}, steps=(), explanation=RECORDED)
    found = ask(service, bare)
    assert found.replay.verdict == "not_replayable"
    assert found.attribution is not None
    assert found.attribution.evidence == "recorded"
    assert found.reasons is not None
    assert [reason.features[0] for reason in found.reasons.items] == list(FEATURES[:4])
    said = " ".join(found.reasons.warnings)
    assert "not replayable" in said
    assert "population that was not recorded" in said
    assert "told by the threshold alone" in said
    assert found.reasons.recorded == ("Income too low",)


def test_reasons_come_from_recomputed_values_where_the_model_runs(service: Any) -> None:
    found = ask(service, replace(by_score(service), explanation=RECORDED))
    assert found.attribution is not None
    assert found.attribution.evidence == "recorded"
    assert found.attribution.agreement is not None
    plain = ask(service, by_score(service))
    assert found.reasons is not None
    assert plain.reasons is not None
    assert found.reasons.items == plain.reasons.items


def test_without_any_attribution_the_reason_for_none_is_told(service: Any) -> None:
    bare = replace(by_score(service), model={}, steps=())
    found = ask(service, bare)
    assert found.attribution is None
    assert found.attribution_reason is not None
    assert "model.digest" in found.attribution_reason
    assert found.reasons is None
    assert found.reasons_reason is not None


def test_without_score_threshold_or_template_the_side_is_asked_for(service: Any) -> None:
    bare = replace(
        by_score(service), model={}, steps=(), explanation=RECORDED, threshold=None, config={}
    )
    with pytest.raises(UsageError, match="adverse_score"):
        ask(service, bare)
    assert ask(service, bare, templates=TEMPLATES).reasons is not None


def test_a_background_for_a_model_that_needs_none_is_no_silent_option(service: Any) -> None:
    rows = service.kept.put(json.dumps(service.rows[:20]))
    with pytest.raises(UsageError, match="Add --interventional"):
        ask(service, by_score(service), background=rows)
    found = ask(service, by_score(service), background=rows, interventional=True)
    assert found.attribution is not None
    assert found.attribution.background is not None
    assert found.reasons is not None
    assert found.reasons.reference is not None
    assert "20 rows" in found.reasons.reference


def test_a_declared_background_is_found_by_itself(service: Any) -> None:
    rows = service.kept.put(json.dumps(service.rows[:20]))
    config = {"digest": None, "values": json.dumps({**CONFIG, "background_digest": rows})}
    found = ask(service, replace(by_score(service), config=config), interventional=True)
    assert found.attribution is not None
    assert found.attribution.background is not None
    assert found.attribution.background.digest == rows
    gone = {**config, "values": json.dumps({**CONFIG, "background_digest": "sha256:" + "0" * 64})}
    with pytest.raises(NotFoundError):
        ask(service, replace(by_score(service), config=gone), interventional=True)
    assert ask(service, replace(by_score(service), config=gone)).attribution is not None


def test_an_explanation_is_plain_data(service: Any) -> None:
    found = ask(service, by_score(service), templates=TEMPLATES).to_dict()
    assert found["attributions"]["evidence"] == "recomputed"
    assert found["attributions"]["values"][0].keys() == {"feature", "value"}
    assert found["reasons"]["items"][0]["kind"] == "score"
    assert found["reasons"]["method"] == "points below reference"
    assert found["replay"]["verdict"] == "bit_exact"
    missing = ask(service, replace(by_score(service), model={}, steps=())).to_dict()
    assert missing["attributions"]["evidence"] == "missing"
    assert missing["attributions"]["values"] == []
    assert missing["reasons"] is None
