"""What is searched and what is found: the nouns of the counterfactual search, without numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from forensics.errors import UsageError
from forensics.explain.search.conditions import Expression
from forensics.replay.ensemble import Ensemble

OPTIMAL, GAP, NONE_EXISTS, NONE_FOUND = "optimal", "gap", "none_exists", "none_found"
LINKS = ("identity", "logit", "log", "softmax")
DIRECTIONS = ("any", "up", "down")

#: Runs the whole decision for real, once for each setting of levers; None where it cannot be run.
Verify = Callable[[Sequence[Mapping[str, Any]]], Sequence[str | None]]


class Lever(NamedTuple):
    """A feature that may change, to which values, and what that costs.

    A numeric lever takes ``low + k * step`` for k from 0 to ``last``, rounded to ``digits``
    decimals, or keeps its current value. It costs ``weight * |new - old| / scale``; a lever without
    a current value costs ``weight`` once set, and cannot be where it has a direction. A lever with
    ``categories`` takes one of them, which may be texts or numbers, for ``weight``.
    """

    name: str
    low: float = 0.0
    step: float = 1.0
    last: int = 0
    digits: int = 0
    direction: str = "any"
    integer: bool = False
    categories: tuple[Any, ...] = ()
    weight: float = 1.0
    scale: float = 1.0


class Model(NamedTuple):
    """A model with the row that the decision gave it.

    Attributes:
        ensemble: its trees and coefficients.
        names: of its features, in its order; levers and derived features are found by them.
        row: its recorded features in that order, NaN where missing.
        score: the name by which the logic knows its value.
        output: which of its outputs that is.
        link: how the margin becomes the value: one of :data:`LINKS`.
        codes: by feature that is a text to the decision, the number that the model has for it.
    """

    ensemble: Ensemble
    names: tuple[str, ...]
    row: Sequence[float]
    score: str = "score"
    output: int = 0
    link: str = "identity"
    codes: Mapping[str, Mapping[str, float]] = {}


class Logic(NamedTuple):
    """How scores and features become an outcome.

    ``steps`` name intermediate values in order (a calibrated score, a band); a later one may use
    and replace an earlier one. Then the first of ``rules`` whose condition is true decides; a
    condition of None always is.
    """

    rules: tuple[tuple[Expression | None, str], ...]
    steps: tuple[tuple[str, Expression], ...] = ()


class Problem(NamedTuple):
    """One decision and what about it may be changed.

    Attributes:
        values: by name, every feature and configuration value that expressions use, levers with
            their current values included: numbers, texts, booleans or None.
        levers: what may change.
        models: what scores the decision; may be none.
        logic: how the outcome follows.
        derived: features that follow others, by name.
        constraints: conditions that every answer must fulfil.
        sparsity: what each changed lever costs in addition.
    """

    values: Mapping[str, Any]
    levers: tuple[Lever, ...]
    models: tuple[Model, ...]
    logic: Logic
    derived: Mapping[str, Expression] = {}
    constraints: tuple[Expression, ...] = ()
    sparsity: float = 0.0


class Range(NamedTuple):
    """Values of one changed lever for which the outcome holds.

    Every combination of values within the ranges of one answer gives its outcome. ``near`` is the
    answer's own value and ``far`` the other end, away from the current value; ``ended`` says that
    the lever's own grid ends there. For categories they are all in ``choices``.
    """

    near: Any
    far: Any
    ended: bool
    choices: tuple[Any, ...] = ()


class Answer(NamedTuple):
    """New values of some levers after which the outcome is another, and what they cost."""

    changes: Mapping[str, Any]
    ranges: Mapping[str, Range]
    outcome: str | None
    cost: float


class Found(NamedTuple):
    """What a search found.

    Attributes:
        answers: cheapest first, with different sets of levers.
        status: ``optimal`` when no cheaper change exists than the first answer, ``gap`` when that
            is not proven, ``none_exists`` when no change does, ``none_found`` when that is not
            proven. Proofs hold for changes that give the outcome with the score off by 1e-6 of 1
            or of its size, whichever is more.
        lower_bound: no answer can cost less; None where nothing at all is known.
        nodes: boxes of the search space that were looked at.
        units: of work that it took, see :mod:`effort`.
        refused: answers by bounds that the real decision did not confirm; none is among them.
        cut_short: whether the clock ended the search before its work was done.
    """

    answers: tuple[Answer, ...]
    status: str
    lower_bound: float | None
    nodes: int
    units: int
    refused: int
    cut_short: bool = False


def check(problem: Problem) -> None:
    """Makes sure that the problem can be searched.

    Raises:
        UsageError: when levers contradict themselves or each other, or a name is missing.
    """
    seen: set[str] = set()
    for lever in problem.levers:
        for wrong, why in _faults(lever):
            if wrong:
                raise UsageError(f"Lever {lever.name} cannot be searched: {why}.")
        if lever.name in seen:
            raise UsageError(f"Lever {lever.name} is declared twice.")
        if lever.name in problem.derived:
            raise UsageError(
                f"Lever {lever.name} cannot be searched: it is derived from other features.",
                "A derived feature follows the others.",
                "Make those levers instead.",
            )
        if lever.name not in problem.values:
            raise UsageError(
                f"Lever {lever.name} cannot be searched: the decision has no such feature."
            )
        seen.add(lever.name)
    if not (isfinite(problem.sparsity) and problem.sparsity >= 0):
        raise UsageError("The cost of each changed lever must be a number of 0 or more.")
    for model in problem.models:
        if model.link not in LINKS:
            raise UsageError(
                f"Link {model.link!r} of {model.score} is not one of {', '.join(LINKS)}."
            )
        if len(model.names) != len(model.row):
            raise UsageError(
                f"The model of {model.score} has {len(model.names)} features and a row of "
                f"{len(model.row)}."
            )


def _faults(lever: Lever) -> tuple[tuple[bool, str], ...]:
    numbers = (lever.low, lever.step, lever.weight, lever.scale)
    if not all(isfinite(number) for number in numbers):
        return ((True, "a number of it is not finite"),)
    grid = not lever.categories
    return (
        (
            lever.direction not in DIRECTIONS,
            f"direction {lever.direction!r} is not any, up or down",
        ),
        (lever.weight <= 0, "its weight is not above 0"),
        (lever.scale <= 0, "its scale is not above 0"),
        (grid and lever.step <= 0, "its step is not above 0"),
        (grid and lever.last < 0, "its grid has no value"),
        (grid and lever.integer and lever.step % 1 != 0, f"whole numbers with step {lever.step:g}"),
        (grid and lever.integer and lever.low % 1 != 0, f"whole numbers from {lever.low:g}"),
        (not grid and lever.direction != "any", "categories have no direction"),
        (len(set(lever.categories)) != len(lever.categories), "a category occurs twice"),
        (
            len({isinstance(value, str) for value in lever.categories}) > 1,
            "its categories are both texts and numbers",
        ),
    )
