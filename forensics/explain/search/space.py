"""One decision as a space to search: its levers' axes, its models as boxes, its logic, its scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from forensics.explain.search.axes import ZERO, Axis, axes_of, is_missing, rounded, with_cells
from forensics.explain.search.boxes import Boxes, Cells, Ints, Line, joined, narrowed, tidied
from forensics.explain.search.intervals import Flags, Floats
from forensics.explain.search.leaves import Leaves, Side, reachable
from forensics.explain.search.logic import Box, Judge, texts_of
from forensics.explain.search.problem import Model, Problem
from forensics.explain.search.scores import Case, Scores
from forensics.replay.ensemble import MISSING_IS_ZERO_OR_NAN

_CHUNK = 64
_PROPAGATIONS = 4
#: Stands for infinity where infinities would cancel: no margin that matters is near it.
_ENDLESS = 1e15


class Follower(NamedTuple):
    """A model's feature that follows levers: by its cuts, cell 0 being NULL, and its coefficients."""

    model: int
    name: str
    cuts: Floats
    coefficients: Floats

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.cuts) + 2


class Region(NamedTuple):
    """A case with the positions of each lever that the logic allows in it.

    ``sure`` says that whatever keeps to both is an answer, so that the logic need not be asked.
    """

    case: Case
    keep: list[Flags]
    sure: bool


