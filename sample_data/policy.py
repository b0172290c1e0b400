"""What the bank decided about deciding: the rule set, the configurations, and how they are run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .ids import sha256
from .plan import CONFIGS, POINT, ConfigRevision

RULES: dict[str, Any] = {
    "type": "rules",
    "name": "credit_line_rules",
    "version": "r7",
    "decision_point": POINT,
    "hit_policy": "first",
    "rules": [
        {
            "id": "R1",
            "when": "months_late_max >= max_months_late",
            "outcome": "DECLINE",
            "reason": "Arrears of three months or more within the last six",
        },
        {
            "id": "R2",
            "when": "score >= threshold",
            "outcome": "DECLINE",
            "reason": "Risk score at or above the threshold",
        },
        {
            "id": "R3",
            "when": "requested_limit > max_request_ratio * limit_balance",
            "outcome": "REFER",
            "reason": "The limit asked for is several times the present one",
        },
        {
            "id": "R4",
            "when": "score >= refer_threshold",
            "outcome": "REFER",
            "reason": "Risk score close to the threshold",
        },
    ],
    "default": {"id": "R0", "outcome": "APPROVE", "reason": "No rule against it"},
    "levers": {
        "requested_limit": {
            "min": 10000,
            "max": 2000000,
            "step": 10000,
            "integer": True,
            "direction": "any",
        },
        "limit_balance": {
            "min": 10000,
            "max": 1000000,
            "step": 10000,
            "integer": True,
            "direction": "any",
        },
        "pay_status_last": {"min": -2, "max": 9, "step": 1, "integer": True, "direction": "any"},
        "months_late_max": {"min": 0, "max": 9, "step": 1, "integer": True, "direction": "any"},
        "months_late_count": {"min": 0, "max": 6, "step": 1, "integer": True, "direction": "any"},
        "utilisation_last": {"min": 0, "max": 2, "step": 0.01, "direction": "any"},
        "utilisation_3m": {"min": 0, "max": 2, "step": 0.01, "direction": "any"},
        "utilisation_6m": {"min": 0, "max": 2, "step": 0.01, "direction": "any"},
        "payment_ratio_last": {"min": 0, "max": 2, "step": 0.01, "direction": "any"},
        "payment_ratio_3m": {"min": 0, "max": 2, "step": 0.01, "direction": "any"},
    },
}
RULE_IDS = [rule["id"] for rule in RULES["rules"]] + [RULES["default"]["id"]]
OUTCOMES = [rule["outcome"] for rule in RULES["rules"]] + [RULES["default"]["outcome"]]
CODES = {"APPROVE": "A", "REFER": "R", "DECLINE": "D"}


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no blanks: the bytes that digests are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


RULES_DIGEST = sha256(canonical(RULES))


def config_digest(config: ConfigRevision) -> str:
    """The digest of the resolved values, which is what a decision names."""
    return sha256(canonical(config.values))


def write_artifacts(folder: Path) -> None:
    """The rule set and every configuration, byte for byte as their digests say."""
    (folder / "credit_line_rules-r7.json").write_bytes(canonical(RULES))
    for config in CONFIGS:
        (folder / f"credit_line_config-{config.revision}.json").write_bytes(
            canonical(config.values)
        )


def rule_case(rules: dict[str, Any]) -> str:
    """The rule set as one SQL expression that gives the position of the first rule that holds."""
    whens = " ".join(f"WHEN {rule['when']} THEN {i}" for i, rule in enumerate(rules["rules"]))
    return f"CASE {whens} ELSE {len(rules['rules'])} END"


def first_rule(
    con: duckdb.DuckDBPyConnection,
    names: list[str],
    features: NDArray[np.float64],
    score: NDArray[np.float32],
    config: NDArray[np.int8],
) -> NDArray[np.int8]:
    """For each row the position of the rule that decides it; the last position is the default.

    Args:
        features: one row a decision, NaN where missing, columns as ``names``.
        config: position in :data:`~.plan.CONFIGS` of the configuration in force.
    """
    columns = {name: pa.array(features[:, i], from_pandas=True) for i, name in enumerate(names)}
    columns["score"] = pa.array(score.astype(np.float64))
    for key in CONFIGS[0].values:
        values = np.array([revision.values[key] for revision in CONFIGS], dtype=np.float64)
        columns[key] = pa.array(values[config])
    con.register("deciding", pa.table(columns))
    found = con.execute(f"SELECT ({rule_case(RULES)})::TINYINT AS rule FROM deciding").fetchnumpy()
    con.unregister("deciding")
    return np.asarray(found["rule"], dtype=np.int8)
