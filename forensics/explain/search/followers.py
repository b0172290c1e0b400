"""Features of models that follow levers, such as a ratio of two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from forensics.explain.search.arrays import Floats, Ints, distinct, in_some, places_of
from forensics.explain.search.axes import ZERO, rounded
from forensics.explain.search.leaves import Side
from forensics.explain.search.logic import Judge
from forensics.explain.search.problem import Model
from forensics.replay.ensemble import MISSING_IS_ZERO_OR_NAN

#: Stands for infinity where infinities would cancel: no margin that matters is near it.
_ENDLESS = 1e15
#: Levers that a follower may follow where levers' boxes tell its cells; boxes for that; and after
#: how many of them some must tell anything.
_COUPLED_MAX, _COUPLINGS_MAX, _COUPLINGS_TELL = 3, 1024, 32


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

    def parted(
        self, at: int, ends: Sequence[tuple[Ints, Ints]], spend: Callable[[int], None]
    ) -> tuple[Ints, Ints] | None:
        """Boxes of the levers' cells, parted until a follower is in few cells within each.

        Args:
            at: which follower.
            ends: by lever, the first and last position of each cell.
            spend: is told of how many boxes the follower is asked.

        Returns:
            first and last cells by box and axis, levers before followers; None where the levers'
            cells do not say where it is, or it follows too many.
        """
        follower, axis = self.all[at], len(ends) + at
        levers = sorted(self._judge.derived[follower.name].levers)
        if follower.cells == 1 or not 0 < len(levers) <= _COUPLED_MAX:
            return None
        sizes = [len(starts) for starts, _ in ends] + [each.cells for each in self.all]
        low = np.zeros((1, len(sizes)), dtype=np.int32)
        high = np.array([sizes], dtype=np.int32) - 1
        while True:
            first, last = (
                np.stack([own[side][cells[:, lever]] for lever, own in enumerate(ends)], axis=1)
                for side, cells in enumerate((low, high))
            )
            spend(len(low))
            begin, end = self.cells(first, last)
            low[:, axis], high[:, axis] = begin[:, at], end[:, at]
            open_ = low[:, axis] < high[:, axis]
            if len(low) >= _COUPLINGS_TELL and (high - low)[:, axis].min() == follower.cells - 1:
                return None
            width = (high - low)[:, levers]
            wide = places_of(open_ & in_some(width > 0))
            if not len(wide) or len(low) + len(wide) > _COUPLINGS_MAX:
                return low, high
            # Halved along the lever of which it has most cells.
            lever = np.array(levers)[width[wide].argmax(axis=1)]
            middle = (low[wide, lever] + high[wide, lever]) // 2
            more_low, more_high = low[wide].copy(), high[wide].copy()
            more_low[np.arange(len(wide)), lever] = middle + 1
            high[wide, lever] = middle
            low, high = np.concatenate([low, more_low]), np.concatenate([high, more_high])

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
    cuts = distinct(cuts)
    reach = judge.number(name, *whole)
    null = bool(np.any(reach.null) or not np.all(reach.value))
    first, last = (int(_place(model, cuts, np.reshape(end, -1)[:1])[0])
                   for end in (reach.low, reach.high))  # fmt: skip
    every = np.concatenate([[-np.inf], cuts, [np.inf]])
    # What stands for the first cell, where values below a cut go left, or for the last one.
    below, above = every[first : first + 1], every[last + 1 : last + 2]
    below, above = (below, above[:0]) if ensemble.below else (below[:0], above)
    return Follower(number, name, null, cuts[first:last], below, above, coefficients)