class Space:
    """Everything about a problem that a search asks again and again.

    Args:
        problem: a checked one.
        wanted: outcomes that count.
    """

    def __init__(self, problem: Problem, wanted: Collection[str]) -> None:
        self.problem = problem
        ranks = texts_of(problem)
        raw = axes_of(problem, ranks)
        self.judge = Judge(problem, wanted, raw, ranks)
        self.scores = Scores(problem.models)
        self.axes = self._settled(raw)
        self.levers = len(self.axes)
        self.followers = self._find_followers()
        self.leaves = [self._leaves(at) for at in range(len(problem.models))]
        #: By margin, its leaves, tree after tree.
        self._of_margin = [
            np.flatnonzero(self.leaves[model].output == output)
            for model, output in self.scores.margins
        ]
        self._linear = [self._coefficients(*margin) for margin in self.scores.margins]
        self.first = np.zeros((1, self.levers), dtype=np.int64)
        self.last = np.array([[axis.size - 1 for axis in self.axes]], dtype=np.int64)
        self.current = np.array([axis.current for axis in self.axes], dtype=np.int64)
        #: More than any change costs.
        self.ceiling = float(sum(axis.cost.max() for axis in self.axes)) + 1.0
        self._reach = self._reached()

    def cases(self) -> list[Case]:
        """Boxes of margins outside of which no answer is; see :mod:`scores`."""
        whole = Box(self.first, self.last, *self.scores.over(*self._reach))
        found = self.scores.cases(self.judge, self._reach[0][0], self._reach[1][0], whole)
        return [case for case in found if (case.low <= case.high).all()]

    def region(self, case: Case) -> Region | None:
        """What of the levers and margins an answer of one case can have; None if nothing."""
        ends = self._reach[0].clip(min=case.low), self._reach[1].clip(max=case.high)
        keep = [np.ones(axis.size, dtype=bool) for axis in self.axes]
        first, last = self.first, self.last
        for _ in range(_PROPAGATIONS):
            rows = [(at, np.flatnonzero(kept)) for at, kept in enumerate(keep)]
            count = sum(len(positions) for _, positions in rows)
            low, high = np.repeat(first, count, 0), np.repeat(last, count, 0)
            begin = 0
            for at, positions in rows:
                part = slice(begin, begin + len(positions))
                low[part, at] = high[part, at] = positions
                begin += len(positions)
            scores = self.scores.over(np.repeat(ends[0], count, 0), np.repeat(ends[1], count, 0))
            possible, _ = self.judge.verdict(Box(low, high, *scores))
            begin = 0
            for at, positions in rows:
                keep[at][positions] = possible[begin : begin + len(positions)]
                begin += len(positions)
            if possible.all():
                break
            if not all(kept.any() for kept in keep):
                return None
            first = np.array([[int(kept.argmax()) for kept in keep]])
            last = np.array([[len(kept) - 1 - int(kept[::-1].argmax()) for kept in keep]])
        _, sure = self.judge.verdict(Box(first, last, *self.scores.over(*ends)))
        return Region(case, keep, bool(sure[0]))

    def boxes(self, region: Region) -> Boxes | None:
        """The problem of one region; None where some group of leaves is never reached."""
        case = region.case
        tops, bottoms = np.isfinite(case.high), np.isfinite(case.low)
        if not region.sure:
            for score in self.judge.scores:
                for margin in self.scores.of_score[score]:
                    tops[margin] = bottoms[margin] = True
        about = np.concatenate([np.flatnonzero(tops), np.flatnonzero(bottoms)])
        sign = np.where(np.arange(len(about)) < tops.sum(), 1.0, -1.0)
        highest = np.concatenate([case.high[tops], -case.low[bottoms]])
        moved = np.zeros(len(about))
        lines = [self._line(at, about, sign, region.sure) for at in range(self.levers)]
        parts = []
        for margin in np.unique(about):
            model, output = self.scores.margins[margin]
            leaves = self.leaves[model]
            mine = leaves.output == output
            parts.append((np.full(mine.sum(), margin), _only(leaves, mine)))
            fixed = leaves.base[output] + self._linear[margin][1]
            moved += np.where(about == margin, sign * fixed, 0.0)
        axes = self.levers + len(self.followers)
        if parts:
            keys = np.concatenate(
                [margin.astype(np.int64) << 32 | leaves.tree for margin, leaves in parts]
            )
            order = np.argsort(keys, kind="stable")
            uniques, group = np.unique(keys[order], return_inverse=True)
            value = np.concatenate([leaves.value for _, leaves in parts])[order]
            low = np.concatenate([leaves.low for _, leaves in parts])[order]
            high = np.concatenate([leaves.high for _, leaves in parts])[order]
            margins = uniques >> 32
        else:
            group, margins = np.zeros(0, np.int64), np.zeros(0, np.int64)
            value = np.zeros(0)
            low, high = np.zeros((0, axes), np.int32), np.zeros((0, axes), np.int32)
        cells = tuple(follower.cells for follower in self.followers)
        followed = np.zeros(len(about))
        if self.followers:
            followed = self.follow(self.first, self.last, about, sign)[2][0]
        found = tidied(
            Boxes(
                lines, group, margins, value, low, high, cells, about, sign, highest, moved,
                followed, np.arange(len(margins)), np.arange(len(margins)),
            )
        )  # fmt: skip
        found = None if found is None else narrowed(found, region.keep)
        return None if found is None else joined(found)

    def possible(self, about: Ints, sign: Floats) -> Callable[[Ints, Ints, Floats], Flags]:
        """A function that tells which boxes may hold an answer.

        Args:
            about: by limit of a problem, its margin.
            sign: by limit, its sign.

        Returns:
            a function of first and last positions, and of the least that each margin times its
            limit's sign can be.
        """

        def ask(low: Ints, high: Ints, least: Floats) -> Flags:
            below = np.repeat(self._reach[0], len(low), 0)
            above = np.repeat(self._reach[1], len(low), 0)
            for at, margin in enumerate(about):
                if sign[at] > 0:
                    below[:, margin] = np.maximum(below[:, margin], least[:, at])
                else:
                    above[:, margin] = np.minimum(above[:, margin], -least[:, at])
            may, _ = self.judge.verdict(Box(low, high, *self.scores.over(below, above, 1e-3)))
            return may

        return ask

    def margins(
        self, low: Ints, high: Ints | None = None, among: Sequence[Ints] | None = None
    ) -> tuple[Floats, Floats]:
        """Least and greatest margins, by row and margin, of boxes, or of points where they are one.

        Args:
            low: first position by row and lever.
            high: last position; the first where None.
            among: by margin, the leaves that the boxes can reach; all where None.
        """
        high = low if high is None else high
        first, last, _ = self.follow(low, high, np.zeros(0, np.int64), np.zeros(0))
        first = np.concatenate([self._cells(low), first], axis=1)
        last = np.concatenate([self._cells(high), last], axis=1)
        least = np.zeros((len(low), len(self.scores.margins)))
        most = least.copy()
        for at, (model, output) in enumerate(self.scores.margins):
            leaves = self.leaves[model]
            mine = self._of_margin[at] if among is None else among[at]
            fixed = leaves.base[output] + self._linear[at][1]
            below, above = self._follower_linear(low, high, at)
            below, above = below + fixed, above + fixed
            for lever, part in enumerate(self._linear[at][0]):
                if part is not None:
                    ends = part[low[:, lever]], part[high[:, lever]]
                    below, above = below + np.minimum(*ends), above + np.maximum(*ends)
            sums = _sums(leaves, mine, first, last)
            least[:, at], most[:, at] = below + sums[0], above + sums[1]
        return least, most

    def near(self, point: Ints, levers: Sequence[int]) -> list[Ints]:
        """By margin, the leaves that hold a point but for some levers, and for followers."""
        cells = self._cells(point[None, :])[0]
        found = []
        for at, (model, _) in enumerate(self.scores.margins):
            leaves, mine = self.leaves[model], self._of_margin[at]
            for lever in range(self.levers):
                if lever not in levers:
                    mine = _holding(leaves, mine, lever, cells[lever], cells[lever])
            found.append(mine)
        return found

    def follow(
        self, low: Ints, high: Ints, about: Ints, sign: Floats
    ) -> tuple[Ints, Ints, Floats]:
        """For boxes, the first and last cell of each follower, and by limit their linear parts."""
        first = np.zeros((len(low), len(self.followers)), dtype=np.int64)
        last = first.copy()
        for at, follower in enumerate(self.followers):
            first[:, at], last[:, at] = self._follower_cells(follower, low, high)
        linear = np.zeros((len(low), len(about)))
        for at, margin in enumerate(about):
            below, above = self._follower_linear(low, high, int(margin))
            linear[:, at] = np.where(sign[at] > 0, below, -above)
        return first, last, linear

    def settings(self, point: Ints) -> dict[str, Any]:
        """The values of the levers that a point changes."""
        return {
            axis.lever.name: axis.raw(int(position))
            for axis, position in zip(self.axes, point, strict=True)
            if position != axis.current
        }

    def cost(self, point: Ints) -> float:
        """What a point costs."""
        return float(
            sum(axis.cost[position] for axis, position in zip(self.axes, point, strict=True))
        )

    def _settled(self, raw: Sequence[Axis]) -> list[Axis]:
        loose = set(self.judge.loose)
        for at, axis in enumerate(raw):
            for model in self.problem.models:
                if len(model.ensemble.coefficients) and axis.lever.name in model.names:
                    loose.add(at)
        found: list[Axis] = []
        chosen: list[Ints | None] = []
        for at, axis in enumerate(raw):
            keys = [atom.codes() for atom in self.judge.atoms if atom.lever == at]
            for number, model in enumerate(self.problem.models):
                keys += _sides_of_cuts(model, axis, number)
            settled = with_cells(axis, keys, at in loose)
            found.append(settled)
            if settled.whole is None:
                chosen.append(None)
            else:
                chosen.append(np.clip(axis.current, settled.first, settled.last))
        self.judge.settle(found, chosen)
        self.loose = [at in loose for at in range(len(raw))]
        return found

    def _find_followers(self) -> list[Follower]:
        found = []
        for at, model in enumerate(self.problem.models):
            ensemble = model.ensemble
            feature, threshold = np.asarray(ensemble.feature), np.asarray(ensemble.threshold)
            for position, name in enumerate(model.names):
                if name not in self.judge.derived:
                    continue
                mine = feature == position
                cuts = threshold[mine]
                if (np.asarray(ensemble.missing)[mine] == MISSING_IS_ZERO_OR_NAN).any():
                    ends = (-ZERO, np.nextafter(ZERO, 1)), (np.nextafter(-ZERO, -1), ZERO)
                    cuts = np.append(cuts, ends[0] if ensemble.below else ends[1])
                cuts = np.unique(cuts)
                if len(ensemble.coefficients):
                    width = len(model.names)
                    own = np.asarray(ensemble.coefficients)[position::width]
                else:
                    own = np.zeros(len(ensemble.base))
                found.append(Follower(at, name, cuts, own))
        return found

    def _leaves(self, number: int) -> Leaves:
        model = self.problem.models[number]
        sides: list[Side | None] = []
        for axis in self.axes:
            if axis.lever.name not in model.names:
                sides.append(None)
                continue
            starts = np.flatnonzero(np.append(True, axis.cells[1:] != axis.cells[:-1]))
            sides.append(Side(model.names.index(axis.lever.name), axis.inputs[number][starts]))
        for follower in self.followers:
            if follower.model != number:
                sides.append(None)
                continue
            ends = (
                np.append(-np.inf, follower.cuts)
                if model.ensemble.below
                else np.append(follower.cuts, np.inf)
            )
            sides.append(Side(model.names.index(follower.name), np.append(np.nan, ends)))
        sizes = [int(axis.cells[-1]) + 1 for axis in self.axes]
        sizes += [follower.cells for follower in self.followers]
        return reachable(model, sides, sizes)

    def _coefficients(self, number: int, output: int) -> tuple[list[Floats | None], float]:
        """By lever and position its linear part, and what all other features add."""
        model = self.problem.models[number]
        coefficients = np.asarray(model.ensemble.coefficients)
        if not len(coefficients):
            return [None] * self.levers, 0.0
        own = coefficients[output * len(model.names) : (output + 1) * len(model.names)]
        row = np.nan_to_num(np.asarray(model.row, dtype=np.float64), nan=0.0)
        moving = {axis.lever.name for axis in self.axes}
        moving |= {follower.name for follower in self.followers if follower.model == number}
        fixed = sum(
            own[at] * row[at] for at, name in enumerate(model.names) if name not in moving
        )
        parts: list[Floats | None] = []
        for axis in self.axes:
            if axis.lever.name not in model.names:
                parts.append(None)
                continue
            coefficient = own[model.names.index(axis.lever.name)]
            parts.append(coefficient * np.nan_to_num(axis.inputs[number], nan=0.0))
        return parts, float(fixed)

    def _line(self, at: int, about: Ints, sign: Floats, sure: bool) -> Line:
        axis = self.axes[at]
        walls = np.zeros(axis.size, dtype=bool)
        for atom in self.judge.atoms if not sure else ():
            if atom.lever == at:
                codes = atom.codes()
                walls[1:] |= codes[1:] != codes[:-1]
        linear = np.zeros((len(about), axis.size))
        for limit, margin in enumerate(about):
            part = self._linear[margin][0][at]
            if part is not None:
                linear[limit] = sign[limit] * part
        return Line(axis.cost, axis.cells, np.arange(axis.size), linear, walls, self.loose[at])

    def _reached(self) -> tuple[Floats, Floats]:
        """The least and greatest that each margin could be, in one row each."""
        low, high = np.empty((1, len(self.scores.margins))), np.empty((1, len(self.scores.margins)))
        for at, (model, output) in enumerate(self.scores.margins):
            leaves = self.leaves[model]
            mine = leaves.output == output
            tree = leaves.tree[mine]
            least = np.full(int(tree.max(initial=-1)) + 1, np.inf)
            most = -least
            np.minimum.at(least, tree, leaves.value[mine])
            np.maximum.at(most, tree, leaves.value[mine])
            fixed = leaves.base[output] + self._linear[at][1]
            below, above = self._follower_linear(self.first, self.last, at)
            low[0, at] = fixed + least[np.isfinite(least)].sum() + below[0]
            high[0, at] = fixed + most[np.isfinite(most)].sum() + above[0]
            for part in self._linear[at][0]:
                if part is not None:
                    low[0, at] += part.min()
                    high[0, at] += part.max()
        return low, high

    def _cells(self, points: Ints) -> Ints:
        return np.stack(
            [axis.cells[points[:, at]] for at, axis in enumerate(self.axes)], axis=1
        ) if self.levers else np.zeros((len(points), 0), np.int64)

    def _follower_cells(self, follower: Follower, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        model = self.problem.models[follower.model]
        value = self.judge.number(follower.name, low, high)
        size = len(low)
        side = "right" if model.ensemble.below else "left"
        ends = [
            1 + np.searchsorted(
                follower.cuts, rounded(model, np.broadcast_to(end, size)), side=side
            )
            for end in (value.low, value.high)
        ]  # fmt: skip
        some, null = np.broadcast_to(value.value, size), np.broadcast_to(value.null, size)
        first = np.where(null | ~some, 0, ends[0])
        last = np.where(some, ends[1], 0)
        return first, last

    def _follower_linear(self, low: Ints, high: Ints, margin: int) -> tuple[Floats, Floats]:
        number, output = self.scores.margins[margin]
        least, most = np.zeros(len(low)), np.zeros(len(low))
        for follower in self.followers:
            coefficient = follower.coefficients[output] if follower.model == number else 0.0
            if coefficient == 0.0:
                continue
            value = self.judge.number(follower.name, low, high)
            # A missing value counts as 0 in a sum.
            below = np.where(value.null | ~value.value, np.minimum(value.low, 0.0), value.low)
            above = np.where(value.null | ~value.value, np.maximum(value.high, 0.0), value.high)
            ends = (
                coefficient * np.clip(below, -_ENDLESS, _ENDLESS),
                coefficient * np.clip(above, -_ENDLESS, _ENDLESS),
            )
            least += np.minimum(*ends)
            most += np.maximum(*ends)
        return least, most


def _only(leaves: Leaves, which: Flags) -> Leaves:
    return Leaves(
        leaves.tree[which], leaves.output[which], leaves.value[which], leaves.low[which],
        leaves.high[which], leaves.base,
    )  # fmt: skip


def _holding(leaves: Leaves, mine: Ints, axis: int, first: int, last: int) -> Ints:
    """The leaves among some that meet a range of cells of one axis."""
    return mine[(leaves.low[mine, axis] <= last) & (leaves.high[mine, axis] >= first)]


def _sums(leaves: Leaves, mine: Ints, first: Ints, last: Ints) -> tuple[Floats, Floats]:
    """By row, the sums over trees of the least and of the greatest leaf that it may be in."""
    if not len(mine) or not len(first):
        return np.zeros(len(first)), np.zeros(len(first))
    varied = []
    for axis in range(first.shape[1]):
        ends = int(first[:, axis].min()), int(last[:, axis].max())
        mine = _holding(leaves, mine, axis, *ends)
        if ends[0] != ends[1]:
            varied.append(axis)
    value, tree = leaves.value[mine], leaves.tree[mine]
    if not varied:
        total = np.full(len(first), value.sum())
        return total, total
    starts = np.flatnonzero(np.append(True, tree[1:] != tree[:-1]))
    least, most = np.empty(len(first)), np.empty(len(first))
    for begin in range(0, len(first), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        inside = np.ones((len(first[rows]), len(mine)), dtype=bool)
        for axis in varied:
            low, high = leaves.low[mine, axis], leaves.high[mine, axis]
            inside &= (low <= last[rows, axis, None]) & (high >= first[rows, axis, None])
        least[rows] = np.minimum.reduceat(np.where(inside, value, np.inf), starts, axis=1).sum(axis=1)
        most[rows] = np.maximum.reduceat(np.where(inside, value, -np.inf), starts, axis=1).sum(axis=1)
    return least, most


def _sides_of_cuts(model: Model, axis: Axis, number: int) -> list[Cells | Flags]:
    """By position, numbers that differ wherever some node of the model tells positions apart."""
    if axis.lever.name not in model.names:
        return []
    ensemble = model.ensemble
    at = model.names.index(axis.lever.name)
    nodes = np.flatnonzero(np.asarray(ensemble.feature) == at)
    given = axis.inputs[number]
    cuts = np.unique(np.asarray(ensemble.threshold)[nodes])
    known = np.where(np.isnan(given), -np.inf, given)
    found: list[Any] = [np.searchsorted(cuts, known, side="right" if ensemble.below else "left")]
    missing = np.unique(np.asarray(ensemble.missing)[nodes])
    found += [is_missing(kind, given) for kind in missing]
    sets = [ensemble.sets[int(node)] for node in nodes if int(node) in ensemble.sets]
    if sets:
        member = np.stack([np.isin(given, list(members)) for members in sets])
        found.append(np.unique(member, axis=1, return_inverse=True)[1].ravel())
    return found
