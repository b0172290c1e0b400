"""The sample, decision by decision: what the tool says is what is true, by an independent hand.

Models are run by XGBoost's own Python interface and rules are written out in Python here, so that
nothing of the tool vouches for itself.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import pytest
import xgboost

import forensics
from forensics.records.jsontext import dumps
from forensics_schemas import json_schema

SCHEMA = jsonschema.Draft202012Validator(json_schema("reconstruction"))
SAMPLE = 150
OF_INCIDENTS = 150
PARTS = 10
#: What sample_data/README.md and `forensics demo` tell people to look for.
VISIBLE_FROM = 5.0


class Expected(NamedTuple):
    verdict: str
    findings: frozenset[str]


@pytest.fixture(scope="module")
def asked(sample_lake: Path) -> Any:
    return forensics.open(sample_lake)


@pytest.fixture(scope="module")
def all_ids(asked: Any) -> list[str]:
    return [row["request_id"] for row in asked.find(oldest_first=True)]


@pytest.fixture(scope="module")
def expected(truth: dict[str, Any]) -> Callable[[str], Expected]:
    verdicts: dict[str, str] = {}
    findings: dict[str, set[str]] = {}
    for incident in truth["incidents"]:
        for request in incident["request_ids"]:
            findings.setdefault(request, set()).add(incident["expected_finding"])
            if "expected_verdicts" in incident:
                verdicts[request] = incident["expected_verdicts"][request]

    def of(request: str) -> Expected:
        verdict = verdicts.get(request, truth["elsewhere_verdict"])
        return Expected(verdict, frozenset(findings.get(request, ())))

    return of


@pytest.fixture(scope="module")
def incident_ids(truth: dict[str, Any]) -> list[str]:
    """Ids of each incident in turn, so that a limit takes some of all."""
    lists = [list(incident["request_ids"]) for incident in truth["incidents"]]
    for ids in lists:
        random.Random(7).shuffle(ids)
    longest = max(map(len, lists))
    mixed = [ids[at] for at in range(longest) for ids in lists if at < len(ids)]
    return list(dict.fromkeys(mixed))[:OF_INCIDENTS]


@cache
def booster(folder: Path, digest: str) -> xgboost.Booster:
    import hashlib

    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if "sha256:" + hashlib.sha256(data).hexdigest() == digest:
            model = xgboost.Booster()
            model.load_model(bytearray(data))
            return model
    raise AssertionError(f"no artifact {digest}")


def score_of(model: xgboost.Booster, features: dict[str, Any]) -> float:
    names = model.feature_names
    assert names is not None
    row = [[np.nan if features[name] is None else features[name] for name in names]]
    matrix = xgboost.DMatrix(np.array(row, np.float32), feature_names=names)
    return float(model.predict(matrix)[0])


def margin_of(model: xgboost.Booster, features: dict[str, Any]) -> float:
    names = model.feature_names
    assert names is not None
    row = [[np.nan if features[name] is None else features[name] for name in names]]
    matrix = xgboost.DMatrix(np.array(row, np.float32), feature_names=names)
    return float(model.predict(matrix, output_margin=True)[0])


def outcome_of(features: dict[str, Any], score: float, config: dict[str, Any]) -> str:
    """The rule set r7, written out."""
    if features["months_late_max"] >= config["max_months_late"]:
        return "DECLINE"
    if score >= config["threshold"]:
        return "DECLINE"
    if features["requested_limit"] > config["max_request_ratio"] * features["limit_balance"]:
        return "REFER"
    if score >= config["refer_threshold"]:
        return "REFER"
    return "APPROVE"


def check(asked: Any, evidence: Path, request: str, wanted: Expected) -> list[str]:
    """What is not as it should be with one decision, each as a sentence."""
    (found,) = asked.trace(request)
    said = json.loads(dumps(found.to_dict()))
    wrong = [f"schema: {error.message[:200]}" for error in SCHEMA.iter_errors(said)]
    if said["replay"]["verdict"] != wanted.verdict:
        wrong.append(f"verdict {said['replay']['verdict']}, expected {wanted.verdict}")
    kinds = {finding["kind"] for finding in said["findings"]}
    lacking = wanted.findings - kinds
    if "scale_jump" in lacking and not jump_is_visible(said):
        lacking -= {"scale_jump"}
        if said["decision"]["environment"] == "production" and "new_pipeline_code" not in kinds:
            wrong.append("neither the jump nor the new code behind the value is told")
    if lacking:
        wrong.append(f"findings {sorted(kinds)} lack {sorted(lacking)}")
    if "stale_cache" not in wanted.findings and "stale_cache" in kinds:
        wrong.append("a stale cache is claimed where there was none")
    if "consumer_misread" not in wanted.findings and "consumer_misread" in kinds:
        wrong.append("a misreading is claimed where there was none")
    if not said["integrity"]["verified"]:
        wrong.append("the received bytes are not verified")
    return [f"{request}: {text}" for text in wrong + numbers(said, evidence)]


def jump_is_visible(said: dict[str, Any]) -> bool:
    """Whether a hundredfold utilisation is beyond what clients have; that of a small one is not."""
    value = next(f["value"] for f in said["features"] if f["name"] == "utilisation_3m")
    return value is not None and value > VISIBLE_FROM


def numbers(said: dict[str, Any], evidence: Path) -> list[str]:
    """Scores, attributions and counterfactuals, worked out again without the tool."""
    wrong = []
    features = {item["name"]: item["value"] for item in said["features"]}
    digest = said["model"]["digest"]
    cache_ = said["decision"]["cache"] or {}
    if cache_.get("hit") and cache_.get("model_digest", digest) != digest:
        return []  # answers of a replaced model: another test
    model = booster(evidence / "artifacts", digest)
    config = said["config"]["values"]
    score = score_of(model, features)
    if score != said["decision"]["score"]:
        wrong.append(f"the score is {said['decision']['score']}, XGBoost says {score}")
    if outcome_of(features, score, config) != said["decision"]["outcome"]:
        wrong.append("the rules written out give another outcome")
    attributions = said["attributions"]
    if attributions["method"] is None:
        wrong.append(f"no attribution: {attributions['reason']}")
    else:
        total = attributions["base_value"] + sum(v["value"] for v in attributions["values"])
        if attributions["unit"] == "log_odds":
            margin = margin_of(model, features)
            if abs(total - margin) > 1e-5:
                wrong.append(f"attributions add up to {total}, the margin is {margin}")
        error = attributions["additivity_error"]
        if error is None or error > 1e-5:
            wrong.append(f"the additivity error is {error}")
    for item in said["counterfactuals"]:
        changed = {**features, **{c["feature"]: c["to"] for c in item["changes"]}}
        other = outcome_of(changed, score_of(model, changed), config)
        if not item["verified"] or other != item["outcome"]:
            wrong.append(f"a counterfactual promises {item['outcome']} and gives {other}: {item}")
        if item["outcome"] == said["decision"]["outcome"]:
            wrong.append("a counterfactual changes nothing")
        for change in item["changes"]:
            if change["from"] != features[change["feature"]] or change["to"] == change["from"]:
                wrong.append(f"a counterfactual starts elsewhere: {change}")
    return wrong


@pytest.fixture(scope="module")
def evidence(sample_lake: Path) -> Path:
    return sample_lake.with_name(f"{sample_lake.name}-evidence")


@pytest.mark.parametrize("part", range(PARTS))
def test_a_sample_of_all_decisions_is_reconstructed_as_it_was(
    asked: Any, evidence: Path, all_ids: list[str], expected: Any, part: int
) -> None:
    chosen = random.Random(20261031).sample(all_ids, SAMPLE)[part::PARTS]
    assert len(chosen) == SAMPLE // PARTS
    wrong = [text for request in chosen for text in check(asked, evidence, request,
                                                          expected(request))]  # fmt: skip
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", range(PARTS))
def test_decisions_that_faults_touched_are_told_with_the_exact_reason(
    asked: Any, evidence: Path, incident_ids: list[str], expected: Any, part: int
) -> None:
    chosen = incident_ids[part::PARTS]
    assert chosen
    wrong = [text for request in chosen for text in check(asked, evidence, request,
                                                          expected(request))]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_the_showcase_is_explained_by_the_value_on_its_usual_scale(
    asked: Any, truth: dict[str, Any]
) -> None:
    incident = next(i for i in truth["incidents"] if "showcase" in i)
    (found,) = asked.trace(incident["showcase"])
    jump = next(f for f in found.findings if f.kind == "scale_jump")
    restored = incident["showcase_restored"]
    assert jump.detail["factor"] == incident["factor"]
    assert jump.detail["mended"]["value"] == pytest.approx(restored["utilisation_3m"])
    assert jump.detail["mended"]["outcome"] == restored["outcome"]
    assert jump.detail["mended"]["score"] == pytest.approx(restored["score"], abs=1e-7)


def test_most_refusals_come_with_what_would_have_changed_them(
    asked: Any, all_ids: list[str]
) -> None:
    refused = [row["request_id"] for row in asked.find(outcome="DECLINE", limit=30)]
    with_flips = [r for r in refused if asked.trace(r)[0].counterfactuals]
    assert len(with_flips) >= 24


@pytest.mark.torture
@pytest.mark.parametrize("part", range(100))
def test_every_decision_of_the_sample_is_reconstructed_as_it_was(
    asked: Any, evidence: Path, all_ids: list[str], expected: Any, part: int
) -> None:
    chosen = all_ids[part::100]
    assert len(chosen) == 300
    wrong = [text for request in chosen for text in check(asked, evidence, request,
                                                          expected(request))]  # fmt: skip
    assert not wrong, "\n".join(wrong[:50])
