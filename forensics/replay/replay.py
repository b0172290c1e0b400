"""The verdict on one decision: do the recorded artifacts and inputs give what was recorded?

Steps are compared in the order in which they acted: configuration, cache, model, rules. What a
consumer did with the answer is not replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensics.errors import ReplayError
from forensics.lake.sql import Connection
from forensics.records.decision import Decision
from forensics.records.replay import Divergence, Replay, StepReplay, Verdict
from forensics.records.score import contradiction
from forensics.replay.environments import library_of
from forensics.replay.evidence import (
    Artifacts,
    closeness,
    float32_bytes,
    step_of,
    step_outputs,
)
from forensics.replay.loaded import LoadedModel
from forensics.replay.logic import Rule
from forensics.replay.session import Environment, ReplaySession
from forensics.replay.steps import recorded_step, replay_steps


def replay(
    decision: Decision,
    artifacts: Artifacts,
    *,
    connection: Connection | None = None,
    environment: Environment | None = None,
) -> Replay:
    """Runs ``decision`` again; never raises for what a decision or an artifact contains.

    Args:
        decision: as recorded.
        artifacts: the lake's artifacts.
        connection: saves opening one for the rules.
        environment: see :class:`forensics.replay.session.ReplaySession`.
    """
    with ReplaySession(
        decision, artifacts, connection=connection, environment=environment
    ) as session:
        return replay_session(session)


def replay_session(
    session: ReplaySession, *, model_names: Mapping[str, str] | None = None
) -> Replay:
    """As :func:`replay`, on a session that stays open for explanations.

    Args:
        session: the decision with its model.
        model_names: how to call models in statements, e.g. ``{"sha256:…": "pd v1"}``.
    """
    decision = session.decision
    missing = list(session.missing)
    score, rule = session.model.score, None
    try:
        score, rule = session.score, session.rule
    except ReplayError as error:
        missing.append(f"rules artifact: {error}")
    missing.extend(text for text in session.missing if text not in missing)
    near = None if score is None else closeness(decision, score)
    if session.needs_model and decision.score is None and decision.score_bytes is None:
        missing.append("score")
    steps = replay_steps(session)
    divergences = (
        session.config.divergence,
        _cache_divergence(session, score, near, model_names or {}),
        _cached_outcome_divergence(session, rule),
        _step_divergence(session, steps),
        _rules_divergence(session, rule),
    )
    contradicts = contradiction(decision.score, decision.score_bytes, decision.score_dtype)
    by_model = _model_divergence(session, score, near, model_names or {}, contradicts)
    first = next((found for found in (*divergences[:4], by_model, divergences[4]) if found), None)
    needs_score = session.logic is None or session.logic.logic.score is not None
    return Replay(
        verdict=_verdict(
            decision,
            missing,
            near if needs_score else "exact",
            rule,
            divergences,
            contradictory=contradicts is not None,
        ),
        recorded=_recorded(decision),
        replayed=_replayed(session, score, rule),
        first_divergence=first,
        missing=tuple(missing),
        runtime_recorded=_runtime_recorded(decision),
        runtime_replayed=session.live.runtime,
        steps=steps,
    )


def _verdict(
    decision: Decision,
    missing: list[str],
    near: str | None,
    rule: Rule | None,
    divergences: tuple[Divergence | None, ...],
    *,
    contradictory: bool,
) -> Verdict:
    if missing or rule is None or near is None:
        return "not_replayable"
    if rule.outcome != decision.outcome or any(divergences):
        return "diverged"
    if contradictory:  # of two scores that differ, one at most was replayed
        return "same_outcome"
    if near == "exact":
        return "bit_exact"
    return "within_ulp" if near == "ulp" else "same_outcome"


def _step_divergence(session: ReplaySession, steps: tuple[StepReplay, ...]) -> Divergence | None:
    """The first step between features and score or outcome whose recorded value is another."""
    if session.logic is None:
        return None
    ends = (session.logic.logic.score, session.logic.logic.outcome)
    for step in steps:
        if step.status == "differs" and step.step not in ends:
            said = f"{step.kind} step {step.step} gives {_brief(step.replayed)}"
            statement = f"{said}, recorded is {_brief(step.recorded)}"
            statement += f" ({step.reason})" if step.reason else ""
            return Divergence(step.step, step.recorded, step.replayed, statement)
    return None


def _cache_divergence(
    session: ReplaySession, score: float | None, near: str | None, names: Mapping[str, str]
) -> Divergence | None:
    """A score that came from an entry of another model and is not what the live model gives."""
    entry = session.entry
    if entry is None or near == "exact":
        return None
    decision = session.decision
    theirs = entry.score
    other = _model_name(entry.digest, names)
    live = _model_name(session.model.digest, names, decision)
    written = decision.cache.get("written_at")
    since = f", entry written at {_when(written)}" if written else ""
    if theirs is not None and closeness(decision, theirs) == "exact":
        statement = (
            f"the score is what model {other} gives (replaced), bit for bit, not what the live"
            f" model {live} gives{since}"
        )
    elif theirs is not None:
        statement = (
            f"the score came from a cache entry of model {other}{since}, yet that model gives"
            f" {theirs:.6g} on these inputs and the live model {live} another"
        )
    elif score is None:
        return None
    else:
        statement = (
            f"the score came from a cache entry of model {other}{since} and is not what the live"
            f" model {live} gives; the entry's model could not be run"
        )
    step = step_of(decision, "cache").get("id") or "cache"
    return Divergence(str(step), decision.score, score, statement)


def _cached_outcome_divergence(session: ReplaySession, rule: Rule | None) -> Divergence | None:
    """An outcome that the cache entry's configuration gives and the live one does not."""
    decision = session.decision
    if rule is None or rule.outcome == decision.outcome:
        return None
    try:
        cached = session.decide_cached()
    except ReplayError:
        return None
    if cached is None or cached.outcome != decision.outcome:
        return None
    statement = (
        f"the outcome is what configuration {_short(decision.cache.get('config_digest'))} of the"
        f" cache entry gives by {cached.id} (replaced); the live configuration"
        f" {_short(decision.config.get('digest'))} gives {rule.outcome} by {rule.id}"
    )
    step = step_of(decision, "cache").get("id") or "cache"
    return Divergence(str(step), decision.outcome, rule.outcome, statement)


