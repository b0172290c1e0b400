"""Lakes of decisions that real models and decision logic made, with what each step answered."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from forensics.ingest import assemble
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.lake.artifacts import ArtifactStore
from forensics.records.decision import Decision
from forensics.records.jsontext import dumps
from forensics.replay.client import Workers
from forensics.replay.session import ReplaySession, decided_by
from forensics.testing import write_lines

Record = dict[str, Any]
POINT = "credit_line"
CONFIG = {"threshold": 0.5, "max_months_late": 3, "max_burden": 4.0, "low": 0.2}
#: A step of every kind that needs no other engine, with values between features and outcome.
LOGIC = {
    "type": "logic",
    "name": "credit_line",
    "version": "8",
    "steps": [
        {"id": "raw", "kind": "model"},
        {"id": "pd", "kind": "calibration", "of": "raw", "method": "platt", "a": -4.0, "b": 1.8},
        {"id": "burden", "kind": "expression", "sql": "limit_balance / nullif(income, 0)"},
        {
            "id": "band",
            "kind": "bands",
            "of": "pd",
            "bands": [
                {"id": "B1", "below": "config.low", "value": "A"},
                {"id": "B2", "value": "B"},
            ],
            "missing": "B",
        },
        {
            "id": "policy",
            "kind": "table",
            "rules": [
                {"id": "R1", "when": "months_late >= max_months_late", "outcome": "DECLINE"},
                {"id": "R2", "when": "pd >= threshold", "outcome": "DECLINE"},
                {"id": "R3", "when": "burden > max_burden AND band = 'B'", "outcome": "REFER"},
            ],
            "default": {"id": "R0", "outcome": "APPROVE"},
        },
    ],
    "score": "pd",
    "outcome": "policy",
    "derived": {"enquiries": "tenure + 1"},
}


@contextmanager
def any_score() -> Iterator[None]:
    """Within, ingest takes scores that contradict themselves in, as lakes of old versions did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "refuse_contradictions", lambda columns, found: None)
        yield


def lake_of(root: Path, artifacts: Iterable[bytes], records: Iterable[Mapping[str, Any]]) -> Path:
    """A lake with these artifacts and decisions."""
    layout.create(root)
    store = ArtifactStore(root)
    for data in artifacts:
        store.put(data)
    lines = write_lines(root.parent / f"{root.name}.jsonl", map(dumps, records))
    report = ingest(root, open_source(lines))
    assert not report.quarantined_total, report.examples
    return root


def as_record(decision: Decision, number: int) -> Record:
    """A decision as its service writes it."""
    record: Record = {
        "decision_point": POINT,
        "decision_id": f"d-{number}",
        "request_id": f"r-{number}",
        "occurred_at": (datetime(2026, 10, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat(),
        "outcome": decision.outcome,
        "features": dict(decision.features),
        "model": dict(decision.model),
        "config": _parsed(decision.config, "values"),
        "steps": [_parsed(step, "outputs") for step in decision.steps],
        "execution": {"pure": True},
        "region": ("north", "south", "east")[number % 3],
    }
    for name in ("score", "score_dtype", "threshold"):
        if getattr(decision, name) is not None:
            record[name] = getattr(decision, name)
    if decision.score_bytes is not None:
        record["score_bytes"] = decision.score_bytes.hex()
    if decision.cache:
        record["cache"] = dict(decision.cache)
    return record


def _parsed(group: Mapping[str, Any], name: str) -> Record:
    found = dict(group)
    if isinstance(found.get(name), str):
        found[name] = json.loads(found[name])
    return found


def decided(decision: Decision, kept: Any, workers: Workers) -> Decision:
    """``decision`` with the score, outcome and answers of the steps that its own logic gives."""
    with ReplaySession(decision, kept, workers=workers) as session:
        assert not session.missing, session.missing
        answer = session.answer
        assert answer is not None
        assert session.logic is not None
        (rule,) = decided_by(answer)
        ends = (session.logic.logic.score, session.logic.logic.outcome)
        steps = []
        for bound in session.logic.steps:
            step = bound.step
            (value,) = answer.value(step.id)
            outputs = {"value": value}
            if step.id == ends[1]:
                outputs = {"outcome": rule.outcome, "rule": rule.id}
            kind = "rules" if step.kind == "table" else step.kind
            digest = {"model": session.model.digest, "rules": _rules(decision)}.get(kind)
            entry = {"id": step.id, "kind": kind, "outputs": outputs}
            steps.append(entry | ({"digest": digest} if digest else {}))
        score = session.score
        assert score is not None
        assert rule.outcome is not None
        return replace(
            decision,
            outcome=rule.outcome,
            score=score,
            score_dtype="float64",
            score_bytes=struct.pack("<d", score),
            steps=tuple(steps),
        )


def _rules(decision: Decision) -> str:
    return next(str(s["digest"]) for s in decision.steps if s.get("kind") == "rules")


def early_model(folder: Path, rows: np.ndarray, names: Iterable[str]) -> xgb.Booster:
    """A model that went on training for some rounds after its best one."""
    labels = (rows[:, 2] + np.nan_to_num(rows[:, 3]) > 1).astype(int)
    fit = xgb.DMatrix(rows[:2000].astype("f4"), labels[:2000], feature_names=list(names))
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, fit, 30)
    booster.set_attr(best_iteration="9")
    booster.save_model(folder / "early.ubj")
    return booster


Build = Callable[..., Path]
