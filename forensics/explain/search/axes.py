"""The values that each lever may take, and the cells between which a model or a rule can tell them.

A lever's axis is a row of positions: its possible values in ascending order (a missing one first),
the current one among them. Ints that no model and no rule tells apart form a cell. Where only
cells matter, each keeps one position, the one nearest to the current value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forensics.errors import UsageError
from forensics.explain.search.arrays import Flags, Floats, Ints, distinct, spans
from forensics.explain.search.conditions import Expression, names_of
from forensics.explain.search.problem import Lever, Model, Problem
from forensics.replay.ensemble import MISSING_IS_ZERO, MISSING_IS_ZERO_OR_NAN

#: A longer grid is only looked at around the models' cut points.
_WHOLE_GRID_MAX = 1 << 17
#: A lever that conditions or coefficients look at is searched value by value.
_LINKED_GRID_MAX, _LINEAR_GRID_MAX = 1 << 20, 1 << 18
#: A linked lever's values are grouped in about so many parts for bounds.
_PARTS = 64
#: LightGBM's zero.
ZERO = 1e-35


@dataclass(slots=True)
class Axis:
    """One lever's positions.

    Attributes:
        lever: as declared.
        values: by position, what expressions see; a text's rank among all texts; NaN for NULL.
        inputs: by model, by position, what the model is given.
        steps: by position, k on the lever's grid, or which category; -1 for the current value.
        cost: by position, 0 at the current one.
        current: position of the current value.
        null: whether the first position is NULL.
        cells: by position, its cell, ascending from 0.
        first: by position, where its cell begins on the ``whole`` axis.
        last: by position, where it ends there.
        whole: the axis before cells were reduced to one position each; None if they were not.
    """

    lever: Lever
    values: Floats
    inputs: list[Floats]
    steps: Ints
    cost: Floats
    current: int
    null: bool
    cells: Ints
    first: Ints
    last: Ints
    whole: Axis | None = None

    @property
    def size(self) -> int:
        """Number of positions."""
        return len(self.values)

    def raw(self, position: int) -> Any:
        """The value at a position as a record would hold it."""
        step = int(self.steps[position])
        if self.lever.categories:
            return self.lever.categories[step]
        value = round(float(self.values[position]), self.lever.digits)
        return int(value) if self.lever.integer else value


def axes_of(problem: Problem, ranks: Mapping[str, int]) -> list[Axis]:
    """An axis for each lever, every value a cell of its own.

    Args:
        problem: with its levers checked.
        ranks: of every text that can occur, in the order in which SQL compares them.

    Raises:
        UsageError: when a category is unknown to a model, or a value has the wrong type.
    """
    return [_axis(problem, lever, ranks) for lever in problem.levers]


def _axis(problem: Problem, lever: Lever, ranks: Mapping[str, int]) -> Axis:
    current = problem.values[lever.name]
    if lever.categories:
        values, steps, at, raws = _choices(lever, current, ranks)
    else:
        values, steps, at, raws = _grid(problem, lever, current)
    null = bool(np.isnan(values[0]))
    if lever.categories or null:
        cost = np.full(len(values), lever.weight)
    else:
        cost = lever.weight * np.abs(values - values[at]) / lever.scale
    cost = cost + problem.sparsity
    cost[at] = 0.0
    inputs = [_inputs(model, lever, values, raws) for model in problem.models]
    every = np.arange(len(values))
    return Axis(lever, values, inputs, steps, cost, at, null, every, every, every)


def _choices(
    lever: Lever, current: Any, ranks: Mapping[str, int]
) -> tuple[Floats, Ints, int, list[Any]]:
    texts = isinstance(lever.categories[0], str)
    if current is not None and isinstance(current, str) != texts:
        raise UsageError(
            f"Lever {lever.name} has categories of another type than its value {current!r}."
        )

    def seen(raw: Any) -> float:
        return float("nan") if raw is None else float(ranks[raw] if texts else raw)

    pairs = [(seen(raw), at, raw) for at, raw in enumerate(lever.categories) if raw != current]
    pairs = [*sorted(pairs, key=lambda pair: pair[0])]
    now = seen(current)
    place = 0 if np.isnan(now) else sum(value < now for value, _, _ in pairs)
    pairs.insert(place, (now, -1, current))
    return (
        np.array([value for value, _, _ in pairs]),
        np.array([at for _, at, _ in pairs], dtype=np.int64),
        place,
        [raw for _, _, raw in pairs],
    )


def _grid(problem: Problem, lever: Lever, current: Any) -> tuple[Floats, Ints, int, list[Any]]:
    if isinstance(current, str):
        raise UsageError(f"Lever {lever.name} is a number and its value {current!r} is not.")
    now = float("nan") if current is None else float(current)
    steps = np.arange(lever.last + 1) if lever.last < _WHOLE_GRID_MAX else _around(problem, lever)
    values = grid_values(lever, steps)
    if np.isnan(now):
        # Nothing is known to be above or below a value that is missing.
        kept = np.full(len(values), lever.direction == "any")
        return np.append(now, values[kept]), np.append(-1, steps[kept]), 0, [None]
    if lever.direction == "up":
        kept = values > now
    elif lever.direction == "down":
        kept = values < now
    else:
        kept = values != now
    values, steps = values[kept], steps[kept]
    place = int(np.searchsorted(values, now))
    return np.insert(values, place, now), np.insert(steps, place, -1), place, []


def grid_values(lever: Lever, steps: Ints) -> Floats:
    """The grid's values, each the double nearest to its decimal text."""
    values: Floats = np.round(lever.low + steps * lever.step, lever.digits) + 0.0
    return values


