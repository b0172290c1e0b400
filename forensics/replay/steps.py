"""Step by step: what was recorded of each part of the decision logic, and what replay gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from forensics.errors import ReplayError
from forensics.records.decision import Decision
from forensics.records.jsontext import dumps
from forensics.records.replay import StepReplay, StepStatus
from forensics.replay.engine_steps import EngineTold
from forensics.replay.evidence import float32_bytes, step_outputs
from forensics.replay.logic import Logic, Step
from forensics.replay.session import ReplaySession

_KEYS = ("value", "score", "output", "outcome")


def replay_steps(session: ReplaySession) -> tuple[StepReplay, ...]:
    """Each step of the decision logic, in order; the model alone where there is no logic."""
    if session.logic is None:
        return (_model_alone(session),)
    try:
        answer, reason = session.answer, "; ".join(session.missing)
    except ReplayError as error:
        answer, reason = None, str(error)
    found = []
    for bound in session.logic.steps:
        step = bound.step
        recorded = recorded_value(session.decision, session.logic.logic, step)
        if answer is not None:
            (value,) = answer.value(step.id)
            compared = _compared(step.id, step.kind, recorded, value)
            told = session.engine_told.get(step.id)
            found.append(compared if told is None else _by_engine(compared, told))
            continue
        model = session.models.get(step.id)
        score = model.score if model is not None else None
        if score is not None:
            found.append(_compared(step.id, step.kind, recorded, score))
        else:
            why = "; ".join(model.missing) if model is not None and model.missing else reason
            found.append(StepReplay(step.id, step.kind, "not_run", recorded, None, why))
    return tuple(found)


def recorded_step(decision: Decision, step: Step) -> Mapping[str, Any]:
    """What was recorded of a step of the logic, found by its id or component; empty if nothing."""
    for recorded in decision.steps:
        if step.id in (recorded.get("id"), recorded.get("component")):
            return recorded
    return {}


def recorded_value(decision: Decision, logic: Logic, step: Step) -> Any:
    """What a step answered at the time; None where that was not recorded.

    The score and the outcome are the decision's own, the rest is in the recorded step's outputs.
    """
    if step.id == logic.outcome:
        return decision.outcome
    if step.id == logic.score:
        return decision.score
    return value_said(step_outputs(recorded_step(decision, step)))


def value_said(outputs: Mapping[str, Any]) -> Any:
    """The value among a recorded step's outputs; None where there is none."""
    return next((outputs[key] for key in _KEYS if outputs.get(key) is not None), None)


def same_value(recorded: Any, replayed: Any) -> bool:
    """Whether two values are the same, numbers as float64 or as float32."""
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool)
        for value in (recorded, replayed)
    )
    if not numbers:
        return bool(recorded == replayed)
    return recorded == replayed or float32_bytes(recorded) == float32_bytes(replayed)


def _compared(id_: str, kind: str, recorded: Any, value: Any) -> StepReplay:
    status: StepStatus = "not_recorded"
    if recorded is not None:
        status = "reproduced" if same_value(recorded, value) else "differs"
    return StepReplay(id_, kind, status, recorded, value)


def _by_engine(compared: StepReplay, told: EngineTold) -> StepReplay:
    """A step with what its rule engine told of it."""
    remarks = [f"run by {told.runtime}"]
    remarks += [f"{part} uses the {' and '.join(uses)}" for part, uses in told.unsteady.items()]
    (other,) = told.from_dict
    if not same_value(other, compared.replayed):
        matches = compared.recorded is not None and same_value(compared.recorded, other)
        remarks.append(
            f"handed to it in a Python dict, which rounds numbers, the inputs give {dumps(other)}"
            + (", as recorded" if matches else "")
        )
    return replace(compared, reason="; ".join(remarks))


def _model_alone(session: ReplaySession) -> StepReplay:
    score, recorded = session.model.score, session.decision.score
    if score is None:
        reason = "; ".join(session.model.missing)
        return StepReplay("score", "model", "not_run", recorded, None, reason)
    return _compared("score", "model", recorded, score)
