"""A decision as a search problem: models as trees, logic as conditions, levers as grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor, isfinite, log10
from typing import Any

from forensics.errors import ReplayError
from forensics.explain.search.conditions import (
    Call,
    Constant,
    Expression,
    Name,
    Opaque,
    condition_of,
    walk,
)
from forensics.explain.search.problem import LINKS, Lever, Logic, Model, Problem
from forensics.lake.expressions import syntax_trees
from forensics.lake.sql import Connection
from forensics.replay.evidence import steps_failed
from forensics.replay.loaded import LoadedModel
from forensics.replay.logic import BoundLogic, ModelUse, Step, as_outcome
from forensics.replay.logic import Lever as Declared
from forensics.replay.session import ReplaySession

#: What each changed lever costs in addition: few changes are easier to make, and to be told.
SPARSITY = 0.01
#: How a step, a value of the configuration and a model's bare answer are named in the problem,
#: where features keep their own names.
_STEP, _CONFIG, _BARE = "@", "config.", "@bare "


def problem_of(session: ReplaySession, logic: BoundLogic) -> Problem:
    """The search problem of a session's decision.

    Levers are those that the logic or the configuration declares; where they declare none, every
    numeric feature of the models, within its cut points. A lever's scale is declared, else its
    range; one that was not declared is scaled by the median absolute deviation of its cut points.

    Raises:
        ReplayError: when a model is neither trees nor linear, so that nothing bounds its answers.
    """
    connection = session.connection
    models = {use.step: _model(session, use) for use in logic.models}
    values: dict[str, Any] = {**session.features}
    values.update((f"{_CONFIG}{name}", value) for name, value in session.values.items())
    names = _Names(session)
    steps, derived = _steps(session, logic, names, connection)
    for trees, name in zip(
        syntax_trees([logic.logic.derived[name] for name in logic.derived], connection),
        logic.derived,
        strict=True,
    ):
        derived[name] = condition_of(trees, names.written(()))
    constraints = [
        condition_of(tree, names.written(()))
        for tree in syntax_trees(logic.logic.constraints, connection)
    ]
    levers = _levers(session, logic, session.models.values())
    for lever in levers:
        values.setdefault(lever.name, None)
    for model in models.values():
        for name in model.names:
            values.setdefault(name, None)
    return Problem(
        values=values,
        levers=levers,
        models=tuple(models.values()),
        logic=_final(logic, steps),
        derived=derived,
        constraints=tuple(constraints),
        sparsity=SPARSITY,
    )


class _Names:
    """How the names that an expression may write are called in the problem."""

    def __init__(self, session: ReplaySession) -> None:
        features, config = list(session.features), list(session.values)
        self._base: dict[str, str] = {}
        both = {n.lower() for n in features} & {n.lower() for n in config}
        for name in features:
            if name.lower() not in both:
                self._base[name.lower()] = name
            self._base[f"features.{name}".lower()] = name
        for name in config:
            if name.lower() not in both:
                self._base.setdefault(name.lower(), f"{_CONFIG}{name}")
            self._base[f"config.{name}".lower()] = f"{_CONFIG}{name}"

    def written(self, columns: Iterable[str]) -> dict[str, str]:
        """By lower-case name as written, with steps and their ``columns`` before all others."""
        return {**self._base, **{name.lower(): f"{_STEP}{name}" for name in columns}}


def _model(session: ReplaySession, use: ModelUse) -> Model:
    loaded = session.models[use.step]
    description = loaded.description
    assert description is not None  # the session has nothing missing
    link = "identity" if use.kind == "margin" else description.link
    if link not in LINKS:
        raise ReplayError(
            f"Changes cannot be searched for: {description.runtime} does not say how the answer"
            f" of a model for {description.objective} follows from its trees."
        )
    names = tuple(use.column(name) if name in use.features else name for name in loaded.names)
    codes = {
        use.column(name) if name in use.features else name: texts
        for name, texts in loaded.codes().items()
    }
    score = f"{_BARE}{use.step}"
    return Model(loaded.ensemble(), names, loaded.row(), score, loaded.output, link, codes)


def _steps(
    session: ReplaySession, logic: BoundLogic, names: _Names, connection: Connection
) -> tuple[list[tuple[str, Expression]], dict[str, Expression]]:
    """Every step's values in order, and features that the logic computes for models."""
    failed = steps_failed(session.decision)
    found: list[tuple[str, Expression]] = []
    derived: dict[str, Expression] = {}
    columns: list[str] = []

    def read(sqls: Mapping[str, str]) -> dict[str, Expression]:
        trees = syntax_trees(list(sqls.values()), connection)
        return {
            n: condition_of(t, names.written(columns)) for n, t in zip(sqls, trees, strict=True)
        }

    for step in (bound.step for bound in logic.steps):
        name = f"{_STEP}{step.id}"
        if step.id in failed:
            found.append((name, Constant(None)))
        elif step.model is not None:
            use = step.model
            inputs = read({use.column(feature): sql for feature, sql in use.features.items()})
            derived.update(inputs)
            value: Expression = Name(f"{_BARE}{step.id}")
            if step.guard is not None:
                guard = read({"guard": step.guard})["guard"]
                value = Call("case", (guard, value, Constant(None)))
            found.append((name, value))
        elif step.engine is not None:
            everything = (*session.features, *(f"{_STEP}{column}" for column in columns))
            found.append((name, Opaque(everything)))
        else:
            for column, sql in _columns(step).items():
                found.append((f"{_STEP}{column}", read({column: sql})[column]))
                columns.append(column)
        columns.append(step.id)
    return found, derived


