"""One decision with its models running beside: score it, decide it, and decide variants of it.

The child process starts when the session is made; configuration and logic are read while it loads.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from forensics.errors import ForensicsError, ReplayError, UsageError
from forensics.lake.expressions import UnknownNameError
from forensics.lake.frames import Frame, RowFrame
from forensics.lake.sql import Connection, connect
from forensics.records.decision import Decision
from forensics.records.jsontext import dumps
from forensics.replay.client import Workers
from forensics.replay.engine_steps import Engines, EngineTold
from forensics.replay.evidence import (
    Artifacts,
    Config,
    closeness,
    json_value,
    read_artifact,
    read_config,
    step_of,
    steps_failed,
)
from forensics.replay.loaded import PLAIN_USE, LoadedModel
from forensics.replay.logic import (
    Answer,
    BoundLogic,
    EngineUse,
    ModelUse,
    Rule,
    bind,
    constrained,
    read_logic,
)

#: Where a library of a recorded version is: by runtime and version, a folder with it.
Environment = Callable[[str | None, str | None], Path]
_UNDECIDED = Rule("none", None, None, "no step of the decision logic gives an outcome")


class Decided(NamedTuple):
    """What the models and the logic said for each row; scores are NaN where nothing is scored."""

    scores: Sequence[float]
    outcomes: list[str | None]
    rules: list[Rule]


class ReplaySession:
    """Everything needed to run one decision again. Use as a context manager.

    Args:
        decision: as recorded.
        artifacts: the lake's artifacts.
        connection: a DuckDB connection to evaluate rules on, which saves opening one.
        workers: model processes to use, and to leave running; own ones, ended with the session,
            where None.
        environment: gives the library of the recorded version, where that is to be used.
    """

    def __init__(
        self,
        decision: Decision,
        artifacts: Artifacts,
        *,
        connection: Connection | None = None,
        workers: Workers | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.decision = decision
        self.artifacts = artifacts
        self._connection = connection
        self._logic_missing: list[str] = []
        self._own_workers = Workers() if workers is None else None
        shared = workers or self._own_workers
        assert shared is not None
        self._workers = shared
        self._engines = Engines(artifacts)
        self._engine_rule: str | None = None
        #: What rule engines told of the recorded decision's steps, once :attr:`answer` is known.
        self.engine_told: Mapping[str, EngineTold] = {}
        self._packages: Path | None = None
        self._unrunnable: str | None = None
        if environment is not None:
            runtime, version = (decision.model.get(key) for key in ("runtime", "runtime_version"))
            try:
                self._packages = environment(runtime, version)
            except ForensicsError as error:
                self._unrunnable = str(error)
        live = decision.model.get("digest")
        self.model = self._loaded(live)
        entry = decision.cache.get("model_digest") if decision.cache.get("hit") else None
        #: The model that made the cache entry, where it is another than the live one.
        self.entry: LoadedModel | None = None
        if entry and entry != live:
            self.entry = self._loaded(entry, field="cache.model_digest")

    def __enter__(self) -> ReplaySession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the children that are the session's own."""
        self._engines.close()
        if self._own_workers is not None:
            self._own_workers.close()

    @cached_property
    def config(self) -> Config:
        """The configuration's values and what contradicts them."""
        return read_config(self.decision, self.artifacts)

    @cached_property
    def features(self) -> Mapping[str, Any]:
        """The recorded features as logic sees them, which is as the lake's columns hold them."""
        types = self.decision.feature_types
        return {
            name: _as_one(value, types.get(name)) for name, value in self.decision.features.items()
        }

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Configuration values that logic may use, with the recorded threshold where none is."""
        values = usable_values(self.config.values)
        if self.decision.threshold is not None:
            values.setdefault("threshold", self.decision.threshold)
        return values

    @cached_property
    def threshold(self) -> float | None:
        """What the score was compared with, where that is known."""
        value = self.decision.threshold
        if value is None:
            value = self.config.values.get("threshold")
        return float(value) if isinstance(value, int | float) else None

    @cached_property
    def logic(self) -> BoundLogic | None:
        """The decision logic, checked against this decision's names; if None, ``missing`` says why.

        Its own levers and constraints give way to those that the configuration declares under
        ``counterfactuals``.
        """
        bound, self._logic_missing = self._bind()
        return bound

    @cached_property
    def models(self) -> Mapping[str, LoadedModel]:
        """The model of each model step of the logic."""
        if self.logic is None:
            return {}
        return {use.step: self._of_step(use) for use in self.logic.models}

    @property
    def needs_model(self) -> bool:
        """Whether anything is to be scored; unknown logic is taken to score."""
        return self.logic is None or bool(self.logic.models)

    @property
    def missing(self) -> tuple[str, ...]:
        """What the models and the logic need and have not."""
        logic = self.logic  # read while the child loads
        found: list[str] = []
        for model in self.models.values() if logic is not None else (self.model,):
            model.ready()
            found += model.missing
        if logic is None:
            found += self._logic_missing
        return tuple(dict.fromkeys(found))

    @cached_property
    def answer(self) -> Answer | None:
        """The logic run on what was recorded; None where it cannot be."""
        if self.logic is None or self.missing:
            return None
        frame = self._frame(self.features, self.values)
        answer = self._run(self.logic, frame)
        before = [model.trees for model in self.models.values()]
        for model in self.models.values():
            if model.use.features:
                model.compute(frame)
            _ = model.score  # settles how many rounds are used
        if before != [model.trees for model in self.models.values()]:
            answer = self._run(self.logic, self._frame(self.features, self.values))
        (self._engine_rule,) = self._engines.decided.get(answer.outcome_step, (None,))
        self.engine_told = dict(self._engines.told)
        return answer

    @property
    def score(self) -> float | None:
        """The score as replayed: the logic's, or the model's alone where the logic cannot be run.

        Raises:
            ReplayError: when an expression of the logic cannot be evaluated.
        """
        if self.answer is None:
            return self.model.score
        scores = self.answer.score
        return None if scores is None or scores[0] is None else float(scores[0])

    @property
    def rule(self) -> Rule | None:
        """What decided, as replayed, with the outcome; None where the logic cannot be run.

        Raises:
            ReplayError: as :attr:`score`.
        """
        answer = self.answer
        if answer is None:
            return None
        (rule,) = decided_by(answer)
        return rule._replace(id=self._engine_rule) if self._engine_rule else rule

    @property
    def names_rule(self) -> bool:
        """Whether replay knows which rule decided; an expression or a CEL policy has none."""
        answer = self.answer
        return answer is not None and (answer.rule is not None or self._engine_rule is not None)

    def decide(self, columns: Mapping[str, Sequence[Any]], count: int) -> Decided:
        """Scores and outcomes of ``count`` variants of this decision.

        Args:
            columns: by feature, ``count`` values that replace the recorded one; None is missing.
                Features that the logic derives from them follow.
            count: number of variants.

        Raises:
            ReplayError: when the models or the logic cannot be run.
        """
        logic = self._whole_logic()
        features = self._derived(logic, {**self.features, **_as_lists(columns)}, columns, count)
        return _decided(self._run(logic, self._frame(features, self.values, count)), count)

    def judge(
        self, columns: Mapping[str, Sequence[Any]], scores: Sequence[float], count: int
    ) -> Decided:
        """Outcomes of ``count`` variants for given scores, without the models before them."""
        logic = self._whole_logic()
        features = self._derived(logic, {**self.features, **_as_lists(columns)}, columns, count)
        given = {logic.logic.score: list(scores)} if logic.logic.score else {}
        return _decided(self._run(logic, self._frame(features, self.values, count), given), count)

    def allowed(self, columns: Mapping[str, Sequence[Any]], count: int) -> list[bool]:
        """Whether each of ``count`` variants keeps every constraint that the logic declares.

        Raises:
            ReplayError: when a constraint cannot be evaluated.
        """
        logic = self._whole_logic()
        if not logic.constraints:
            return [True] * count
        features = self._derived(logic, {**self.features, **_as_lists(columns)}, columns, count)
        frame = self._frame(features, self.values, count)
        uses = frozenset().union(*(parsed.names for parsed in logic.constraints))
        every = " AND ".join(f"({sql}\n)" for sql in logic.logic.constraints)
        frame.evaluate([("#allowed", every)], ["#allowed"], sorted(uses))
        return [value is True for value in frame.column("#allowed")]

    def with_values(self, values: Mapping[str, Any], score: float | None = None) -> Rule:
        """What decides under other values of the configuration, which replace those recorded.

        Args:
            values: by name.
            score: taken instead of the models' own, where given.

        Raises:
            ReplayError: when it cannot be run.
        """
        logic = self._whole_logic()
        given = {logic.logic.score: [score]} if logic.logic.score and score is not None else {}
        frame = self._frame(self.features, {**self.values, **usable_values(values)})
        return decided_by(self._run(logic, frame, given))[0]

    def decide_cached(self) -> Rule | None:
        """The rule under the cache entry's configuration; None unless that is another at hand."""
        cache = self.decision.cache
        digest = cache.get("config_digest") if cache.get("hit") else None
        if not digest or digest == self.decision.config.get("digest") or self.answer is None:
            return None
        data, _ = read_artifact(self.artifacts, str(digest), "configuration")
        values = json_value(data.decode(errors="replace")) if data is not None else None
        if not isinstance(values, Mapping) or not self.values.keys() <= values.keys():
            return None
        return self.with_values(values, self.scoring.score if self.needs_model else None)

    def contributions(self) -> tuple[float, dict[str, float], float]:
        """Base value, contribution of each feature, and margin, all in the margin's unit.

        They are of the model whose score was recorded: that of the cache entry where the score
        came from one and replay confirmed it.

        Raises:
            ReplayError: when that model cannot be run.
        """
        return self.scoring.contributions()

    @cached_property
    def scoring(self) -> LoadedModel:
        """The model whose score was recorded."""
        live = self.live
        if self.entry is not None and not self._is_exact(live):
            return self.entry if self._is_exact(self.entry) else live
        return live

    @property
    def live(self) -> LoadedModel:
        """The model of the step that scores, or of the last before it; else the recorded one."""
        models = self.models
        score = self.logic.logic.score if self.logic is not None else None
        return models.get(score or "") or next(reversed(list(models.values())), self.model)

    def _is_exact(self, model: LoadedModel) -> bool:
        return model.score is not None and closeness(self.decision, model.score) == "exact"

    def _loaded(
        self, digest: str | None, use: ModelUse = PLAIN_USE, field: str = "model.digest"
    ) -> LoadedModel:
        return LoadedModel(
            self.decision,
            digest,
            self.artifacts,
            self._workers,
            use=use,
            field=field,
            packages=self._packages,
            unrunnable=self._unrunnable,
        )

    def _of_step(self, use: ModelUse) -> LoadedModel:
        """The model of a step: the one that the logic names, the step recorded, or the decision.

        The decision's model is that of the only model step; of several, each recorded its own.
        """
        digest, field = use.digest, f"steps.{use.step}.digest"
        if digest is None and self.logic is not None and len(self.logic.models) > 1:
            for step in self.decision.steps:
                if use.step in (step.get("id"), step.get("component")) and step.get("digest"):
                    digest = str(step["digest"])
        if digest in (None, self.model.digest):
            if use == self.model.use:
                return self.model
            digest, field = self.model.digest, "model.digest"
        return self._loaded(digest, use, field)

    def _whole_logic(self) -> BoundLogic:
        if self.logic is None or self.missing:
            raise ReplayError("The decision cannot be replayed.", "; ".join(self.missing))
        return self.logic

    def _frame(
        self, features: Mapping[str, Any], values: Mapping[str, Any], count: int = 1
    ) -> RowFrame:
        return RowFrame(self.connection, features, values, count)

    def _run(
        self, logic: BoundLogic, frame: RowFrame, given: Mapping[str, Any] | None = None
    ) -> Answer:
        def predict(use: ModelUse, frame: Frame) -> array[float]:
            return self.models[use.step].on(frame)

        def evaluate(use: EngineUse, frame: Frame) -> Sequence[Any]:
            return self._engines.evaluate(use, frame)

        failed = steps_failed(self.decision) & {step.step.id for step in logic.steps}
        return logic.run(frame, predict, evaluate=evaluate, failed=failed, given=given)

    def _derived(
        self,
        logic: BoundLogic,
        features: dict[str, Any],
        changed: Mapping[str, Any],
        count: int,
    ) -> dict[str, Any]:
        """``features`` with those that follow from changed ones computed anew."""
        follow = [
            (name, logic.logic.derived[name], parsed.names)
            for name, parsed in logic.derived.items()
            if any(used.removeprefix("features.") in changed for used in parsed.names)
        ]
        if not follow:
            return features
        frame = self._frame(features, self.values, count)
        names = [name for name, _, _ in follow]
        uses = frozenset().union(*(used for _, _, used in follow))
        columns = [(f"#{name}", sql) for name, sql, _ in follow]
        frame.evaluate(columns, [f"#{name}" for name in names], sorted(uses))
        return {**features, **{name: list(frame.column(f"#{name}")) for name in names}}

    @property
    def connection(self) -> Connection:
        """Where expressions are evaluated."""
        if self._connection is None:
            self._connection = connect(threads=1)
        return self._connection

    def _bind(self) -> tuple[BoundLogic | None, list[str]]:
        digest = step_of(self.decision, "rules").get("digest")
        if not digest:
            return None, ["rules artifact (no recorded step of kind rules has a digest)"]
        data, missing = read_artifact(self.artifacts, str(digest), "rules")
        if data is None:
            return None, [missing or "rules artifact"]
        try:
            logic = read_logic(data)
            declared = self.config.values.get("counterfactuals")
            if isinstance(declared, Mapping):
                logic = constrained(logic, declared)
            bound = bind(logic, list(self.decision.features), self.values, self.connection)
            if not self.decision.model:
                bound = bound.without_unused_models()
            return bound, []
        except UnknownNameError as error:
            if not self.config.known:
                return None, list(self.config.missing)
            name = error.name
            place = name if "." in name else f"{name} (neither a feature nor a config value)"
            return None, [f"{place}, used by rules artifact {digest}"]
        except (ReplayError, UsageError) as error:
            return None, [f"artifact {digest} (rules): {error}"]


