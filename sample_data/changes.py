"""The change log of the thirty days: ordinary changes, and the four that did harm."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import plan, policy
from .ids import sha256
from .models import Model
from .plan import iso
from .views import VIEWS, Run, sql_digest


def change_log(models: list[Model], runs: list[Run]) -> list[dict[str, Any]]:
    """Every change in order of time, as records of kind ``change``."""
    log = [
        *_deploys(models),
        *_configs(),
        *_pipelines(runs),
        *_software(),
    ]
    log.sort(key=lambda change: str(change["occurred_at"]))
    return [
        {"record": "change", "change_id": f"chg-{i:04d}", **_stated(change)}
        for i, change in enumerate(log, start=1)
    ]


def write_changes(path: Path, log: list[dict[str, Any]]) -> None:
    """The log as JSON lines."""
    lines = (json.dumps(change, separators=(",", ":"), ensure_ascii=False) for change in log)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")


def _stated(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in change.items() if value is not None}


def _change(moment: int, kind: str, component: str, **fields: Any) -> dict[str, Any]:
    """One change, known to us two seconds after it was made."""
    return {
        "occurred_at": iso(moment),
        "kind": kind,
        "component": component,
        "decision_point": plan.POINT,
        **fields,
        "recorded_at": iso(moment + 2_000_000),
    }


def _deploys(models: list[Model]) -> list[dict[str, Any]]:
    v1, v2, v3 = models
    log = []
    for moment, old, new, environment, share, reason in (
        (plan.V1_DEPLOYED, None, v1, "production", 1.0, "first release of pd"),
        (plan.V2_DEPLOYED, v1, v2, "production", 1.0, "scheduled retrain"),
        (plan.V3_CANARY, v2, v3, "canary", plan.CANARY_SHARE, "canary of the shallower model"),
        (plan.V3_PROMOTED, v2, v3, "production", 1.0, "canary promoted after a week"),
    ):
        log.append(
            _change(
                moment,
                "deploy",
                "pd",
                environment=environment,
                from_version=old.recipe.version if old else None,
                to_version=new.recipe.version,
                from_digest=old.digest if old else None,
                to_digest=new.digest,
                traffic_share=share,
                actor="release_bot",
                reviewed_by="model_risk",
                reason=reason,
            )
        )
    return log


def _configs() -> list[dict[str, Any]]:
    log = []
    people = (
        ("m.lindqvist", "credit_policy_board", "policy year 2026/27"),
        ("m.lindqvist", "credit_policy_board", "large increases go to an officer earlier"),
        ("j.okafor", None, "tighten"),
    )
    old: plan.ConfigRevision | None = None
    for config, (actor, reviewer, reason) in zip(plan.CONFIGS, people, strict=True):
        moved = sorted(
            key for key, value in config.values.items() if old and old.values[key] != value
        )
        log.append(
            _change(
                config.published_at,
                "config",
                plan.POINT,
                environment="production",
                from_version=old.revision if old else None,
                to_version=config.revision,
                from_digest=policy.config_digest(old) if old else None,
                to_digest=policy.config_digest(config),
                actor=actor,
                reviewed_by=reviewer,
                reason=reason,
                detail={key: [old.values[key], config.values[key]] for key in moved}
                if old
                else None,
            )
        )
        old = config
    return log


def _pipelines(runs: list[Run]) -> list[dict[str, Any]]:
    """The first run of each new code version of a view."""
    said = {
        ("bureau_features", "91be"): ("t.wern", "data_platform", "lists replaced, same values"),
        ("billing_features", "3e1f"): ("t.wern", "data_platform", "align with the new statement"),
        ("billing_features", "88ac"): ("oncall_data", "data_platform", "roll back 3e1f"),
    }
    log = []
    for view in ("bureau_features", "billing_features"):
        mine = [run for run in runs if run.view == view]
        for before, run in pairwise(mine):
            if run.code == before.code:
                continue
            actor, reviewer, reason = said[view, run.code]
            log.append(
                _change(
                    run.written,
                    "pipeline",
                    view,
                    environment="production",
                    from_version=before.code,
                    to_version=run.code,
                    from_digest=sql_digest(view, before.code),
                    to_digest=sql_digest(view, run.code),
                    features=list(VIEWS[view]),
                    run_id=run.run_id,
                    actor=actor,
                    reviewed_by=reviewer,
                    reason=reason,
                    detail={"run": run.label, "job": f"credit_platform/{view}"},
                )
            )
    return log


def _software() -> list[dict[str, Any]]:
    """The service, the rule set, a flag, and the system that acts on decisions."""
    service, consumer = plan.SERVICE_VERSIONS, plan.CONSUMER_VERSIONS
    rules = policy.RULES
    return [
        _change(
            plan.at("2026-09-21 09:15:00"),
            "artifact",
            str(rules["name"]),
            environment="production",
            from_version="r6",
            to_version=str(rules["version"]),
            to_digest=sha256(policy.canonical(rules)),
            actor="m.lindqvist",
            reviewed_by="credit_policy_board",
            reason="referral of large increases becomes a rule of its own",
        ),
        _change(
            plan.CACHE_KEY_MENDED,
            "deploy",
            "credit_line_service",
            environment="production",
            from_version=service[0],
            to_version=service[1],
            traffic_share=1.0,
            actor="release_bot",
            reviewed_by="a.moreau",
            reason="the cache key holds the model's digest",
        ),
        _change(
            plan.at("2026-10-18 07:30:00"),
            "flag",
            "officer_workbench_v2",
            environment="production",
            from_version="off",
            to_version="on",
            actor="a.moreau",
            reviewed_by="operations",
            reason="new screens for credit officers",
        ),
        _change(
            plan.CONSUMER_BROKEN,
            "deploy",
            plan.CONSUMER,
            environment="production",
            from_version=consumer[0],
            to_version=consumer[1],
            traffic_share=1.0,
            actor="core_release",
            reviewed_by="core_change_board",
            reason="monthly release",
        ),
        _change(
            plan.CONSUMER_MENDED,
            "deploy",
            plan.CONSUMER,
            environment="production",
            from_version=consumer[1],
            to_version=consumer[2],
            traffic_share=1.0,
            actor="core_release",
            reviewed_by="core_change_board",
            reason="decision code R is a referral",
        ),
    ]