def _around(problem: Problem, lever: Lever) -> Ints:
    """The grid's ends, and its values beside each cut point and the current value."""
    linear = any(
        len(model.ensemble.coefficients) > 0 and lever.name in model.names
        for model in problem.models
    )
    if linear or _is_used(problem, lever.name):
        most = _LINEAR_GRID_MAX if linear else _LINKED_GRID_MAX
        if lever.last >= most:
            raise UsageError(
                f"Lever {lever.name} has {lever.last + 1:,} values, each of which may matter.",
                f"At most {most:,} can be searched where a condition or a coefficient uses them.",
                "Give it a larger step.",
            )
        return np.arange(lever.last + 1)
    points = [float(problem.values[lever.name] or 0.0)]
    for model in problem.models:
        ensemble = model.ensemble
        for at, name in enumerate(model.names):
            if name == lever.name:
                mine = np.asarray(ensemble.feature) == at
                points.extend(np.asarray(ensemble.threshold, dtype=np.float64)[mine])
    found = np.array([point for point in points if np.isfinite(point)])
    nearest = np.floor((found - lever.low) / lever.step)
    # Values a model rounds to float32 may cross a cut point that is some steps away.
    reach = max(2, int(np.ceil(2.0**-23 * np.abs(found).max(initial=1.0) / lever.step)) + 1)
    around = (nearest[:, None] + np.arange(-reach, reach + 2)).ravel()
    inside = np.clip(np.concatenate([around, [0, lever.last]]), 0, lever.last)
    return distinct(inside.astype(np.int64))


def _is_used(problem: Problem, name: str) -> bool:
    """Whether an expression uses the name."""
    logic = problem.logic
    expressions: list[Expression | None] = [condition for condition, _ in logic.rules]
    expressions += [step for _, step in logic.steps]
    expressions += [*problem.derived.values(), *problem.constraints]
    return any(name in names_of(expression) for expression in expressions)


def _inputs(model: Model, lever: Lever, values: Floats, raws: Sequence[Any]) -> Floats:
    codes = model.codes.get(lever.name)
    if lever.name not in model.names:
        return values
    if codes is None:
        if lever.categories and isinstance(lever.categories[0], str):
            raise UsageError(
                f"The model of {model.score} has no number for the texts of {lever.name}."
            )
        return rounded(model, values)
    recorded = model.row[model.names.index(lever.name)]
    unknown = [raw for raw in lever.categories if raw not in codes]
    if unknown:
        raise UsageError(
            f"Lever {lever.name} has a category that the model of {model.score} does not know: "
            f"{unknown[0]!r}."
        )
    return np.array([float(codes.get(raw, recorded)) for raw in raws])


def rounded(model: Model, values: Floats) -> Floats:
    """Values as the model compares them."""
    if model.ensemble.dtype == "f":
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float64)
    return values


def is_missing(model_missing: Ints, values: Floats) -> Flags:
    """Whether a node takes a value for missing; shapes are broadcast."""
    nothing = np.isnan(values)
    near_zero = np.abs(np.where(nothing, 1.0, values)) <= ZERO
    missing: Flags = (nothing & (model_missing != MISSING_IS_ZERO)) | (
        near_zero & (model_missing == MISSING_IS_ZERO_OR_NAN)
    )
    return missing


def with_cells(axis: Axis, keys: Sequence[npt.NDArray[Any]], linked_: bool) -> Axis:
    """The axis with cells: positions are apart where any of ``keys`` differs from the one before.

    Args:
        axis: every position of it a cell.
        keys: by position, anything that tells positions apart.
        linked_: whether positions within a cell must stay, grouped in some parts; otherwise each
            cell keeps its cheapest position.
    """
    apart = np.zeros(axis.size, dtype=np.bool_)
    for key in keys:
        apart[1:] |= key[1:] != key[:-1]
    if axis.null:
        apart[1:2] = True
    if linked_:
        apart[:: max(1, -(-axis.size // _PARTS))] = True
    apart[0] = False
    cells = np.cumsum(apart, dtype=np.int64)
    starts, ends = spans(cells)
    if linked_:
        return Axis(
            axis.lever, axis.values, axis.inputs, axis.steps, axis.cost, axis.current, axis.null,
            cells, axis.first, axis.last,
        )  # fmt: skip
    # Costs fall towards the current value and rise beyond it.
    chosen = np.clip(axis.current, starts, ends)
    return Axis(
        axis.lever, axis.values[chosen], [given[chosen] for given in axis.inputs],
        axis.steps[chosen], axis.cost[chosen], int(cells[axis.current]), axis.null,
        np.arange(len(starts)), starts, ends, axis,
    )  # fmt: skip


def sides_of_cuts(axis: Axis, model: Model, number: int) -> list[Ints | Flags]:
    """By position, numbers that differ wherever some node of the model tells positions apart."""
    if axis.lever.name not in model.names:
        return []
    ensemble = model.ensemble
    at = model.names.index(axis.lever.name)
    nodes = np.flatnonzero(np.asarray(ensemble.feature) == at)
    given = axis.inputs[number]
    cuts = distinct(np.asarray(ensemble.threshold)[nodes])
    known = np.where(np.isnan(given), -np.inf, given)
    found: list[Any] = [np.searchsorted(cuts, known, side="right" if ensemble.below else "left")]
    if (np.asarray(ensemble.missing)[nodes] == MISSING_IS_ZERO_OR_NAN).any():
        found.append(np.abs(known) <= ZERO)
    mine = nodes if ensemble.sets else nodes[:0]
    sets = [ensemble.sets[int(node)] for node in mine if int(node) in ensemble.sets]
    if sets:
        member = np.stack([np.isin(given, list(members)) for members in sets])
        found.append(np.unique(member, axis=1, return_inverse=True)[1].ravel())
    return found
