"""What really went wrong: gathered while building, written to ``truth.json`` for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from . import plan, policy
from .evidence import Faults
from .ids import request_id, showcase_number
from .models import Model
from .plan import iso
from .serve import Decided, Service
from .views import FEATURES, VIEWS, Run

_DECLINES = np.array([outcome == "DECLINE" for outcome in policy.OUTCOMES])
_REFERS = np.array([outcome == "REFER" for outcome in policy.OUTCOMES])
_C13, _C14 = 1, 2
_BILLING = len(VIEWS["request"]) + len(VIEWS["bureau_features"])


class Truth:
    """Collects, slice by slice, which decisions each fault touched and what it did to them."""

    def __init__(self, con: duckdb.DuckDBPyConnection, service: Service, runs: list[Run]) -> None:
        self._con = con
        self._service = service
        self._bad_runs = [i for i, run in enumerate(runs) if run.code == "3e1f"]
        self._runs = runs
        self._total = service.total
        self._ids: dict[str, list[str]] = {}
        self._verdicts: dict[str, str] = {}
        self._restored: dict[str, Any] = {}
        self._declined: dict[str, list[int]] = {}

    def faults(self, decided: Decided) -> Faults:
        """Which decisions of a slice the first, third and fourth fault touched."""
        moment = decided.requests.moment
        spoilt: NDArray[np.bool_] = np.isin(decided.billing_run, self._bad_runs)
        stale: NDArray[np.bool_] = decided.hit & (decided.entry.model != decided.model)
        broken = (moment >= plan.CONSUMER_BROKEN) & (moment < plan.CONSUMER_MENDED)
        misread: NDArray[np.bool_] = _REFERS[decided.rule] & broken
        return Faults(spoilt, stale, misread)

    def gather(self, decided: Decided, faults: Faults, clean: NDArray[np.float64]) -> None:
        """Note a slice. ``clean`` is the billing view as it was before the bad run, by client."""
        moment = decided.requests.moment
        declined = _DECLINES[decided.rule]
        for name, inside in (
            ("before_c14", moment < plan.C14_PUBLISHED),
            ("since_c14", (moment >= plan.C14_PUBLISHED) & ~faults.spoilt),
            ("scale_jump", faults.spoilt),
            ("all", np.full(moment.size, True)),
        ):
            count = self._declined.setdefault(name, [0, 0])
            count[0] += int(declined[inside].sum())
            count[1] += int(inside.sum())
        self._note("scale_jump", decided, faults.spoilt)
        if faults.spoilt.any():
            flipped = self._flipped_by_scale(decided, faults, clean)
            self._note("scale_jump_flipped", decided, flipped)
            self._restore(decided, clean)
        self._note("threshold", decided, self._flipped_by_threshold(decided))
        self._note("stale", decided, faults.stale)
        for i in np.flatnonzero(faults.stale):
            same = policy.OUTCOMES[decided.rule[i]] == policy.OUTCOMES[decided.fresh_rule[i]]
            equal = decided.score[i] == decided.fresh_score[i]
            verdict = "bit_exact" if same and equal else "diverged"
            self._verdicts[request_id(int(decided.number[i]), self._total)] = verdict
        self._note("misread", decided, faults.misread)

    def write(self, path: Path, models: list[Model]) -> dict[str, Any]:
        """Write and return the truth."""
        bad = [self._runs[i] for i in self._bad_runs]
        ids = {
            name: self._ids.get(name, [])
            for name in ("scale_jump", "scale_jump_flipped", "threshold", "stale", "misread")
        }
        incidents = [
            {
                "name": "billing_scale_jump",
                "what": "billing_features code 3e1f writes utilisation_3m as per cent",
                "window": [iso(plan.BAD_WRITTEN), iso(plan.ROLLBACK_WRITTEN)],
                "change": {
                    "kind": "pipeline",
                    "component": "billing_features",
                    "from_version": "88ac",
                    "to_version": "3e1f",
                },
                "runs": [{"run_id": run.run_id, "label": run.label} for run in bad],
                "feature": "utilisation_3m",
                "factor": 100,
                "expected_finding": "scale_jump",
                "expected_verdict": "bit_exact",
                "showcase": request_id(showcase_number(self._total), self._total),
                "showcase_restored": self._restored,
                "request_ids": ids["scale_jump"],
                "flipped_request_ids": ids["scale_jump_flipped"],
            },
            {
                "name": "unreviewed_threshold",
                "what": "configuration c14 lowers the threshold, and nobody reviewed it",
                "window": [iso(plan.C14_PUBLISHED), iso(plan.END)],
                "change": {
                    "kind": "config",
                    "component": plan.POINT,
                    "from_version": "c13",
                    "to_version": "c14",
                },
                "thresholds": [
                    plan.CONFIGS[1].values["threshold"],
                    plan.CONFIGS[2].values["threshold"],
                ],
                "expected_finding": "config_without_review",
                "expected_verdict": "bit_exact",
                "request_ids": ids["threshold"],
            },
            {
                "name": "stale_cache",
                "what": "the cache key lacks the model's digest: v1's results are served as v2's",
                "window": [iso(plan.V2_DEPLOYED), iso(plan.CACHE_KEY_MENDED)],
                "change": {
                    "kind": "deploy",
                    "component": "pd",
                    "from_version": "v1",
                    "to_version": "v2",
                },
                "entry_model_digest": models[0].digest,
                "claimed_model_digest": models[1].digest,
                "expected_finding": "stale_cache",
                "expected_verdict": "diverged at the cache step, whatever the outcome",
                "expected_verdicts": self._verdicts,
                "expected_verdict_under_entry_model": "bit_exact",
                "request_ids": ids["stale"],
            },
            {
                "name": "consumer_misread",
                "what": "core_banking 4.2.1 reads code R as a refusal",
                "window": [iso(plan.CONSUMER_BROKEN), iso(plan.CONSUMER_MENDED)],
                "change": {
                    "kind": "deploy",
                    "component": plan.CONSUMER,
                    "from_version": "4.2.0",
                    "to_version": "4.2.1",
                },
                "expected_finding": "consumer_misread",
                "expected_verdict": "bit_exact",
                "request_ids": ids["misread"],
            },
        ]
        truth = {
            "decisions": self._total,
            "window": [iso(plan.START), iso(plan.END)],
            "models": {model.recipe.version: model.digest for model in models},
            "configs": {config.revision: policy.config_digest(config) for config in plan.CONFIGS},
            "rules": policy.RULES_DIGEST,
            "features": FEATURES,
            "decline_rates": {
                name: round(declined / max(decided, 1), 4)
                for name, (declined, decided) in self._declined.items()
            },
            "elsewhere_verdict": "bit_exact",
            "incidents": incidents,
        }
        path.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8", newline="\n")
        return truth

    def _note(self, name: str, decided: Decided, rows: NDArray[np.bool_]) -> None:
        found = self._ids.setdefault(name, [])
        found.extend(request_id(int(number), self._total) for number in decided.number[rows])

    def _flipped_by_scale(
        self, decided: Decided, faults: Faults, clean: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Decisions with another outcome on the billing values of the last good run."""
        features = decided.features.copy()
        rows = faults.spoilt
        features[rows, _BILLING:] = clean[decided.requests.client[rows]]
        score = self._service.score(features, decided.model)
        rule = policy.first_rule(self._con, FEATURES, features, score, decided.config)
        return _differ(rows, rule, decided.rule)

    def _restore(self, decided: Decided, clean: NDArray[np.float64]) -> None:
        """What the showcase would have been with the one value of the run before."""
        rows = np.flatnonzero(decided.requests.moment == plan.SHOWCASE_AT)
        if not rows.size:
            return
        features = decided.features[rows].copy()
        use = FEATURES.index("utilisation_3m")
        value = clean[decided.requests.client[rows], use - _BILLING]
        features[:, use] = value
        score = self._service.score(features, decided.model[rows])
        rule = policy.first_rule(self._con, FEATURES, features, score, decided.config[rows])
        self._restored = {
            "utilisation_3m": float(value[0]),
            "score": float(score[0]),
            "outcome": policy.OUTCOMES[rule[0]],
            "rule": policy.RULE_IDS[rule[0]],
        }

    def _flipped_by_threshold(self, decided: Decided) -> NDArray[np.bool_]:
        """Decisions under c14 with another outcome under c13."""
        rows: NDArray[np.bool_] = decided.config == _C14
        if not rows.any():
            return rows
        rule = policy.first_rule(
            self._con,
            FEATURES,
            decided.features,
            decided.score,
            np.where(rows, _C13, decided.config).astype(np.int8),
        )
        return _differ(rows, rule, decided.rule)


def _differ(
    rows: NDArray[np.bool_], rule: NDArray[np.int8], other: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Those of ``rows`` whose two rules have different outcomes."""
    outcome = np.array(policy.OUTCOMES)
    found: NDArray[np.bool_] = rows & (outcome[rule] != outcome[other])
    return found