def decided_by(answer: Answer) -> list[Rule]:
    """For each row what decided, with the outcome as text; a step that has no rules is named."""
    outcomes = list(answer.outcome)
    rules = answer.rule
    if rules is None:
        step = answer.outcome_step
        return [_UNDECIDED._replace(id=step, outcome=outcome, reason=None) for outcome in outcomes]
    return [rule._replace(outcome=outcome) for rule, outcome in zip(rules, outcomes, strict=True)]


def _decided(answer: Answer, count: int) -> Decided:
    scores = answer.score
    if scores is None:
        scores = [float("nan")] * count
    else:
        scores = [float("nan") if score is None else score for score in scores]
    rules = decided_by(answer)
    return Decided(scores, [rule.outcome for rule in rules], rules)


def usable_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration that logic can name: those that are no lists and no objects."""
    return {
        str(name): value
        for name, value in values.items()
        if value is None or isinstance(value, (str, int, float))
    }


def _as_lists(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in columns.items()}


def _as_one(value: Any, type_: str | None) -> Any:
    """A feature as one value: a list of numbers as a tuple, other lists and objects as JSON text.

    A number of a feature of doubles is a double, as it is in the lake's column; only what a double
    does not hold stays exact.
    """
    if type(value) is int and type_ == "float64" and abs(value) <= 2**53:
        return float(value)
    if isinstance(value, list) and all(type(item) in (int, float) for item in value):
        return tuple(value)
    return dumps(value, strict=False) if isinstance(value, (dict, list)) else value
