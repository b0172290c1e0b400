"""A small credit decision system: real models, rules, and records as its service writes them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from forensics.records.decision import Decision

FEATURES = ("income", "limit_balance", "utilisation", "months_late", "age", "tenure", "enquiries")
CONFIG = {"threshold": 0.5, "max_months_late": 3, "product": "card"}
LEVERS = {
    "utilisation": {"min": 0, "max": 3, "step": 0.01},
    "limit_balance": {"min": 0, "max": 500_000, "step": 1_000, "integer": True},
    "months_late": {"min": 0, "max": 8, "step": 1, "integer": True},
    "income": {"min": 0, "max": 200_000, "step": 100, "direction": "up"},
    "enquiries": {"min": 0, "max": 20, "step": 1, "integer": True, "direction": "down"},
}
RULES = {
    "type": "rules",
    "name": "credit_line",
    "version": "7",
    "decision_point": "credit_line",
    "hit_policy": "first",
    "rules": [
        {"id": "R1", "when": "months_late >= max_months_late", "outcome": "DECLINE"},
        {"id": "R2", "when": "score >= threshold", "outcome": "DECLINE"},
        {"id": "R3", "when": "score >= threshold - 0.1", "outcome": "REFER"},
    ],
    "default": {"id": "R0", "outcome": "APPROVE"},
    "levers": LEVERS,
}


class Kept:
    """Artifacts in a folder, by digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[str, Path] = {}

    def put(self, data: bytes | str | Path | Mapping[str, Any]) -> str:
        if isinstance(data, Path):
            data = data.read_bytes()
        if isinstance(data, Mapping):
            data = json.dumps(data)
        if isinstance(data, str):
            data = data.encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.paths[digest] = self.folder / digest[7:]
        self.paths[digest].write_bytes(data)
        return digest

    def path(self, digest: str) -> Path | None:
        return self.paths.get(digest)

    def read(self, digest: str) -> bytes | None:
        path = self.paths.get(digest)
        return path.read_bytes() if path else None


def applicants(count: int, seed: int) -> np.ndarray:
    """Applicants as float64 rows in the order of ``FEATURES``, NaN where a value is missing."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            np.round(rng.lognormal(10.4, 0.5, count), -2),
            np.round(rng.lognormal(11, 0.8, count), -3),
            np.round(rng.gamma(2, 0.3, count), 2),
            rng.poisson(0.7, count).astype(float),
            rng.integers(18, 80, count).astype(float),
            np.round(rng.exponential(5, count), 1),
            rng.poisson(2, count).astype(float),
        ]
    )
    rows[rng.random(rows.shape) < 0.03] = np.nan
    return rows


def train(folder: Path, name: str, seed: int, rounds: int = 60, **parameters: Any) -> xgb.Booster:
    rows = applicants(4000, seed)
    known = np.nan_to_num(rows)
    risk = (
        1.2 * known[:, 2] + 0.8 * known[:, 3] + 0.2 * known[:, 6] - known[:, 0] / 30_000
        - known[:, 1] / 150_000 + np.random.default_rng(seed).normal(0, 0.7, len(rows))
    )  # fmt: skip
    labels = (risk > np.median(risk)).astype(int)
    matrix = xgb.DMatrix(rows.astype("f4"), labels, feature_names=list(FEATURES))
    options = {
        "objective": "binary:logistic",
        "max_depth": 4,
        "eta": 0.15,
        "nthread": 1,
        "verbosity": 0,
    }
    booster = xgb.train({**options, "seed": seed, **parameters}, matrix, rounds)
    booster.save_model(folder / f"{name}.json")
    booster.save_model(folder / f"{name}.ubj")
    return booster


def python_score(booster: xgb.Booster, features: Mapping[str, Any]) -> np.float32:
    """The score by xgboost's own Python API, as the service computes it."""
    row = [float("nan") if features[name] is None else features[name] for name in FEATURES]
    return np.float32(booster.inplace_predict(np.array([row], "f4"))[0])


def python_rules(features: Mapping[str, Any], score: float, threshold: float = 0.5) -> str:
    """The rule set written again in Python, so that a test can disagree with it."""
    late = features["months_late"]
    if late is not None and late >= 3:
        return "DECLINE"
    if score >= threshold:
        return "DECLINE"
    return "REFER" if score >= threshold - 0.1 else "APPROVE"


def record(features: Mapping[str, Any], outcome: str, score: Any, **changes: Any) -> Decision:
    raw = None if score is None else struct.pack("<f", score)
    fields: dict[str, Any] = {
        "decision_point": "credit_line",
        "decision_id": "d-1",
        "request_id": "r-1",
        "occurred_at": datetime(2026, 10, 21, 2, 41, tzinfo=UTC),
        "outcome": outcome,
        "environment": "production",
        "score": None if score is None else float(score),
        "score_dtype": "float32",
        "score_bytes": raw,
        "threshold": 0.5,
        "features": dict(features),
        "feature_types": {},
        "model": {},
        "config": {},
        "execution": {},
        "subject": {},
        "writer": {},
        "cache": {},
        "consumer": {},
        "explanation": {},
        "capture": {},
        "feature_sources": (),
        "steps": (),
        "candidates": (),
        "other": {},
        "extra": {},
        "sealed": {},
    }
    fields.update(changes)
    return Decision(**fields)


class Service:
    """The deciding system: scores, applies the rules, and records with digests of what ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = Kept(folder)
        self.booster = train(folder, "v2", 2)
        self.old = train(folder, "v1", 1, rounds=40)
        self.model = self.kept.put(folder / "v2.ubj")
        self.old_model = self.kept.put(folder / "v1.json")
        self.rules = self.kept.put(RULES)
        self.config = self.kept.put(CONFIG)
        self.rows = [features_of(row) for row in applicants(300, 9)]

    def decide(self, features: Mapping[str, Any], **changes: Any) -> Decision:
        score = python_score(self.booster, features)
        outcome = python_rules(features, float(score))
        fields = {**self.identity(outcome), **changes}
        return record(features, fields.pop("outcome", outcome), fields.pop("raw", score), **fields)

    def identity(self, outcome: str) -> dict[str, Any]:
        return {
            "model": {
                "name": "pd",
                "version": "v2",
                "digest": self.model,
                "runtime": "xgboost",
                "runtime_version": "3.2.0",
            },
            "config": {"digest": self.config, "values": json.dumps(CONFIG)},
            "steps": (
                {"id": "score", "kind": "model", "digest": self.model},
                {
                    "id": "policy",
                    "kind": "rules",
                    "digest": self.rules,
                    "outputs": json.dumps({"outcome": outcome}),
                },
            ),
        }

    def declined(self, count: int) -> Sequence[Decision]:
        every = (self.decide(features) for features in self.rows)
        return list(islice((each for each in every if each.outcome == "DECLINE"), count))


def features_of(row: np.ndarray) -> dict[str, Any]:
    """A row as a service holds it: whole numbers where they are counts, None where missing."""
    whole = {"months_late", "age", "enquiries", "limit_balance"}
    return {
        name: None if np.isnan(value) else int(value) if name in whole else float(value)
        for name, value in zip(FEATURES, row, strict=True)
    }
