"""Verdicts: what was recorded against what the recorded artifacts give."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from credit import CONFIG, FEATURES, RULES, applicants, python_rules, python_score, record, train

from forensics.errors import IntegrityError
from forensics.records.decision import Decision, ExactNumber
from forensics.replay.replay import replay, replay_session
from forensics.replay.session import ReplaySession


def _replaced(decision: Decision, group: str, **fields: Any) -> Decision:
    return replace(decision, **{group: {**getattr(decision, group), **fields}})


def _other_ulps(decision: Decision, steps: int) -> Decision:
    assert decision.score_bytes is not None
    (whole,) = struct.unpack("<i", decision.score_bytes)
    raw = struct.pack("<i", whole + steps)
    return replace(decision, score_bytes=raw, score=struct.unpack("<f", raw)[0])


@pytest.fixture
def decision(service: Any) -> Decision:
    declined: Decision = service.declined(1)[0]
    return declined


def test_what_the_service_recorded_replays_bit_exactly(service: Any) -> None:
    rules = {"DECLINE": {"R1", "R2"}, "REFER": {"R3"}, "APPROVE": {"R0"}}
    for features in service.rows[:25]:
        decision = service.decide(features)
        found = replay(decision, service.kept)
        assert found.verdict == "bit_exact"
        assert found.missing == ()
        assert found.first_divergence is None
        assert found.replayed["score_bytes"] == found.recorded["score_bytes"]
        assert found.replayed["outcome"] == decision.outcome
        assert found.replayed["rule"] in rules[decision.outcome]
        assert found.runtime_recorded == "xgboost 3.2.0"
        assert found.runtime_replayed == f"xgboost {xgb.__version__}"


def test_a_score_one_unit_off_is_within_one_ulp_and_two_are_not(
    service: Any, decision: Decision
) -> None:
    assert replay(_other_ulps(decision, 1), service.kept).verdict == "within_ulp"
    assert replay(_other_ulps(decision, -1), service.kept).verdict == "within_ulp"
    found = replay(_other_ulps(decision, 2), service.kept)
    assert found.verdict == "same_outcome"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "score"


@pytest.mark.parametrize("dtype", ["float32", None])
def test_a_score_recorded_only_as_a_number_is_compared_as_float32(
    service: Any, decision: Decision, dtype: str | None
) -> None:
    assert decision.score is not None
    shortest = float(str(np.float32(decision.score)))
    for score in (decision.score, shortest):
        partial = replace(decision, score_bytes=None, score_dtype=dtype, score=score)
        found = replay(partial, service.kept)
        assert found.verdict == "bit_exact"
        assert "score_bytes" not in found.recorded
    rounded = replace(decision, score_bytes=None, score_dtype=dtype, score=round(shortest, 3))
    assert replay(rounded, service.kept).verdict == "same_outcome"


def test_a_score_widened_to_float64_is_compared_in_that_type(
    service: Any, decision: Decision
) -> None:
    assert decision.score is not None
    raw = struct.pack("<d", decision.score)
    wide = replace(decision, score_dtype="float64", score_bytes=raw)
    assert replay(wide, service.kept).verdict == "bit_exact"
    near = struct.pack("<q", struct.unpack("<q", raw)[0] + 1)
    assert replay(replace(wide, score_bytes=near), service.kept).verdict == "within_ulp"


def test_a_number_that_is_not_that_of_its_own_bytes_is_no_proof(
    service: Any, decision: Decision
) -> None:
    assert decision.score is not None
    found = replay(replace(decision, score=decision.score - 0.1), service.kept)
    assert found.verdict == "same_outcome"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "score"
    said = f"score is {decision.score - 0.1}, and score_bytes are those of {decision.score}"
    assert said in found.first_divergence.statement
    for changes in ({"score": math.nan}, {"score_dtype": "float64"}, {"score_dtype": "int64"}):
        assert replay(replace(decision, **changes), service.kept).verdict == "same_outcome"
    only_number = replace(decision, score_bytes=None, score_dtype="int64")
    assert replay(only_number, service.kept).verdict == "same_outcome"
    without_number = replace(decision, score=None)
    assert replay(without_number, service.kept).verdict == "bit_exact"


def test_another_score_with_another_outcome_diverges_at_the_model(service: Any) -> None:
    features = service.rows[0]
    score = np.float32(0.99 if python_score(service.booster, features) < 0.5 else 0.01)
    outcome = python_rules(features, float(score))
    decision = service.decide(features, raw=score, outcome=outcome)
    found = replay(decision, service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "score"
    assert found.first_divergence.recorded == pytest.approx(float(score))
    assert found.first_divergence.replayed == found.replayed["score"]


def test_another_outcome_with_the_same_score_diverges_at_the_rules(
    service: Any, decision: Decision
) -> None:
    found = replay(replace(decision, outcome="APPROVE"), service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "policy"


def test_another_rule_with_the_same_outcome_is_a_divergence(
    service: Any, decision: Decision
) -> None:
    steps = (decision.steps[0], {**decision.steps[1], "outputs": {"rule": "R9"}})
    found = replay(replace(decision, steps=steps), service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert found.first_divergence.recorded["rule"] == "R9"
    assert found.first_divergence.step == "policy"


def test_values_that_contradict_their_configuration_are_a_divergence(
    service: Any, decision: Decision
) -> None:
    values = json.dumps({**CONFIG, "threshold": 0.55})
    found = replay(_replaced(decision, "config", values=values), service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "config"
    assert found.first_divergence.recorded == {"threshold": 0.55}
    assert found.first_divergence.replayed == {"threshold": 0.5}


def test_a_threshold_other_than_the_configured_one_is_a_divergence(
    service: Any, decision: Decision
) -> None:
    found = replay(replace(decision, threshold=0.45), service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert "0.45" in found.first_divergence.statement


def test_configuration_comes_from_the_artifact_where_no_values_were_recorded(
    service: Any, decision: Decision
) -> None:
    bare = replace(decision, config={"digest": service.config})
    assert replay(bare, service.kept).verdict == "bit_exact"


def test_values_may_be_a_mapping_instead_of_text(service: Any, decision: Decision) -> None:
    found = replay(_replaced(decision, "config", values=dict(CONFIG)), service.kept)
    assert found.verdict == "bit_exact"


def _stale(service: Any, **cache: Any) -> tuple[Decision, Any]:
    for features in service.rows:
        fresh = python_score(service.booster, features)
        stale = python_score(service.old, features)
        outcome = python_rules(features, float(stale))
        if outcome != python_rules(features, float(fresh)):
            break
    group = {"hit": True, "model_digest": service.old_model, **cache}
    steps = service.identity(outcome)["steps"]
    decision = service.decide(
        features,
        raw=stale,
        outcome=outcome,
        cache=group,
        steps=({"id": "lookup", "kind": "cache"}, *steps),
    )
    return decision, fresh


def test_a_stale_cache_entry_is_found_by_running_its_model(service: Any) -> None:
    written = datetime(2026, 10, 20, tzinfo=UTC)
    decision, fresh = _stale(service, written_at=written)
    with ReplaySession(decision, service.kept) as session:
        found = replay_session(session, model_names={service.old_model: "pd v1"})
        assert session.scoring is session.entry
    assert found.verdict == "diverged"
    first = found.first_divergence
    assert first is not None
    assert first.step == "lookup"
    assert first.recorded == decision.score
    assert first.replayed == float(fresh)
    assert f"pd v1 ({service.old_model[:13]}…) gives (replaced), bit for bit" in first.statement
    assert f"pd v2 ({service.model[:13]}…)" in first.statement
    assert "2026-10-20" in first.statement


def test_a_stale_cache_entry_whose_model_is_lost_is_not_claimed_to_be_verified(
    service: Any,
) -> None:
    decision, _ = _stale(service, model_digest="sha256:" + "0" * 64)
    first = replay(decision, service.kept).first_divergence
    assert first is not None
    assert first.step == "lookup"
    assert "could not be run" in first.statement


def test_an_outcome_cached_under_an_older_configuration_is_found(service: Any) -> None:
    old = service.kept.put({**CONFIG, "threshold": 0.3})
    for features in service.rows:
        score = float(python_score(service.booster, features))
        outcome = python_rules(features, score, threshold=0.3)
        if outcome != python_rules(features, score):
            break
    group = {"hit": True, "model_digest": service.model, "config_digest": old}
    decision = service.decide(features, outcome=outcome, cache=group)
    found = replay(decision, service.kept)
    assert found.verdict == "diverged"
    assert found.first_divergence is not None
    assert found.first_divergence.step == "cache"
    assert old[:13] in found.first_divergence.statement


def test_a_cache_entry_of_the_live_model_replays_as_usual(service: Any, decision: Decision) -> None:
    cached = replace(decision, cache={"hit": True, "model_digest": service.model})
    assert replay(cached, service.kept).verdict == "bit_exact"


def _without(decision: Decision, name: str) -> Decision:
    features = {key: value for key, value in decision.features.items() if key != name}
    return replace(decision, features=features)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda d: replace(d, model={}), "model.digest"),
        (lambda d: replace(d, model={"digest": "sha256:" + "1" * 64}), "(model file)"),
        (lambda d: replace(d, steps=()), "rules artifact"),
        (
            lambda d: replace(d, steps=({"kind": "rules", "digest": "sha256:" + "2" * 64},)),
            "(rules)",
        ),
        (lambda d: replace(d, config={}), "config.values"),
        (lambda d: _without(d, "income"), "features.income"),
        (lambda d: _replaced(d, "features", income="***"), "features.income (text"),
        (lambda d: replace(d, score=None, score_bytes=None), "score"),
    ],
)
def test_each_thing_that_is_missing_is_named(
    service: Any, decision: Decision, change: Any, missing: str
) -> None:
    found = replay(change(decision), service.kept)
    assert found.verdict == "not_replayable"
    assert any(missing in text for text in found.missing), found.missing


def test_what_can_be_run_is_run_though_something_is_missing(
    service: Any, decision: Decision
) -> None:
    without_rules = replay(replace(decision, steps=()), service.kept)
    assert without_rules.replayed["score"] == decision.score
    assert "outcome" not in without_rules.replayed
    without_score = replay(replace(decision, score=None, score_bytes=None), service.kept)
    assert without_score.replayed["outcome"] == decision.outcome
    assert without_score.missing == ("score",)


def test_a_missing_configuration_value_is_named_with_its_rules(
    service: Any, decision: Decision
) -> None:
    values = {"threshold": 0.5}
    bare = replace(decision, config={"values": json.dumps(values)})
    (missing,) = replay(bare, service.kept).missing
    assert "max_months_late" in missing


def test_the_recorded_threshold_serves_where_no_configuration_has_one(
    service: Any, decision: Decision
) -> None:
    bare = replace(decision, config={"values": {"max_months_late": 3}})
    assert replay(bare, service.kept).verdict == "bit_exact"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x04\x95junk", "pickle"),
        (b"garbage", "no model format"),
        (b"{}", "not a whole XGBoost model"),
    ],
)
def test_a_model_file_that_cannot_be_loaded_is_missing_with_the_reason(
    service: Any, decision: Decision, data: bytes, reason: str
) -> None:
    digest = service.kept.put(data)
    found = replay(_replaced(decision, "model", digest=digest), service.kept)
    assert found.verdict == "not_replayable"
    assert any(digest in text and reason in text for text in found.missing)


@pytest.mark.parametrize(
    "rules",
    [
        "not json",
        {"type": "other"},
        {**RULES, "hit_policy": "collect"},
        {**RULES, "rules": [{"id": "R1", "when": "read_csv('/etc/passwd')", "outcome": "X"}]},
        {**RULES, "rules": [{"id": "R1", "when": "product > 5 and score", "outcome": "X"}]},
        {**RULES, "levers": {"income": {"min": 3, "max": 1}}},
        {**RULES, "default": "APPROVE"},
    ],
)
def test_a_rule_set_that_cannot_be_run_is_missing_and_never_an_exception(
    service: Any, decision: Decision, rules: Any
) -> None:
    digest = service.kept.put(rules)
    steps = ({"kind": "rules", "digest": digest},)
    found = replay(replace(decision, steps=steps), service.kept)
    assert found.verdict == "not_replayable"
    assert any("rules" in text for text in found.missing)
    assert found.replayed["score"] == decision.score


def test_an_artifact_that_was_tampered_with_is_missing_with_the_reason(
    service: Any, decision: Decision
) -> None:
    class Tampered:
        def path(self, digest: str) -> None:
            raise IntegrityError("The bytes are not those.")

        def read(self, digest: str) -> None:
            raise IntegrityError("The bytes are not those.")

    found = replay(decision, Tampered())
    assert found.verdict == "not_replayable"
    assert sum("not those" in text for text in found.missing) == 2


def test_a_child_that_dies_while_answering_is_a_missing_model(
    service: Any, decision: Decision
) -> None:
    with ReplaySession(decision, service.kept) as session:
        assert session.missing == ()
        worker = session.model._worker
        assert worker is not None
        worker.close()
        found = replay_session(session)
    assert found.verdict == "not_replayable"
    assert any("process was closed" in text for text in found.missing)


def test_exact_numbers_and_booleans_are_features_too(service: Any, decision: Decision) -> None:
    exact = _replaced(decision, "features", age=ExactNumber("40.0"), months_late=True)
    plain = _replaced(decision, "features", age=40.0, months_late=1)
    assert replay(exact, service.kept).replayed == replay(plain, service.kept).replayed


def test_variants_may_leave_a_feature_out(service: Any, decision: Decision) -> None:
    with ReplaySession(decision, service.kept) as session:
        answer = session.decide({"utilisation": [0.1, None], "months_late": [0, None]}, 2)
    for at, changed in enumerate(({"utilisation": 0.1, "months_late": 0}, {})):
        features = {**decision.features, "utilisation": None, "months_late": None, **changed}
        score = float(python_score(service.booster, features))
        assert answer.scores[at] == score
        assert answer.rules[at].outcome == python_rules(features, score)


def test_a_model_stopped_early_is_run_as_the_service_ran_it(service: Any, tmp_path: Any) -> None:
    rows = applicants(2000, 5).astype("f4")
    labels = np.random.default_rng(1).random(2000) > 0.5
    names = list(FEATURES)
    fit = xgb.DMatrix(rows[:1500], labels[:1500], feature_names=names)
    held = xgb.DMatrix(rows[1500:], labels[1500:], feature_names=names)
    options = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "verbosity": 0}
    booster = xgb.train(
        options, fit, 40, evals=[(held, "held")], early_stopping_rounds=5, verbose_eval=False
    )
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    booster.save_model(tmp_path / "early.ubj")
    features = service.rows[3]
    row = xgb.DMatrix(
        np.array([[np.nan if features[n] is None else features[n] for n in names]], "f4"),
        feature_names=names,
    )
    score = booster.predict(row, iteration_range=(0, booster.best_iteration + 1))[0]
    identity = service.identity("?")
    outcome = python_rules(features, float(score))
    identity = service.identity(outcome)
    identity["model"] = {"digest": service.kept.put(tmp_path / "early.ubj")}
    found = replay(record(features, outcome, score, **identity), service.kept)
    assert found.verdict == "bit_exact"
    assert f"first {booster.best_iteration + 1} of" in (found.runtime_replayed or "")


def test_a_model_without_feature_names_is_replayable_only_by_their_numbers(
    service: Any, decision: Decision, tmp_path: Any
) -> None:
    rows = applicants(500, 5).astype("f4")
    matrix = xgb.DMatrix(rows, np.arange(500) % 2)
    xgb.train({"nthread": 1, "verbosity": 0}, matrix, 2).save_model(tmp_path / "bare.ubj")
    digest = service.kept.put(tmp_path / "bare.ubj")
    found = replay(_replaced(decision, "model", digest=digest), service.kept)
    assert any("feature names" in text for text in found.missing)


def test_a_newer_model_is_not_replayable_and_says_why(
    service: Any, decision: Decision, tmp_path: Any
) -> None:
    train(tmp_path, "new", 4, rounds=2)
    document = json.loads((tmp_path / "new.json").read_text())
    document["version"] = [9, 0, 0]
    digest = service.kept.put(json.dumps(document, separators=(",", ":")))
    found = replay(_replaced(decision, "model", digest=digest), service.kept)
    assert found.verdict == "not_replayable"
    assert any("runtime older than the model" in text for text in found.missing)