def _model_divergence(
    session: ReplaySession,
    score: float | None,
    near: str | None,
    names: Mapping[str, str],
    contradicts: str | None,
) -> Divergence | None:
    """A score that is not the recorded one, or a recorded one that contradicts itself."""
    if contradicts is None and (score is None or near != "apart"):
        return None
    decision, model = session.decision, session.live
    scored = session.logic.logic.score if session.logic is not None else None
    step_kind = session.logic.logic.step(scored).kind if session.logic and scored else "model"
    who = f"model {_model_name(model.digest, names, decision)}"
    if step_kind != "model":
        who = f"{step_kind} step {scored}, after {who},"
    given = "no score" if score is None else f"{score:.6g}"
    recorded_is = contradicts or f"recorded is {_recorded_score(decision)}"
    statement = f"{who} gives {given} on these inputs, {recorded_is}"
    recorded = _runtime_recorded(decision)
    if near == "apart" and recorded and recorded != model.runtime:
        statement += f"; recorded under {recorded}, replayed under {model.runtime}"
    step = step_of(decision, "model").get("id") if step_kind == "model" else scored
    return Divergence(str(step or "model"), decision.score, score, statement)


def _rules_divergence(session: ReplaySession, rule: Rule | None) -> Divergence | None:
    if rule is None or session.logic is None:
        return None
    decision, logic = session.decision, session.logic.logic
    step = recorded_step(decision, logic.step(logic.outcome)) or step_of(decision, "rules")
    outputs = step_outputs(step)
    said_outcome = outputs.get("outcome", decision.outcome)
    said_rule = _said_rule(outputs)
    same_rule = said_rule is None or said_rule == rule.id or not session.names_rule
    if said_outcome == rule.outcome == decision.outcome and same_rule:
        return None
    recorded: dict[str, Any] = {"outcome": decision.outcome}
    if said_rule is not None:
        recorded["rule"] = said_rule
    by = f" by {said_rule}" if said_rule is not None else ""
    if said_outcome != decision.outcome:
        recorded["step_outcome"] = said_outcome
        statement = f"the rules step said {said_outcome}{by}, the decision is {decision.outcome}"
    else:
        decided = rule.outcome if rule.outcome is not None else f"nothing ({rule.reason})"
        statement = f"the rules decide {decided} by {rule.id}, recorded is {said_outcome}{by}"
    replayed = {"outcome": rule.outcome, "rule": rule.id}
    return Divergence(str(step.get("id") or "rules"), recorded, replayed, statement)


def _recorded(decision: Decision) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if decision.score is not None:
        found["score"] = decision.score
    if decision.score_bytes is not None:
        found["score_bytes"] = decision.score_bytes.hex()
    found["outcome"] = decision.outcome
    rule = _said_rule(step_outputs(step_of(decision, "rules")))
    if rule is not None:
        found["rule"] = rule
    return found


def _replayed(session: ReplaySession, score: float | None, rule: Rule | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if score is not None:
        found["score"] = score
        if session.decision.score_dtype == "float64":
            import struct

            found["score_bytes"] = struct.pack("<d", score).hex()
        else:
            found["score_bytes"] = float32_bytes(score).hex()
    if rule is not None:
        found["outcome"] = rule.outcome
        found["rule"] = rule.id
        found |= {"rule_when": rule.when, "rule_reason": rule.reason}
        if session.logic is not None and rule.when is not None:
            found["rule_scored"] = session.logic.rests_on_a_model(rule)
    return found


def _said_rule(outputs: Mapping[str, Any]) -> str | None:
    said = outputs.get("rule", outputs.get("rule_id"))
    return said if isinstance(said, str) else None


def _runtime_recorded(decision: Decision) -> str | None:
    runtime, version = (decision.model.get(name) for name in ("runtime", "runtime_version"))
    parts = [library_of(str(runtime)) if runtime else None, version]
    return " ".join(str(part) for part in parts if part) or None


def _model_name(
    digest: str | None, names: Mapping[str, str], decision: Decision | None = None
) -> str:
    short = _short(digest)
    name = names.get(digest or "")
    if name is None and decision is not None:
        parts = [decision.model.get("name"), decision.model.get("version")]
        name = " ".join(str(part) for part in parts if part)
    return f"{name} ({short})" if name else short


def _short(digest: Any) -> str:
    return f"{str(digest)[:13]}…" if digest else "?"


def _recorded_score(decision: Decision) -> str:
    return "nothing" if decision.score is None else f"{decision.score:.6g}"


def _brief(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]


def _when(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


__all__ = ["Artifacts", "LoadedModel", "ReplaySession", "replay", "replay_session"]
