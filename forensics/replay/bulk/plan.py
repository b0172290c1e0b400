"""How rows that have the same models, configuration, logic and steps are replayed.

A plan is made by the session that replays one decision, out of a row that stands for all of them,
so that what is needed, missing or contradictory is said by the same code for one and for many.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from forensics.lake.sql import Connection
from forensics.records.decision import Decision
from forensics.replay.client import ModelDescription, ModelWorker, Workers
from forensics.replay.evidence import Artifacts, json_value, read_artifact, step_of, steps_failed
from forensics.replay.loaded import LoadedModel, output_position
from forensics.replay.logic import BoundLogic, ModelUse
from forensics.replay.session import ReplaySession, usable_values
from forensics.replay.steps import recorded_step


class PlannedModel(NamedTuple):
    """A model that can be run: its file, and which features it takes in which order."""

    use: ModelUse
    digest: str
    path: Path
    description: ModelDescription
    names: tuple[str, ...]
    output: int

    @property
    def early_rounds(self) -> int:
        """Rounds up to the best iteration where training went on beyond it, else 0."""
        if self.description.best_iteration is None:
            return 0
        rounds = self.description.best_iteration + 1
        return rounds if rounds < self.description.rounds else 0

    @property
    def recorded(self) -> tuple[str, ...]:
        """The features that it takes as they were recorded."""
        return tuple(name for name in self.names if name not in self.use.features)


class Plan(NamedTuple):
    """What the rows of one group are replayed with."""

    #: Of the row that stands for the group: everything but values of features, scores, outputs.
    decision: Decision
    missing: tuple[str, ...]
    #: How the configuration contradicts itself, where it does.
    config: str | None
    logic: BoundLogic | None
    values: Mapping[str, Any]
    models: Mapping[str, PlannedModel]
    #: The step whose model's score is compared with that of a cache entry.
    live: str | None
    #: The model that made the cache entry, where it is another and can be run.
    entry: PlannedModel | None
    #: Digest of that model, whether it can be run or not.
    entry_digest: str | None
    #: Values of the cache entry's configuration, where it is another that decides on all names.
    cached_values: Mapping[str, Any] | None
    failed: frozenset[str]
    needs_model: bool
    needs_score: bool
    #: Place, among the recorded steps, of the one that is a step of the logic; by its id.
    places: Mapping[str, int]
    #: What to call the steps of cache, model and rules.
    cache_step: str
    model_step: str
    rules_step: str

    @property
    def compared(self) -> tuple[str, ...]:
        """Steps between features and score or outcome whose value was recorded, in order."""
        if self.logic is None:
            return ()
        logic = self.logic.logic
        ends = (logic.score, logic.outcome)
        ids = (bound.step.id for bound in self.logic.steps)
        return tuple(id_ for id_ in ids if id_ in self.places and id_ not in ends)

    @property
    def columns(self) -> frozenset[str]:
        """The features that are evaluated: those that the logic uses, by their own names."""
        if self.logic is None:
            return frozenset()
        present = self.decision.features
        if any(engine.inputs is None for engine in self.logic.engines):
            return frozenset(present)
        used = (name.removeprefix("features.") for name in self.logic.used)
        return frozenset(name for name in used if name in present)

    @property
    def recorded(self) -> frozenset[str]:
        """The features that models take as they were recorded."""
        models = [*self.models.values(), *([self.entry] if self.entry else ())]
        return frozenset().union(*(model.recorded for model in models))


def planned(
    decision: Decision,
    artifacts: Artifacts,
    connection: Connection,
    workers: Workers,
    *,
    session: ReplaySession | None = None,
) -> Plan:
    """The plan for all rows that are like ``decision`` in what a plan depends on.

    Args:
        decision: with None as the value of each feature that it has.
        artifacts: the lake's.
        connection: where expressions are checked.
        workers: describe the models.
        session: what says how to replay, where it is another than the recorded things.
    """
    session = session or ReplaySession(decision, artifacts, connection=connection, workers=workers)
    with session:
        missing = session.missing
        logic = session.logic
        entry = None
        if session.entry is not None and session.entry.ready():
            entry = _model(session.entry, artifacts)
        models = {step: _model(model, artifacts) for step, model in session.models.items()}
        live = next((step for step, model in session.models.items() if model is session.live), None)
        config = session.config.divergence
        scored = logic.logic.score if logic is not None else None
        kind = logic.logic.step(scored).kind if logic is not None and scored else "model"
        named = step_of(decision, "model").get("id") if kind == "model" else scored
        places = {}
        rules = step_of(decision, "rules")
        if logic is not None:
            for bound in logic.steps:
                if step := recorded_step(decision, bound.step):
                    places[bound.step.id] = _place(decision, step)
            outcome = logic.logic.outcome
            if outcome not in places and rules:
                places[outcome] = _place(decision, rules)
            rules = recorded_step(decision, logic.logic.step(outcome)) or rules
        return Plan(
            decision=decision,
            missing=missing,
            config=config.statement if config is not None else None,
            logic=logic if not missing else None,
            values=session.values,
            models={step: model for step, model in models.items() if model is not None},
            live=live,
            entry=entry,
            entry_digest=session.entry.digest if session.entry is not None else None,
            cached_values=_cached_values(session),
            failed=steps_failed(decision) & {step.step.id for step in logic.steps}
            if logic is not None
            else frozenset(),
            needs_model=session.needs_model,
            needs_score=logic is None or logic.logic.score is not None,
            places=places,
            cache_step=str(step_of(decision, "cache").get("id") or "cache"),
            model_step=str(named or "model"),
            rules_step=str(rules.get("id") or "rules"),
        )


def _place(decision: Decision, step: Mapping[str, Any]) -> int:
    return next(at for at, one in enumerate(decision.steps) if one is step)


def _model(loaded: LoadedModel, artifacts: Artifacts) -> PlannedModel | None:
    """The model as a plan keeps it; None where it cannot be run."""
    description = loaded.description
    if not loaded.ready() or description is None or loaded.digest is None:
        return None
    path = artifacts.path(loaded.digest)
    assert path is not None
    output = output_position(loaded.use, description)
    return PlannedModel(loaded.use, loaded.digest, Path(path), description, loaded.names, output)


def _cached_values(session: ReplaySession) -> Mapping[str, Any] | None:
    """Values under which an outcome from the cache was decided: see the session's own."""
    decision = session.decision
    digest = decision.cache.get("config_digest") if decision.cache.get("hit") else None
    if not digest or digest == decision.config.get("digest"):
        return None
    data, _ = read_artifact(session.artifacts, str(digest), "configuration")
    values = json_value(data.decode(errors="replace")) if data is not None else None
    if not isinstance(values, Mapping) or not session.values.keys() <= values.keys():
        return None
    return {**session.values, **usable_values(values)}


class BulkWorkers(Workers):
    """Model processes for batches: each of one thread, since several batches are under way."""

    def borrow(self, model: Path, packages: Path | None = None) -> ModelWorker:
        """The process for ``model``; see :class:`forensics.replay.client.Workers`.

        Raises:
            ReplayError: as :class:`forensics.replay.client.ModelWorker`.
        """
        worker = self._running.pop((model, packages), None)
        if worker is None or not worker.usable:
            worker = ModelWorker(
                model, packages=packages, threads=1, cpu_s=_CPU_S, timeout_s=_TIMEOUT_S
            )
        self._running[model, packages] = worker
        if len(self._running) > self._most:
            self._running.pop(next(iter(self._running))).close()
        return worker


#: A batch is thousands of rows: what a slow model needs for one is much for one decision.
_TIMEOUT_S = 600.0
_CPU_S = 36_000
