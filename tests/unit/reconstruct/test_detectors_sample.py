"""The sample's faults are named, with what is behind them; what no fault touched is left alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from forms import of, window

import forensics
from forensics.reconstruct.detectors import DETECTORS
from forensics.reconstruct.reconstruction import Reconstruction

SEVERITIES = {
    (detector.kind, code): said.severity
    for detector in DETECTORS
    for code, said in detector.says.items()
}
#: What each fault's finding must say: the change or run behind it, and when.
BEHIND = {
    "billing_scale_jump": ("written by billing_features run", "code 88ac → 3e1f", ":13:00"),
    "unreviewed_threshold": ("c13 → c14", "without review", "threshold 0.58 → 0.5"),
    "stale_cache": ("ef0a324d, not the live 0b490f92", "deploy pd v1 → v2", "2026-10-12 09:30:00"),
    "consumer_misread": ("core_banking", "4.2.0 → 4.2.1", "2026-10-22 10:00:00"),
}


@pytest.fixture(scope="module")
def said(sample_lake: Path) -> dict[str, frozenset[str]]:
    """What the detectors say of each request without replay."""
    return {request: codes for (request, _), codes in window(sample_lake).items()}


@pytest.fixture(scope="module")
def touched(truth: dict[str, Any]) -> set[str]:
    return {request for incident in truth["incidents"] for request in incident["request_ids"]}


def alarms(codes: frozenset[str]) -> set[str]:
    """What of this is of warning severity or above."""
    return {
        code
        for code in codes
        for kind, _, about in (code.partition("|"),)
        if SEVERITIES[kind, about.partition(":")[0]] in ("error", "warning")
    }


def test_every_decision_that_a_fault_touched_is_told_of_by_its_name(
    said: dict[str, frozenset[str]], truth: dict[str, Any]
) -> None:
    expected = {
        "scale_jump": "run:utilisation_3m",
        "config_without_review": "between:config credit_line c14",
        "stale_cache": "model",
        "consumer_misread": "acted",
    }
    for incident in truth["incidents"]:
        kind = incident["expected_finding"]
        for request in incident["request_ids"]:
            assert expected[kind] in of(said[request], kind), request


def test_no_other_decision_of_the_sample_is_alarmed_of(
    said: dict[str, frozenset[str]], touched: set[str]
) -> None:
    wrong = {
        request: alarms(codes)
        for request, codes in said.items()
        if request not in touched and alarms(codes)
    }
    assert len(said) - len(touched) > 29_000
    assert wrong == {}


def problems(found: Reconstruction) -> list[str]:
    return [
        f"{found.decision.request_id}: {finding.kind} {finding.statement}"
        for finding in found.findings
        if finding.severity in ("error", "warning")
    ]


def told(found: Reconstruction, incident: dict[str, Any]) -> list[str]:
    """What a trace does not say of the fault that touched it."""
    named = [f for f in found.findings if f.kind == incident["expected_finding"]]
    if not named:
        return [f"{found.decision.request_id}: {incident['expected_finding']} is not named"]
    text = named[0].statement
    lacking = [part for part in BEHIND[incident["name"]] if part not in text]
    if named[0].severity != "error":
        lacking.append("severity error")
    return [f"{found.decision.request_id}: {text!r} lacks {part!r}" for part in lacking]


def test_traces_with_replay_name_fault_and_cause_and_nothing_else(
    sample_lake: Path, truth: dict[str, Any], said: dict[str, frozenset[str]], touched: set[str]
) -> None:
    wrong = []
    with forensics.open(sample_lake) as asked:
        for incident in truth["incidents"]:
            for request in random.Random(3).sample(incident["request_ids"], 4):
                (found,) = asked.trace(request, counterfactuals=0)
                wrong += told(found, incident)
        untouched = sorted(said.keys() - touched)
        for request in random.Random(4).sample(untouched, 16):
            (found,) = asked.trace(request, counterfactuals=0)
            wrong += problems(found)
    assert not wrong, "\n".join(wrong)


@pytest.mark.torture
@pytest.mark.parametrize("part", range(10))
def test_all_that_faults_touched_and_500_others_are_traced_rightly(
    sample_lake: Path,
    truth: dict[str, Any],
    said: dict[str, frozenset[str]],
    touched: set[str],
    part: int,
) -> None:
    wrong = []
    with forensics.open(sample_lake) as asked:
        for incident in truth["incidents"]:
            for request in incident["request_ids"][part::10]:
                (found,) = asked.trace(request, counterfactuals=0)
                wrong += told(found, incident)
        untouched = sorted(said.keys() - touched)
        for request in random.Random(5).sample(untouched, 500)[part::10]:
            (found,) = asked.trace(request, counterfactuals=0)
            wrong += problems(found)
    assert not wrong, "\n".join(wrong)
