"""From margins to scores and back, and for which margins the outcome can be a wanted one.

Margins are what trees and coefficients add up to; the logic sees scores, their link's values. The
conditions on scores cut each score into bands, within which they answer alike. A case is a box of
margins, made of bands in which the logic allows a wanted outcome: outside of cases there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import Flags, Floats
from forensics.explain.search.logic import Judge
from forensics.explain.search.problem import Model
from forensics.explain.search.scenes import Box
from forensics.explain.search.turns import SCORE_MARGIN, leeway

_BANDS_MAX = 512


class Case(NamedTuple):
    """Margins between which the outcome may be a wanted one."""

    low: Floats
    high: Floats


class Scores:
    """The scores of some models as functions of their margins.

    Attributes:
        margins: by margin, its model and which of that model's outputs it is.
        of_score: by score, the margins that it depends on.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = models
        self.margins: list[tuple[int, int]] = []
        self.of_score: list[list[int]] = []
        for at, model in enumerate(models):
            outputs = range(len(model.ensemble.base)) if model.link == "softmax" else [model.output]
            self.of_score.append(list(range(len(self.margins), len(self.margins) + len(outputs))))
            self.margins.extend((at, output) for output in outputs)

    def over(self, low: Floats, high: Floats, off: float = 0.0) -> tuple[Floats, Floats]:
        """Ranges of scores, by row and score, from ranges of margins.

        Args:
            low: by row and margin.
            high: likewise.
            off: by how many times :data:`SCORE_MARGIN` each range is made wider at both ends.
        """
        shape = (len(low), len(self.models))
        below, above = np.empty(shape), np.empty(shape)
        for score, own in enumerate(self.of_score):
            model = self.models[score]
            if model.link == "softmax":
                below[:, score] = _softmax(low[:, own], high[:, own], model.output)
                above[:, score] = _softmax(high[:, own], low[:, own], model.output)
            else:
                below[:, score] = _value(model.link, low[:, own[0]])
                above[:, score] = _value(model.link, high[:, own[0]])
        if off:
            below, above = below - off * leeway(below), above + off * leeway(above)
        return below, above

    def shifted(self, low: Floats, high: Floats, by: float) -> tuple[Floats, Floats]:
        """Ranges of scores with both ends moved by so many times :data:`SCORE_MARGIN`."""
        below, above = self.over(low, high)
        return below + by * leeway(below), above + by * leeway(above)

    def cases(self, judge: Judge, low: Floats, high: Floats, box: Box) -> list[Case]:
        """Boxes of margins that together hold every margin with which an answer is possible.

        Args:
            judge: the logic.
            low: the least that each margin can be.
            high: the most.
            box: one row, all that the levers can be.
        """
        bands = [self._bands(judge, score, low, high) for score in range(len(self.models))]
        while np.prod([len(each) for each in bands], dtype=float) > _BANDS_MAX:
            longest = max(range(len(bands)), key=lambda at: len(bands[at]))
            bands[longest] = [(bands[longest][0][0], bands[longest][-1][1])]
        combinations = list(product(*(range(len(each)) for each in bands)))
        count = len(combinations)
        below, above = np.empty((count, len(bands))), np.empty((count, len(bands)))
        for score, own in enumerate(bands):
            ends = np.array(own)
            chosen = [combination[score] for combination in combinations]
            below[:, score], above[:, score] = ends[chosen, 0], ends[chosen, 1]
        whole = Box(np.repeat(box.low, count, 0), np.repeat(box.high, count, 0), below, above)
        possible, _ = judge.verdict(whole)
        shape = [len(each) for each in bands]
        if not shape:
            return [self._case(bands, (), (), low, high)] if possible.all() else []
        found = []
        for first, last in _covering(possible.reshape(shape)):
            found.append(self._case(bands, first, last, low, high))
        return found

    def _case(
        self, bands: list[list[tuple[float, float]]], first: Sequence[int], last: Sequence[int],
        low: Floats, high: Floats,
    ) -> Case:  # fmt: skip
        below, above = np.full(len(self.margins), -np.inf), np.full(len(self.margins), np.inf)
        for score, own in enumerate(self.of_score):
            model = self.models[score]
            if model.link == "softmax":
                continue
            (margin,) = own
            if first[score] > 0:
                below[margin] = _margin(model.link, _inward(bands[score], first[score], 1))
            if last[score] < len(bands[score]) - 1:
                above[margin] = _margin(model.link, _inward(bands[score], last[score], -1))
        # Beyond what is reached there is nothing to keep away from.
        below[below <= low] = -np.inf
        above[above >= high] = np.inf
        return Case(below, above)

    def _bands(
        self, judge: Judge, score: int, low: Floats, high: Floats
    ) -> list[tuple[float, float]]:
        """Ranges of one score within which the conditions on it alone answer alike."""
        below, above = self.over(low[None, :], high[None, :])
        ends = float(below[0, score]), float(above[0, score])
        changes: list[tuple[float, float]] = []
        if self.models[score].link != "softmax":
            for atom in judge.score_atoms:
                if atom.score == score:
                    changes += [(a, b) for a, b in atom.turns if a < ends[1] and b > ends[0]]
        edges = [ends[0]]
        for a, b in sorted(changes):
            if a > edges[-1] or len(edges) == 1:
                edges += [a, b]
            else:
                edges[-1] = max(edges[-1], b)
        edges.append(ends[1])
        found = list(zip(edges[::2], edges[1::2], strict=True))
        return [(min(a, b), max(a, b)) for a, b in found]


