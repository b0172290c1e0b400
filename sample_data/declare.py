"""What the decision point declares of itself with each model: sources, ages and trained ranges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import plan
from .models import Model
from .views import DATASETS, FEATURES, JOBS, VIEWS

_HOUR_S = 3_600
#: A view may miss its schedule once, and not twice.
_MAX_AGE_S = {"bureau_features": 18 * _HOUR_S, "billing_features": 6 * _HOUR_S}
_UNITS = {
    "requested_limit": "TWD",
    "age": "years",
    "limit_balance": "TWD",
    "last_payment": "TWD",
    "payment_mean_6m": "TWD",
    "utilisation_last": "ratio",
    "utilisation_3m": "ratio",
    "utilisation_6m": "ratio",
}
_IN_FORCE = {"v1": plan.V1_DEPLOYED, "v2": plan.V2_DEPLOYED, "v3": plan.V3_PROMOTED}


class Declarations:
    """Gathers one declaration for each model version, to be written at the end."""

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []

    def trained(self, model: Model, features: NDArray[np.float64]) -> None:
        """Declare what the decision point is with ``model``, which was trained on ``features``."""
        low, high = np.nanmin(features, axis=0), np.nanmax(features, axis=0)
        ranges = dict(zip(FEATURES, zip(low.tolist(), high.tolist(), strict=True), strict=True))
        moment = _IN_FORCE[model.recipe.version]
        self._records.append(
            {
                "record": "declaration",
                "declaration_id": f"{plan.POINT}-{model.recipe.version}",
                "decision_point": plan.POINT,
                "occurred_at": plan.iso(moment),
                "features": [
                    _feature(name, view, *ranges[name]) for view in VIEWS for name in VIEWS[view]
                ],
                "steps": ["fetch_bureau", "fetch_billing", "cache", "rules", "consumer"],
                "cache_max_age_s": plan.CACHE_TTL // 1_000_000,
                "serving_environments": ["production", "canary"],
                "actor": "release_bot",
                "reviewed_by": "model_risk",
                "recorded_at": plan.iso(moment + 2_000_000),
            }
        )

    def write(self, path: Path) -> None:
        """The declarations as JSON lines."""
        lines = (json.dumps(record, separators=(",", ":")) for record in self._records)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")


def _feature(name: str, view: str, low: float, high: float) -> dict[str, Any]:
    feature: dict[str, Any] = {"name": name}
    if low < high:  # a column that had no values yet when the model was trained tells no range
        feature |= {"trained_low": low, "trained_high": high}
    if view in _MAX_AGE_S:
        feature |= {
            "dataset": f"{DATASETS}/features.{view}",
            "job": f"{JOBS}/{view}",
            "max_age_s": _MAX_AGE_S[view],
        }
    return feature | ({"unit": _UNITS[name]} if name in _UNITS else {})
