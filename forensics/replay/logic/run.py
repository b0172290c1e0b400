"""Running decision logic on a frame: one decision, variants of one, or a table of many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from forensics.errors import ReplayError, UsageError
from forensics.lake.expressions import Parsed, UnknownNameError, parse
from forensics.lake.frames import Frame, Named
from forensics.lake.sql import Connection
from forensics.replay.logic.nouns import EngineUse, Logic, ModelUse, Rule, Step

#: Gives a model step's scores for all rows of a frame.
Predict = Callable[[ModelUse, Frame], Any]
#: Gives another engine's answers for all rows of a frame.
Evaluate = Callable[[EngineUse, Frame], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different values: ``labels[codes[row]]``.

    ``codes`` is a list, or a numpy array where the frame was a table.
    """

    labels: Sequence[Any]
    codes: Any

    def __iter__(self) -> Iterator[Any]:
        return (self.labels[code] for code in self.codes)


class BoundStep(NamedTuple):
    """A step whose names are known: what each of its texts uses, and the base names of them all."""

    step: Step
    parsed: tuple[Parsed, ...]
    uses: frozenset[str]


class BoundLogic:
    """Decision logic checked against the names that a decision has; see :func:`bind`."""

    def __init__(
        self,
        logic: Logic,
        steps: tuple[BoundStep, ...],
        derived: Mapping[str, Parsed],
        constraints: tuple[Parsed, ...],
    ) -> None:
        self.logic = logic
        self.steps = steps
        self.derived = derived
        self.constraints = constraints
        self._ids = frozenset(step.step.id for step in steps)

    @property
    def models(self) -> tuple[ModelUse, ...]:
        """The models that it runs, in order."""
        return tuple(s.step.model for s in self.steps if s.step.model is not None)

    @property
    def engines(self) -> tuple[EngineUse, ...]:
        """The steps that other rule engines run."""
        return tuple(s.step.engine for s in self.steps if s.step.engine is not None)

    @property
    def used(self) -> frozenset[str]:
        """Every feature and value of the configuration that some expression uses, as it does."""
        return frozenset().union(*(step.uses for step in self.steps)) - self._ids

    def rests_on_a_model(self, rule: Rule) -> bool:
        """Whether a model's answer had a say in it that ``rule`` gave the outcome.

        It had where the rule asks for one, by itself or through other steps, or where one that
        came before it does: that one did not hold.
        """
        bound = self._bound(self.logic.outcome)
        whens = [one.when for one in bound.step.rules if one.when is not None]
        others = len(bound.parsed) - len(whens)
        asked = len(whens)
        if not bound.step.unique and rule.when in whens:
            asked = whens.index(rule.when) + 1
        waiting = set().union(*(one.names for one in bound.parsed[: others + asked]))
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in self._ids and name not in seen:
                seen.add(name)
                waiting |= self._bound(name).uses
        return any(self._bound(name).step.model is not None for name in seen)

    def _bound(self, id: str) -> BoundStep:
        return next(bound for bound in self.steps if bound.step.id == id)

    def without_unused_models(self) -> BoundLogic:
        """The logic without model steps that no other step uses: a decision may need no score."""
        used = frozenset().union(*(step.uses for step in self.steps))
        unused = frozenset(use.step for use in self.models if use.step not in used)
        steps = tuple(step for step in self.steps if step.step.id not in unused)
        return BoundLogic(self.logic.without(unused), steps, self.derived, self.constraints)

    def run(
        self,
        frame: Frame,
        predict: Predict,
        *,
        evaluate: Evaluate | None = None,
        failed: Collection[str] = (),
        given: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The answer for each row of ``frame``.

        Args:
            frame: the decisions.
            predict: runs a model.
            evaluate: runs another rule engine.
            failed: steps that have no value, since their own run failed at the time.
            given: values of steps that are not to be run, e.g. a score to be judged.

        Raises:
            ReplayError: when an expression, a model or an engine fails.
        """
        given = given or {}
        for name in failed:
            frame.put(name, [None] * frame.count)
        for name, values in given.items():
            frame.put(name, values)
        plan = _Plan(frame)
        used = frozenset().union(*(bound.uses for bound in self.steps))
        for bound in self.steps:
            step = bound.step
            if step.id in failed or step.id in given:
                continue
            if step.guard is not None and step.value is None:
                plan.add(step.guard_column, step.guard, bound.uses)
            if step.model is not None:
                for feature, sql in step.model.features.items():
                    plan.add(step.model.column(feature), sql, bound.uses)
                plan.flush()
                frame.put(step.id, predict(step.model, frame), _mask(step))
            elif step.engine is not None:
                for path, sql in (step.engine.inputs or {}).items():
                    plan.add(f"{step.id}#{path}", sql, bound.uses)
                plan.flush()
                if evaluate is None:
                    raise ReplayError(f"Step {step.id} needs the engine {step.engine.kind}.")
                frame.put(step.id, evaluate(step.engine, frame), _mask(step))
            else:
                for name, sql in step.helpers:
                    plan.add(name, sql, bound.uses, keep=False)
                if step.choice is not None:
                    plan.add(step.choice_column, step.choice, bound.uses)
                assert step.value is not None
                # The answers of constant rules are known from the rule's number.
                keep = not step.constant or step.id in used
                plan.add(step.id, step.value, bound.uses, keep=keep)
        plan.flush()
        return Answer(self.logic, frame, frozenset(given) | frozenset(failed))


class _Plan:
    """Expressions that wait to be evaluated together: a query costs more than an expression."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._waiting: list[Named] = []
        self._wanted: list[str] = []
        self._uses: set[str] = set()

    def add(self, name: str, sql: str, uses: Collection[str], *, keep: bool = True) -> None:
        """Have ``sql``, which needs the names in ``uses``, evaluated as ``name``."""
        self._waiting.append((name, sql))
        self._uses.update(uses)
        if keep:
            self._wanted.append(name)

    def flush(self) -> None:
        """Evaluate what waits."""
        if not self._waiting:
            return
        uses = sorted(self._uses - {name for name, _ in self._waiting})
        self._frame.evaluate(self._waiting, self._wanted, uses)
        for part in (self._waiting, self._wanted, self._uses):
            part.clear()


class Answer:
    """What the logic gave for each row; columns are lists, or Arrow arrays of a table's frame."""

    def __init__(self, logic: Logic, frame: Frame, given: frozenset[str]) -> None:
        self._logic = logic
        self._frame = frame
        self._given = given

    @property
    def score(self) -> Any:
        """The score by row; None where the logic has none."""
        return self.value(self._logic.score) if self._logic.score is not None else None

    @property
    def outcome(self) -> Coded:
        """The outcome by row, as text or None."""
        step = self._logic.step(self._logic.outcome)
        if step.constant and step.id not in self._given:
            return Coded([as_outcome(rule.outcome) for rule in step.rules], self._choice(step))
        coded = _coded(self.value(step.id))
        return Coded([as_outcome(label) for label in coded.labels], coded.codes)

    @property
    def outcome_step(self) -> str:
        """Id of the step whose value is the outcome."""
        return self._logic.outcome

    @property
    def rule(self) -> Coded | None:
        """The rule that gave the outcome, by row; None where the outcome comes from no rules."""
        return self.deciding(self._logic.outcome)

    def deciding(self, step: str) -> Coded | None:
        """The rule that decided in a step, as :class:`Rule`, by row."""
        found = self._logic.step(step)
        if not found.rules or step in self._given:
            return None
        return Coded(found.rules, self._choice(found))

    def value(self, step: str) -> Any:
        """A step's value by row."""
        found = self._logic.step(step)
        if found.constant and step not in self._given:
            return list(Coded([rule.outcome for rule in found.rules], self._choice(found)))
        return self._frame.column(step)

    def _choice(self, step: Step) -> Any:
        return _plain(self._frame.column(step.choice_column))


def bind(
    logic: Logic,
    features: Collection[str],
    config: Collection[str],
    connection: Connection | None = None,
) -> BoundLogic:
    """``logic`` checked against the names that a decision has.

    Args:
        logic: a parsed artifact.
        features: names of the features.
        config: names of the configuration's values that an expression may use.
        connection: saves opening one.

    Raises:
        UsageError: when an expression is malformed or does more than compute with its names.
        UnknownNameError: when it uses a name that nothing has.
    """
    base = _Names(features, config)
    earlier: list[str] = []
    steps = []
    for step in logic.steps:
        names = base.beside(earlier)
        parsed = tuple(_parsed(text, names, step, connection) for text in step.texts)
        uses = frozenset().union(*(one.names for one in parsed))
        steps.append(BoundStep(step, parsed, uses))
        if plain := sorted(uses & {"features", "config"}):
            raise UsageError(
                f"Step {step.id} uses {plain[0]} as a value; features.x and config.x are meant"
                " for values in them."
            )
        earlier.append(step.id)
    names = base.beside([])
    derived = {
        name: parse(sql, names, connection=connection) for name, sql in logic.derived.items()
    }
    constraints = tuple(parse(sql, names, connection=connection) for sql in logic.constraints)
    return BoundLogic(logic, tuple(steps), derived, constraints)


class _Names:
    """Names that expressions may use; one that features and configuration share needs its group."""

    def __init__(self, features: Collection[str], config: Collection[str]) -> None:
        both = {name.lower() for name in features} & {name.lower() for name in config}
        self._plain = [name for name in (*features, *config) if name.lower() not in both]
        self._grouped = [f"features.{name}" for name in features]
        self._grouped += [f"config.{name}" for name in config]

    def beside(self, steps: Collection[str]) -> list[str]:
        """All names, with those of ``steps`` before any feature or value of the same name."""
        hidden = {name.lower() for name in steps}
        plain = [name for name in self._plain if name.lower() not in hidden]
        return [*plain, *self._grouped, *steps]


def _parsed(text: str, names: Collection[str], step: Step, connection: Connection | None) -> Parsed:
    try:
        return parse(text, names, connection=connection)
    except UnknownNameError:
        raise
    except UsageError as error:
        raise UsageError(f"Step {step.id}: {error.what}", error.why, error.todo) from error


def _mask(step: Step) -> str | None:
    return step.guard_column if step.guard is not None else None


def _coded(values: Any) -> Coded:
    """Any column, by its different values."""
    if hasattr(values, "dictionary_encode"):
        encoded = values.dictionary_encode()
        if hasattr(encoded, "combine_chunks"):
            encoded = encoded.combine_chunks()
        from forensics.lake.arrow import places

        return Coded([*encoded.dictionary.to_pylist(), None], places(encoded))
    labels: dict[Any, int] = {}
    codes = [labels.setdefault(value, len(labels)) for value in values]
    return Coded(list(labels), codes)


def _plain(codes: Any) -> Any:
    if not hasattr(codes, "null_count"):
        return codes
    from forensics.lake.arrow import numbers

    return numbers(codes)


def as_outcome(value: Any) -> str | None:
    """A step's value as an outcome is recorded: text; booleans and numbers as JSON writes them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


__all__ = ["Answer", "BoundLogic", "BoundStep", "Coded", "Rule", "as_outcome", "bind"]