def _inward(bands: Sequence[tuple[float, float]], at: int, sign: int) -> float:
    """A band's lower (1) or upper (-1) edge, moved in by what a flip must bear.

    That is less a little for rounding, and from the far side of the turn, which may lie anywhere
    between the bands.
    """
    own = bands[at][0] if sign > 0 else bands[at][1]
    other = bands[at - 1][1] if sign > 0 else bands[at + 1][0]
    moved = other + sign * (1 - 1e-3) * SCORE_MARGIN * max(1.0, abs(other))
    return max(own, moved) if sign > 0 else min(own, moved)


def _covering(possible: Flags) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Boxes of cells, as large as they grow, that hold all the possible ones and no other."""
    left = possible.copy()
    found = []
    while left.any():
        seed = tuple(int(at[0]) for at in np.nonzero(left))
        first, last = list(seed), list(seed)
        for axis in range(possible.ndim):
            for ends, step in ((first, -1), (last, 1)):
                while 0 <= ends[axis] + step < possible.shape[axis]:
                    part = [slice(a, b + 1) for a, b in zip(first, last, strict=True)]
                    part[axis] = slice(ends[axis] + step, ends[axis] + step + 1)
                    if not possible[tuple(part)].all():
                        break
                    ends[axis] += step
        left[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = False
        found.append((tuple(first), tuple(last)))
    return found


def _value(link: str, margin: Floats) -> Floats:
    with np.errstate(over="ignore"):
        if link == "logit":
            return np.asarray(1.0 / (1.0 + np.exp(-margin)))
        return np.asarray(np.exp(margin)) if link == "log" else margin


def _margin(link: str, score: float) -> float:
    """The margin of a score, in digits that every machine's logarithm agrees on."""
    return float(f"{_exact_margin(link, score):.12g}")


def _exact_margin(link: str, score: float) -> float:
    if link == "logit":
        if score <= 0.0 or score >= 1.0:
            return float("-inf") if score <= 0.0 else float("inf")
        return float(np.log(score) - np.log1p(-score))
    if link == "log":
        return float(np.log(score)) if score > 0 else float("-inf")
    return score


def _softmax(own: Floats, others: Floats, output: int) -> Floats:
    """The share of one output: its own margin from ``own``, those of the rest from ``others``."""
    with np.errstate(over="ignore"):
        shares = np.exp(others - own[:, output : output + 1])
    shares[:, output] = 1.0
    found: Floats = 1.0 / shares.sum(axis=1)
    return found
