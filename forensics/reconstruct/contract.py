"""The reconstruction as plain mappings: the contract of ``forensics trace --json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from forensics.lineage.provenance import Looked, Origin
from forensics.reconstruct.changes import Change
from forensics.reconstruct.reconstruction import Feature, Reconstruction
from forensics.records.replay import Counterfactual

_STEP_FIELDS = ("id", "kind", "component", "version", "digest", "started_at", "inputs", "outputs",
                "status", "error")  # fmt: skip


def to_dict(reconstruction: Reconstruction) -> dict[str, Any]:
    """Every part of the contract, with null for what is not known."""
    decision = reconstruction.decision
    return {
        "request_id": reconstruction.asked_for,
        "decision": {
            "decision_id": decision.decision_id,
            "decision_point": decision.decision_point,
            "occurred_at": decision.occurred_at,
            "environment": decision.environment,
            "subject": decision.subject.get("id"),
            "outcome": decision.outcome,
            "score": decision.score,
            "threshold": decision.threshold,
            "duration_ms": decision.other.get("duration_ms"),
            "override": reconstruction.override,
            "outcome_label": reconstruction.outcome_label,
            "consumer": dict(decision.consumer) or None,
            "cache": dict(decision.cache) or None,
            "evidence": "recorded",
        },
        "model": _model(reconstruction),
        "config": _config(reconstruction),
        "features": [_feature(feature) for feature in reconstruction.features],
        "attributions": _attributions(reconstruction),
        "counterfactuals": [_counterfactual(item) for item in reconstruction.counterfactuals],
        "counterfactual_search": _search(reconstruction),
        "steps": _steps(reconstruction),
        "replay": _replay(reconstruction),
        "changes": [_change(reconstruction, change) for change in reconstruction.changes],
        "findings": [
            {
                "kind": finding.kind,
                "severity": finding.severity,
                "statement": finding.statement,
                "detail": dict(finding.detail),
                "evidence": finding.evidence,
            }
            for finding in reconstruction.findings
        ],
        "completeness": {
            "class": reconstruction.completeness.class_,
            "missing": [
                {"field": field, "reason": reason}
                for field, reason in reconstruction.completeness.missing
            ],
        },
        "integrity": _integrity(reconstruction),
    }


def _model(reconstruction: Reconstruction) -> dict[str, Any]:
    model = reconstruction.decision.model
    runtime = " ".join(str(model[key]) for key in ("runtime", "runtime_version") if model.get(key))
    return {
        "name": model.get("name"),
        "version": model.get("version"),
        "digest": model.get("digest"),
        "runtime": runtime or None,
        **_known(model, "the record names no model"),
    }


def _config(reconstruction: Reconstruction) -> dict[str, Any]:
    config = reconstruction.decision.config
    return {
        "digest": config.get("digest"),
        "revision": config.get("revision"),
        "values": config.get("values"),
        **_known(config, "the record names no configuration"),
    }


def _known(group: Mapping[str, Any], reason: str) -> dict[str, Any]:
    if group:
        return {"evidence": "recorded", "reason": None}
    return {"evidence": "missing", "reason": reason}


def _feature(feature: Feature) -> dict[str, Any]:
    origin = feature.origin or Origin()
    return {
        "name": feature.name,
        "value": feature.value,
        "type": feature.type,
        "source": feature.source,
        "column": origin.column,
        "event_time": origin.event_time,
        "age_s": feature.age_s,
        "status": origin.status,
        "producing_job": origin.job,
        "producing_run": origin.run_id,
        "run": _run(origin),
        "as_of": _as_of(origin.history),
        "usual": _usual(feature),
        "evidence": feature.evidence,
        "reason": feature.reason,
    }


def _run(origin: Origin) -> dict[str, Any]:
    run, before = origin.run, origin.previous
    if run is None:
        return {
            "state": None, "started_at": None, "ended_at": None, "code_version": None,
            "previous_code_version": None, "parent_job": None, "parent_run": None, "tests": [],
            "evidence": "missing",
            "reason": origin.reason or "neither run nor dataset were recorded or declared",
        }  # fmt: skip
    changed = before is not None and before.code_version != run.code_version
    return {
        "state": run.state,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "code_version": run.code_version,
        "previous_code_version": before.code_version if before is not None and changed else None,
        "parent_job": run.parent.job_name if run.parent else None,
        "parent_run": run.parent.run_id if run.parent else None,
        "tests": [
            {"assertion": test.assertion, "column": test.column, "success": test.success}
            for test in origin.tests
        ],
        "evidence": origin.evidence,
        "reason": origin.reason,
    }


def _as_of(looked: Looked | None) -> dict[str, Any]:
    if looked is None:
        looked = Looked(reason="no history of it is declared")
    return {
        "value": looked.value,
        "true_from": looked.true_from,
        "written_at": looked.written_at,
        "agrees": looked.agrees,
        "evidence": "missing" if looked.agrees is None else "recomputed",
        "reason": looked.reason,
    }


def _usual(feature: Feature) -> dict[str, Any] | None:
    usual, value = feature.usual, feature.value
    if usual is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return {
        "median": usual.median,
        "q01": usual.q01,
        "q99": usual.q99,
        "days": usual.days,
        "within": usual.q01 <= value <= usual.q99,
    }


def _attributions(reconstruction: Reconstruction) -> dict[str, Any]:
    found = reconstruction.attribution
    if found is None:
        return {
            "method": None, "base_value": None, "threshold_value": None, "unit": None,
            "values": [], "additivity_error": None, "output": None, "background": None,
            "standard_error": None, "seed": None, "agreement": None, "evidence": "missing",
            "reason": reconstruction.attribution_reason,
        }  # fmt: skip
    return {
        "method": found.method,
        "base_value": found.base_value,
        "threshold_value": found.threshold_value,
        "unit": found.unit,
        "values": [{"feature": name, "value": value} for name, value in found.values.items()],
        "additivity_error": found.additivity_error,
        "output": found.output,
        "background": None if found.background is None else asdict(found.background),
        "standard_error": found.standard_error,
        "seed": found.seed,
        "agreement": None if found.agreement is None else asdict(found.agreement),
        "evidence": found.evidence,
        "reason": None,
    }


def _counterfactual(item: Counterfactual) -> dict[str, Any]:
    return {
        "changes": [
            {
                "feature": change.feature,
                "from": change.from_value,
                "to": change.to_value,
                "statement": change.statement,
            }
            for change in item.changes
        ],
        "outcome": item.outcome,
        "score": item.score,
        "distance": item.distance,
        "verified": item.verified,
        "evidence": "recomputed",
    }


def _search(reconstruction: Reconstruction) -> dict[str, Any]:
    found = reconstruction.search
    if found is None:
        return {
            "status": None, "lower_bound": None, "statement": None, "evidence": "missing",
            "reason": reconstruction.search_reason or "it was not asked for",
        }  # fmt: skip
    return {
        "status": found.status,
        "lower_bound": found.lower_bound,
        "statement": found.statement,
        "evidence": "recomputed",
        "reason": None,
    }


def _steps(reconstruction: Reconstruction) -> list[dict[str, Any]]:
    steps = reconstruction.decision.steps
    begun = [step["started_at"] for step in steps if "started_at" in step]
    first = min(begun) if begun else None
    result = []
    for step in steps:
        start, end = step.get("started_at"), step.get("ended_at")
        offset = (start - first).total_seconds() * 1000 if start and first else None
        duration = (end - start).total_seconds() * 1000 if start and end else None
        result.append(
            {name: step.get(name) for name in _STEP_FIELDS}
            | {"offset_ms": offset, "duration_ms": duration, "evidence": "recorded"}
        )
    return result


def _replay(reconstruction: Reconstruction) -> dict[str, Any]:
    found = reconstruction.replay
    if found is None:
        return {
            "verdict": None, "recorded": None, "replayed": None, "first_divergence": None,
            "missing": [], "runtime": None, "steps": [], "evidence": "missing",
            "reason": "replay was not asked for",
        }  # fmt: skip
    first = found.first_divergence
    return {
        "verdict": found.verdict,
        "recorded": dict(found.recorded),
        "replayed": dict(found.replayed),
        "first_divergence": None
        if first is None
        else {
            "step": first.step,
            "recorded": first.recorded,
            "replayed": first.replayed,
            "statement": first.statement,
        },
        "missing": list(found.missing),
        "runtime": {"recorded": found.runtime_recorded, "replayed": found.runtime_replayed},
        "steps": [asdict(step) for step in found.steps],
        "evidence": "recomputed",
        "reason": None,
    }


def _change(reconstruction: Reconstruction, change: Change) -> dict[str, Any]:
    before = reconstruction.decision.occurred_at - change.occurred_at
    return {
        "change_id": change.change_id,
        "occurred_at": change.occurred_at,
        "before_s": before.total_seconds(),
        "kind": change.kind,
        "component": change.component,
        "from_version": change.from_version,
        "to_version": change.to_version,
        "environment": change.environment,
        "run_id": change.run_id,
        "features": list(change.features),
        "statement": change.statement,
        "known_at": change.known_at,
        "source": change.source,
        "agreement": change.agreement,
        "seen_at": change.seen_at,
        "evidence": change.evidence,
    }


def _integrity(reconstruction: Reconstruction) -> dict[str, Any]:
    integrity = reconstruction.integrity
    return {
        "segment": integrity.segment,
        "leaf_index": integrity.leaf_index,
        "leaf": integrity.leaf,
        "verified": integrity.verified,
        "evidence": "recomputed" if integrity.verified is not None else "recorded",
        "reason": integrity.reason,
    }
