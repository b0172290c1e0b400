"""Features of models that follow levers, such as a ratio of two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from forensics.explain.search.arrays import Floats, Ints
from forensics.explain.search.axes import ZERO, rounded
from forensics.explain.search.leaves import Side
from forensics.explain.search.logic import Judge
from forensics.explain.search.problem import Model
from forensics.replay.ensemble import MISSING_IS_ZERO_OR_NAN

#: Stands for infinity where infinities would cancel: no margin that matters is near it.
_ENDLESS = 1e15


class Follower(NamedTuple):
    """One such feature.

    Attributes:
        model: whose feature it is.
        name: of the feature.
        null: whether it can be NULL, which is its first cell then.
        cuts: between its other cells: those of the model that it can be on both sides of.
        below: a value of the first cell, where the model takes a cut to be above it.
        above: a value of the last cell, where the model takes a cut to be below it.
        coefficients: by output.
    """

    model: int
    name: str
    null: bool
    cuts: Floats
    below: Floats
    above: Floats
    coefficients: Floats

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.cuts) + 1 + self.null


class Followers:
    """All of them, and where they are while levers are within boxes.

    Args:
        models: whose features they are.
        judge: which knows how they follow.
        first: the levers' first positions, in one row.
        last: their last.
    """

    def __init__(self, models: Sequence[Model], judge: Judge, first: Ints, last: Ints) -> None:
        self._models = models
        self._judge = judge
        self.all = [
            _follower(at, model, position, judge, (first, last))
            for at, model in enumerate(models)
            for position, name in enumerate(model.names)
            if name in judge.derived
        ]

    def __bool__(self) -> bool:
        return bool(self.all)

    def sides(self, number: int) -> list[Side | None]:
        """Each as one model sees it; None where it is no feature of it."""
        model = self._models[number]
        found: list[Side | None] = []
        for follower in self.all:
            if follower.model != number:
                found.append(None)
                continue
            nothing = np.full(int(follower.null), np.nan)
            ends = [nothing, follower.below, follower.cuts, follower.above]
            found.append(Side(model.names.index(follower.name), np.concatenate(ends)))
        return found

    def cells(self, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """By box and follower, its first and last cell."""
        first = np.zeros((len(low), len(self.all)), dtype=np.int64)
        last = first.copy()
        for at, follower in enumerate(self.all):
            model = self._models[follower.model]
            value = self._judge.number(follower.name, low, high)
            ends = [
                follower.null + _place(model, follower.cuts, np.broadcast_to(end, len(low)))
                for end in (value.low, value.high)
            ]
            if follower.null:
                ends[0] = np.where(value.null | ~value.value, 0, ends[0])
                ends[1] = np.where(value.value, ends[1], 0)
            first[:, at], last[:, at] = ends
        return first, last

    def linear(self, low: Ints, high: Ints, number: int, output: int) -> tuple[Floats, Floats]:
        """By box, the least and the most that coefficients of one model's output add."""
        least, most = np.zeros(len(low)), np.zeros(len(low))
        for follower in self.all:
            coefficient = follower.coefficients[output] if follower.model == number else 0.0
            if coefficient == 0.0:
                continue
            value = self._judge.number(follower.name, low, high)
            # A missing value counts as 0 in a sum.
            zero = np.where(value.null, 0.0, np.nan)
            below = np.where(value.value, np.fmin(value.low, zero), 0.0)
            above = np.where(value.value, np.fmax(value.high, zero), 0.0)
            ends = (
                coefficient * np.clip(below, -_ENDLESS, _ENDLESS),
                coefficient * np.clip(above, -_ENDLESS, _ENDLESS),
            )
            least += np.minimum(*ends)
            most += np.maximum(*ends)
        return least, most


def _place(model: Model, cuts: Floats, values: Floats) -> Ints:
    """Between which cuts a model takes each value to be."""
    side: Literal["left", "right"] = "right" if model.ensemble.below else "left"
    return np.asarray(np.searchsorted(cuts, rounded(model, values), side=side))


def _follower(
    number: int, model: Model, position: int, judge: Judge, whole: tuple[Ints, Ints]
) -> Follower:
    ensemble, name = model.ensemble, model.names[position]
    mine = np.asarray(ensemble.feature) == position
    cuts = np.asarray(ensemble.threshold)[mine]
    if (np.asarray(ensemble.missing)[mine] == MISSING_IS_ZERO_OR_NAN).any():
        ends = (-ZERO, np.nextafter(ZERO, 1)), (np.nextafter(-ZERO, -1), ZERO)
        cuts = np.append(cuts, ends[0] if ensemble.below else ends[1])
    coefficients = np.asarray(ensemble.coefficients)[position :: len(model.names)]
    if not len(coefficients):
        coefficients = np.zeros(len(ensemble.base))
    cuts = np.unique(cuts)
    reach = judge.number(name, *whole)
    null = bool(np.any(reach.null) or not np.all(reach.value))
    first, last = (int(_place(model, cuts, np.reshape(end, -1)[:1])[0])
                   for end in (reach.low, reach.high))  # fmt: skip
    every = np.concatenate([[-np.inf], cuts, [np.inf]])
    # What stands for the first cell, where values below a cut go left, or for the last one.
    below, above = every[first : first + 1], every[last + 1 : last + 2]
    below, above = (below, above[:0]) if ensemble.below else (below[:0], above)
    return Follower(number, name, null, cuts[first:last], below, above, coefficients)
