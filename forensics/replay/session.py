"""One decision with its model running beside: score it, decide it, and decide variants of it.

The child process starts when the session is made; configuration and rules are read while it loads.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from forensics.errors import ForensicsError, ReplayError, UsageError
from forensics.lake.expressions import UnknownNameError
from forensics.lake.sql import Connection, connect
from forensics.records.decision import Decision
from forensics.records.jsontext import dumps
from forensics.replay.client import ModelDescription, ModelWorker, Workers
from forensics.replay.evidence import (
    Artifacts,
    Config,
    closeness,
    json_value,
    read_artifact,
    read_config,
    step_of,
)
from forensics.replay.rules import BoundRules, Rule, read_rules


class LoadedModel:
    """A model artifact with the decision's features in its order, or the reasons for none."""

    def __init__(
        self,
        decision: Decision,
        digest: str | None,
        artifacts: Artifacts,
        workers: Workers,
        field: str = "model.digest",
    ) -> None:
        self._decision = decision
        self.digest = digest
        self.missing: list[str] = []
        self.description: ModelDescription | None = None
        self.row: array[float] = array("f")
        #: Boosting rounds used; 0 is all of them.
        self.trees = 0
        self._worker: ModelWorker | None = None
        self._ready = False
        #: The model's features in its order, once it is ready.
        self.names: tuple[str, ...] = ()
        if not digest:
            self.missing.append(field)
            return
        try:
            path = artifacts.path(digest)
            if path is None:
                self.missing.append(f"artifact {digest} (model file)")
            else:
                self._worker = workers.borrow(Path(path))
        except (ForensicsError, OSError) as error:
            self.missing.append(f"artifact {digest} (model file): {error}")

    def ready(self) -> bool:
        """Whether the model is loaded and every feature of it was recorded; waits for the child."""
        if self._worker is not None and not self._ready and not self.missing:
            try:
                self.description = self._worker.describe()
                self._fill(self.description)
                self._ready = not self.missing
            except ReplayError as error:
                self.missing.append(f"artifact {self.digest} (model file): {error}")
        return self._ready

    def predict(
        self,
        kinds: Sequence[str],
        columns: Mapping[int, array[float]] | None = None,
        count: int = 1,
    ) -> tuple[array[float], ...]:
        """The model's answers on the recorded row, or on variants; ``missing`` keeps a failure."""
        if not self.ready() or self._worker is None:
            raise ReplayError("The model cannot be run.", "; ".join(self.missing))
        try:
            return self._worker.predict(
                self.row, count, columns=columns, kinds=kinds, trees=self.trees
            )
        except ReplayError as error:
            self._ready = False
            self.missing.append(f"artifact {self.digest} (model file): {error}")
            raise

    @cached_property
    def score(self) -> float | None:
        """The model's answer to the recorded features: a float32 as a double, None if it has none.

        Services that stop early use the best iteration, others all; where that gives the recorded
        bytes and all rounds do not, the model is run so from then on.
        """
        try:
            score = self.predict(("value",))[0][0]
            early_rounds = self._early_rounds()
            if early_rounds and closeness(self._decision, score) != "exact":
                self.trees = early_rounds
                early = self.predict(("value",))[0][0]
                if closeness(self._decision, early) == "exact":
                    return early
                self.trees = 0
        except ReplayError:
            return None
        return score

    @property
    def runtime(self) -> str | None:
        """Library and version that ran the model, e.g. ``xgboost 3.2.0``."""
        description = self.description
        if description is None:
            return None
        if self.trees:
            return f"{description.runtime}, first {self.trees} of {description.rounds} rounds"
        return description.runtime

    def _early_rounds(self) -> int:
        """Rounds up to the best iteration where training went on beyond it, else 0."""
        description = self.description
        if description is None or description.best_iteration is None:
            return 0
        rounds = description.best_iteration + 1
        return rounds if rounds < description.rounds else 0

    def _fill(self, description: ModelDescription) -> None:
        features = self._decision.features
        names = description.features or tuple(f"f{at}" for at in range(description.width))
        absent = [name for name in names if name not in features]
        if absent and not description.features:
            self.missing.append(f"feature names (artifact {self.digest} names none)")
            return
        self.missing.extend(f"features.{name}" for name in absent)
        for name in names:
            try:
                self.row.append(as_number(features.get(name)))
            except ValueError as error:
                self.missing.append(f"features.{name} ({error})")
        self.names = names


