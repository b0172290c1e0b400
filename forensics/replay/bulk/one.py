"""One decision under a change: before and after, step by step."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from forensics.errors import ReplayError
from forensics.lake.expressions import check
from forensics.lake.frames import Frame, RowFrame
from forensics.lake.sql import Connection
from forensics.records.replay import Replay
from forensics.replay.bulk.change import Applied, Change, apply
from forensics.replay.client import Workers
from forensics.replay.engine_steps import Engines
from forensics.replay.evidence import steps_failed
from forensics.replay.logic import Answer, EngineUse, ModelUse
from forensics.replay.replay import replay_session
from forensics.replay.session import ReplaySession, decided_by


class StepChange(NamedTuple):
    """What a step of the decision logic gives, before and after; None where it was not run."""

    step: str
    kind: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class OneWhatIf:
    """One decision under a change.

    ``replay`` is that of the decision as it was recorded. ``missing`` says why the change cannot
    be answered for; then everything ``after`` is None. ``features`` are those that differ, with
    both values.
    """

    replay: Replay
    change: Change
    missing: tuple[str, ...]
    outcome_before: str
    outcome_after: str | None = None
    score_before: float | None = None
    score_after: float | None = None
    rule_before: str | None = None
    rule_after: str | None = None
    reason_after: str | None = None
    steps: tuple[StepChange, ...] = ()
    features: tuple[tuple[str, Any, Any], ...] = ()

    @property
    def is_answered(self) -> bool:
        """Whether replay gives what was recorded, and the changed decision could be run."""
        return not self.missing and self.replay.verdict not in ("diverged", "not_replayable")

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "change": self.change.to_dict(),
            "replay": self.replay.verdict,
            "missing": list(self.missing),
            "before": {
                "outcome": self.outcome_before,
                "score": self.score_before,
                "rule": self.rule_before,
            },
            "after": None
            if self.missing
            else {
                "outcome": self.outcome_after,
                "score": self.score_after,
                "rule": self.rule_after,
                "reason": self.reason_after,
            },
            "changes_outcome": None if self.missing else self.outcome_after != self.outcome_before,
            "steps": [step._asdict() for step in self.steps],
            "features": [
                {"name": name, "before": before, "after": after}
                for name, before, after in self.features
            ],
        }


def what_if_one(
    session: ReplaySession, change: Change, connection: Connection, workers: Workers
) -> OneWhatIf:
    """A decision under a change; never raises for what a decision or an artifact contains.

    Args:
        session: the decision as recorded.
        change: what is to be different.
        connection: where expressions run.
        workers: model processes to use.
    """
    decision = session.decision
    replay = replay_session(session)
    found = OneWhatIf(
        replay=replay,
        change=change,
        missing=(),
        outcome_before=decision.outcome,
        score_before=decision.score,
        rule_before=replay.recorded.get("rule") or replay.replayed.get("rule"),
    )
    applied = apply(change, session)
    engines = Engines(applied.artifacts)
    try:
        return _answered(session, applied, found, connection, workers, engines)
    except ReplayError as error:
        return replace(found, missing=(str(error),))
    finally:
        engines.close()


def _answered(
    session: ReplaySession,
    applied: Applied,
    found: OneWhatIf,
    connection: Connection,
    workers: Workers,
    engines: Engines,
) -> OneWhatIf:
    change, decision = found.change, session.decision
    values, missing = _features(session, change, connection)
    if missing:
        return replace(found, missing=missing)
    changed = replace(applied.decision, features={**applied.decision.features, **values})
    with ReplaySession(changed, applied.artifacts, connection=connection, workers=workers) as after:
        if after.missing or after.logic is None:
            return replace(found, missing=after.missing or ("rules artifact",))
        values |= _followers(after, values, connection)
        decided = replace(changed, features={**changed.features, **values})
        with ReplaySession(
            decided, applied.artifacts, connection=connection, workers=workers
        ) as last:
            answer = _run(last, session, connection, engines)
            (rule,) = decided_by(answer)
            scores = answer.score
            return replace(
                found,
                outcome_after=rule.outcome,
                score_after=None if scores is None or scores[0] is None else float(scores[0]),
                rule_after=rule.id,
                reason_after=rule.reason,
                steps=_steps(session, last, answer),
                features=tuple(
                    (name, decision.features.get(name), value) for name, value in values.items()
                ),
            )


def _run(
    after: ReplaySession, before: ReplaySession, connection: Connection, engines: Engines
) -> Answer:
    """The changed decision's answer; models stop early where the recorded ones did."""
    assert after.logic is not None

    def predict(use: ModelUse, frame: Frame) -> array[float]:
        model, recorded = after.models[use.step], before.models.get(use.step)
        model.ready()
        description = model.description
        if recorded is not None and recorded.trees and description is not None:
            best = description.best_iteration
            model.trees = 0 if best is None else min(best + 1, description.rounds)
        return model.on(frame)

    def evaluate(use: EngineUse, frame: Frame) -> Sequence[Any]:
        return engines.evaluate(use, frame)

    failed = steps_failed(after.decision) & {step.step.id for step in after.logic.steps}
    frame = RowFrame(connection, after.features, after.values)
    return after.logic.run(frame, predict, evaluate=evaluate, failed=failed)