def _columns(step: Step) -> dict[str, str]:
    columns = dict(step.helpers)
    if step.choice is not None:
        columns[step.choice_column] = step.choice
    assert step.value is not None
    columns[step.id] = step.value
    return columns


def _final(logic: BoundLogic, steps: list[tuple[str, Expression]]) -> Logic:
    """The logic's last word: which value of which step gives which outcome."""
    step = logic.logic.step(logic.logic.outcome)
    rules: list[tuple[Expression | None, str]] = []
    if step.constant:
        choice = Name(f"{_STEP}{step.choice_column}")
        for number, rule in enumerate(step.rules):
            outcome = as_outcome(rule.outcome)
            if outcome is not None:
                rules.append((Call("=", (choice, Constant(float(number)))), outcome))
    else:
        value = Name(f"{_STEP}{step.id}")
        own = dict(steps)[value.name]
        texts = {n.value for n in walk(own) if isinstance(n, Constant) and isinstance(n.value, str)}
        for text in sorted(texts):
            rules.append((Call("=", (value, Constant(text))), text))
    return Logic(tuple(rules), tuple(steps))


def _levers(
    session: ReplaySession, logic: BoundLogic, models: Iterable[LoadedModel]
) -> tuple[Lever, ...]:
    declared = logic.logic.levers
    features = session.decision.features
    if declared:
        found = [_declared(n, lever, features.get(n)) for n, lever in declared.items()
                 if n in features]  # fmt: skip
        return tuple(lever for lever in found if lever is not None)
    cuts: dict[str, set[float]] = {}
    for model in models:
        if model.description is None:
            continue
        texts = {*model.description.texts, *model.description.categorical}
        for at, (name, points) in enumerate(zip(model.names, model.description.cuts, strict=False)):
            if at not in texts and name in features and points:
                cuts.setdefault(name, set()).update(points)
    undeclared = (_of_cuts(name, sorted(points), features[name]) for name, points in cuts.items())
    return tuple(lever for lever in undeclared if lever is not None)


def _declared(name: str, lever: Declared, value: Any) -> Lever | None:
    """A lever as the search knows it; None where its feature has a value of another kind."""
    if lever.values is not None:
        kinds = {isinstance(choice, str) for choice in lever.values}
        if value is not None and {isinstance(value, str)} != kinds:
            return None
        scale = lever.scale or 1.0
        return Lever(name, categories=lever.values, weight=lever.cost, scale=scale)
    if value is not None and current_number(value) is None:
        return None
    return Lever(
        name,
        low=lever.min,
        step=lever.step,
        last=floor((lever.max - lever.min) / lever.step + 1e-9),
        digits=max(_decimals(lever.min), _decimals(lever.step)),
        direction=lever.direction,
        integer=(lever.integer or isinstance(value, int)) and _whole(lever.min, lever.step),
        weight=lever.cost,
        scale=lever.scale or lever.max - lever.min,
    )


def _of_cuts(name: str, points: list[float], value: Any) -> Lever | None:
    """The range of the models' cut points, a step wider at both ends so that each side counts."""
    if current_number(value) is None:
        return None
    low, high = points[0], points[-1]
    scale = _deviation(points)
    if isinstance(value, int):
        first = floor(low) - 1
        last = floor(high) + 2 - first
        return Lever(name, low=first, step=1.0, last=last, integer=True, scale=scale)
    extent = max(high - low, abs(high) * 0.01, 1e-6)
    step = 10.0 ** floor(log10(extent / 100))
    first_step, last_step = floor(low / step) - 1, floor(high / step) + 2
    return Lever(
        name,
        low=round(first_step * step, 12),
        step=step,
        last=last_step - first_step,
        digits=_decimals(step),
        scale=scale,
    )


def _deviation(points: list[float]) -> float:
    """Median absolute deviation of the cut points, or their extent, or their size, or 1."""
    middle = points[len(points) // 2]
    deviations = sorted(abs(point - middle) for point in points)
    return deviations[len(points) // 2] or points[-1] - points[0] or abs(middle) or 1.0


def current_number(value: Any) -> float | None:
    """A feature's value as a finite number, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _decimals(value: float) -> int:
    """Decimals that the shortest text of ``value`` has."""
    digits, _, exponent = repr(value).partition("e")
    fraction = digits.partition(".")[2].rstrip("0")
    return max(0, len(fraction) - int(exponent or 0))


def _whole(*values: float) -> bool:
    return all(value == floor(value) for value in values)