class Answer(NamedTuple):
    """What the model and the rules said for each row."""

    scores: array[float]
    rules: list[Rule]


class ReplaySession:
    """Everything needed to run one decision again. Use as a context manager.

    Args:
        decision: as recorded.
        artifacts: the lake's artifacts.
        connection: a DuckDB connection to evaluate rules on, which saves opening one.
        workers: model processes to use, and to leave running; own ones, ended with the session,
            where None.
    """

    def __init__(
        self,
        decision: Decision,
        artifacts: Artifacts,
        *,
        connection: Connection | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.decision = decision
        self.artifacts = artifacts
        self._connection = connection
        self._rules_missing: list[str] = []
        live = decision.model.get("digest")
        self._own_workers = Workers() if workers is None else None
        shared = workers or self._own_workers
        assert shared is not None
        self.model = LoadedModel(decision, live, artifacts, shared)
        entry = decision.cache.get("model_digest") if decision.cache.get("hit") else None
        #: The model that made the cache entry, where it is another than the live one.
        self.entry: LoadedModel | None = None
        if entry and entry != live:
            self.entry = LoadedModel(decision, entry, artifacts, shared, "cache.model_digest")

    def __enter__(self) -> ReplaySession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the children that are the session's own."""
        if self._own_workers is not None:
            self._own_workers.close()

    @cached_property
    def config(self) -> Config:
        """The configuration's values and what contradicts them."""
        return read_config(self.decision, self.artifacts)

    @cached_property
    def features(self) -> Mapping[str, Any]:
        """The recorded features as rules see them: a list of numbers is one value, not many rows.

        Other lists and objects are JSON text, as in the lake's columns.
        """
        return {name: _as_one(value) for name, value in self.decision.features.items()}

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Configuration values that rules may use, with the recorded threshold where none is."""
        values = _usable(self.config.values)
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
    def rules(self) -> BoundRules | None:
        """The rule set, checked against this decision's names; if None, ``missing`` says why."""
        bound, self._rules_missing = self._bind()
        return bound

    @property
    def missing(self) -> tuple[str, ...]:
        """What the model and the rules need and have not."""
        rules = self.rules  # read while the child loads
        self.model.ready()
        found = list(self.model.missing)
        if rules is None:
            found += self._rules_missing
        return tuple(dict.fromkeys(found))

    def decide(self, columns: Mapping[str, Sequence[float | None]], count: int) -> Answer:
        """Scores and deciding rules of ``count`` variants of this decision.

        Args:
            columns: by feature, ``count`` values that replace the recorded one; None is missing.
            count: number of variants.

        Raises:
            ReplayError: when the model or the rules cannot be run.
        """
        rules = self.rules
        if rules is None or not self.model.ready():
            raise ReplayError("The decision cannot be replayed.", "; ".join(self.missing))
        names = {name: at for at, name in enumerate(self.model.names)}
        patches = {
            names[name]: _column(values) for name, values in columns.items() if name in names
        }
        scores = self.model.predict(("value",), patches, count)[0]
        features: dict[str, Any] = {**self.features}
        features.update((name, list(values)) for name, values in columns.items())
        return Answer(scores, rules.decide(features, self.values, scores, count))

    def judge(
        self, columns: Mapping[str, Sequence[float]], scores: Sequence[float], count: int
    ) -> list[Rule]:
        """The deciding rules for given scores, without the model."""
        rules = self.rules
        if rules is None:
            raise ReplayError("The rules cannot be run.", "; ".join(self._rules_missing))
        features: dict[str, Any] = {**self.features}
        features.update((name, list(values)) for name, values in columns.items())
        return rules.decide(features, self.values, list(scores), count)

    def decide_cached(self) -> Rule | None:
        """The rule under the cache entry's configuration; None unless that is another at hand."""
        cache = self.decision.cache
        digest = cache.get("config_digest") if cache.get("hit") else None
        score, rules = self.scoring.score, self.rules
        if not digest or digest == self.decision.config.get("digest"):
            return None
        data, _ = read_artifact(self.artifacts, str(digest), "configuration")
        values = json_value(data.decode(errors="replace")) if data is not None else None
        if rules is None or score is None or not isinstance(values, Mapping):
            return None
        if not self.values.keys() <= values.keys():
            return None
        return rules.decide(self.features, _usable(values), score)[0]

    def contributions(self) -> tuple[float, dict[str, float], float]:
        """Base value, contribution of each feature, and margin, all in the margin's unit.

        They are of the model whose score was recorded: that of the cache entry where the score
        came from one and replay confirmed it.

        Raises:
            ReplayError: when that model cannot be run.
        """
        model = self.scoring
        _ = model.score  # settles how many rounds are used
        contributions, margin = model.predict(("contributions", "margin"))
        values = dict(zip(model.names, contributions, strict=False))
        return contributions[-1], values, margin[0]

    @cached_property
    def scoring(self) -> LoadedModel:
        """The model whose score was recorded."""
        if self.entry is not None and not self._is_exact(self.model):
            return self.entry if self._is_exact(self.entry) else self.model
        return self.model

    def _is_exact(self, model: LoadedModel) -> bool:
        return model.score is not None and closeness(self.decision, model.score) == "exact"

    def _bind(self) -> tuple[BoundRules | None, list[str]]:
        step = step_of(self.decision, "rules")
        digest = step.get("digest")
        if not digest:
            return None, ["rules artifact (no recorded step of kind rules has a digest)"]
        data, missing = read_artifact(self.artifacts, str(digest), "rules")
        if data is None:
            return None, [missing or "rules artifact"]
        if self._connection is None:
            self._connection = connect(threads=1)
        try:
            rule_set = read_rules(data)
            return rule_set.bind(list(self.decision.features), self.values, self._connection), []
        except UnknownNameError as error:
            if not self.config.known:
                return None, list(self.config.missing)
            name = error.name
            place = name if "." in name else f"{name} (neither a feature nor a config value)"
            return None, [f"{place}, used by rules artifact {digest}"]
        except (ReplayError, UsageError) as error:
            return None, [f"artifact {digest} (rules): {error}"]


def _column(values: Sequence[float | None]) -> array[float]:
    try:
        return array("f", values)  # type: ignore[arg-type]
    except TypeError:  # None is NaN to the model and NULL to the rules
        return array("f", [as_number(value) for value in values])


def _usable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a rule can name: those that are no lists and no objects."""
    return {
        str(name): value
        for name, value in values.items()
        if value is None or isinstance(value, (str, int, float))
    }


def _as_one(value: Any) -> Any:
    if isinstance(value, list) and all(type(item) in (int, float) for item in value):
        return tuple(value)
    return dumps(value, strict=False) if isinstance(value, (dict, list)) else value


def as_number(value: Any) -> float:
    """A recorded feature as a model sees it: NaN where nothing was recorded, 1 and 0 for booleans.

    Raises:
        ValueError: when it is not a number.
    """
    if value is None:
        return float("nan")
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a whole number too large for the model") from None
    kind = type(value).__name__
    if kind == "Decimal":
        return float(value)
    raise ValueError(f"{'text' if kind == 'str' else kind} where the model needs a number")