def _features(
    session: ReplaySession, change: Change, connection: Connection
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The changed features' values, and what their expressions need and have not."""
    found = {n: setting.value for n, setting in change.features.items() if not setting.expression}
    expressions = {n: s.expression for n, s in change.features.items() if s.expression}
    if not expressions:
        return found, ()
    names = names_in(change, session.decision.feature_types, session.values, connection)
    missing = [name for name in sorted(names) if not _has(session, name)]
    if missing:
        return found, tuple(f"{name}, used by the change" for name in missing)
    frame = RowFrame(connection, session.features, session.values)
    columns = [(f"#{name}", sql) for name, sql in expressions.items()]
    frame.evaluate(columns, [name for name, _ in columns], sorted(names))
    for name in expressions:
        (found[name],) = frame.column(f"#{name}")
    return found, ()


def names_in(
    change: Change, features: Mapping[str, str], values: Mapping[str, Any], connection: Connection
) -> frozenset[str]:
    """The names that a change's expressions use."""
    names = {*features, *values, *(f"features.{n}" for n in features)}
    names |= {f"config.{n}" for n in values}
    used: set[str] = set()
    for setting in change.features.values():
        if setting.expression is not None:
            used |= check(setting.expression, names, connection=connection)
    return frozenset(used)


def _has(session: ReplaySession, name: str) -> bool:
    group, _, rest = name.partition(".")
    if group == "config" and rest in session.values:
        return True
    return name.removeprefix("features.") in session.features or name in session.values


def _followers(
    after: ReplaySession, changed: Mapping[str, Any], connection: Connection
) -> dict[str, Any]:
    """Features that the logic derives from changed ones."""
    assert after.logic is not None
    follow = {
        name: (after.logic.logic.derived[name], parsed.names)
        for name, parsed in after.logic.derived.items()
        if any(used.removeprefix("features.") in changed for used in parsed.names)
    }
    if not follow:
        return {}
    frame = RowFrame(connection, {**after.features, **changed}, after.values)
    columns = [(f"#{name}", sql) for name, (sql, _) in follow.items()]
    uses = frozenset().union(*(names for _, names in follow.values()))
    frame.evaluate(columns, [name for name, _ in columns], sorted(uses))
    return {name: frame.column(f"#{name}")[0] for name in follow}


def _steps(before: ReplaySession, after: ReplaySession, answer: Answer) -> tuple[StepChange, ...]:
    """Each step's value before and after, in the order of the logic that ran after."""
    assert after.logic is not None
    old: dict[str, Any] = {}
    try:
        if before.logic is not None and before.answer is not None:
            for bound in before.logic.steps:
                (old[bound.step.id],) = before.answer.value(bound.step.id)
    except ReplayError:  # the verdict says that it could not be run
        old = {}
    found = []
    for bound in after.logic.steps:
        (value,) = answer.value(bound.step.id)
        found.append(StepChange(bound.step.id, bound.step.kind, old.get(bound.step.id), value))
    return tuple(found)
