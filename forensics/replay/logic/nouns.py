"""What decision logic consists of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """One rule or band; ``when`` is None for one that holds where no other does.

    ``outcome`` is what it answers; of a rule that answers the value of an expression, None.
    """

    id: str
    when: str | None
    outcome: Any
    reason: str | None


class Lever(NamedTuple):
    """How its subject may change a feature.

    A number moves from ``min`` in steps of ``step`` up to ``max``; otherwise one of ``values`` is
    taken. A change costs ``cost`` times its size in units of ``scale``, where None is the whole
    range; another of ``values`` costs ``cost``.
    """

    min: float
    max: float
    step: float
    direction: str
    integer: bool
    values: tuple[Any, ...] | None = None
    cost: float = 1.0
    scale: float | None = None


class ModelUse(NamedTuple):
    """A model step: which model, fed with what, and which of its outputs.

    ``digest`` None is the model that the decision's own step of this id or component names, else
    its ``model.digest``. ``features`` gives expressions for features that the model knows by
    another name or on another scale.
    """

    step: str
    digest: str | None
    output: int | str | None
    kind: str
    features: Mapping[str, str]

    def column(self, feature: str) -> str:
        """The frame's name for a feature that an expression gives."""
        return f"{self.step}#{feature}"


class EngineUse(NamedTuple):
    """A step that another rule engine runs: ``kind`` is ``zen`` or ``cel``.

    ``source`` is its text where it stands in the logic itself, ``digest`` its artifact otherwise.
    ``inputs`` gives an expression for each input, by dotted path; all features, values of the
    configuration and earlier steps where it is None. ``output`` is the path of the answer.
    """

    step: str
    kind: str
    digest: str | None
    source: str | None
    inputs: Mapping[str, str] | None
    output: str | None


class Step(NamedTuple):
    """A step, compiled to SQL where it is neither a model nor another engine.

    ``texts`` are the expressions that its author wrote, in order; those of the rules stand at the
    end, one for each rule with a condition. ``helpers`` are named expressions that the others use,
    ``choice`` numbers the rule that decides, ``value`` is the answer. The answers of ``constant``
    rules are their outcomes. Of ``unique`` rules one decides only where no other one holds; else
    the first that holds does.
    """

    id: str
    kind: str
    texts: tuple[str, ...] = ()
    guard: str | None = None
    helpers: tuple[tuple[str, str], ...] = ()
    value: str | None = None
    choice: str | None = None
    rules: tuple[Rule, ...] = ()
    constant: bool = False
    unique: bool = False
    model: ModelUse | None = None
    engine: EngineUse | None = None

    @property
    def choice_column(self) -> str:
        """The frame's name for the number of the rule that decides."""
        return f"{self.id}#rule"

    @property
    def guard_column(self) -> str:
        """The frame's name for whether the step runs at all."""
        return f"{self.id}#when"


class Logic(NamedTuple):
    """A parsed artifact.

    ``score`` and ``outcome`` are ids of steps; ``score`` is None where nothing is scored.
    ``derived`` are features that follow from others when those are changed, and ``constraints``
    conditions that any change must keep.
    """

    name: str
    version: str | None
    steps: tuple[Step, ...]
    score: str | None
    outcome: str
    levers: Mapping[str, Lever]
    derived: Mapping[str, str]
    constraints: tuple[str, ...]

    def without(self, ids: frozenset[str]) -> Logic:
        """The logic without the steps ``ids``, which nothing may use."""
        score = None if self.score in ids else self.score
        return self._replace(
            steps=tuple(step for step in self.steps if step.id not in ids), score=score
        )

    def step(self, id: str) -> Step:
        """The step with that id."""
        return next(step for step in self.steps if step.id == id)
