"""One decision as a space to search: its levers' axes, its models as boxes, logic and scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from forensics.explain.search.around import Around, Beside
from forensics.explain.search.arrays import (
    Flags,
    Floats,
    Ints,
    RangeLeast,
    distinct,
    places_of,
    spans,
)
from forensics.explain.search.axes import Axis, axes_of, rounded, sides_of_cuts, with_cells
from forensics.explain.search.boxes import Boxes, Line, joined, narrowed, tidied
from forensics.explain.search.effort import Effort
from forensics.explain.search.followers import Followers
from forensics.explain.search.leaves import Leaves, Side, only, reachable, sums
from forensics.explain.search.logic import Judge, texts_of
from forensics.explain.search.problem import Problem
from forensics.explain.search.scenes import Box
from forensics.explain.search.scores import Case, Scores

_PROPAGATIONS = 4
#: Above all numbers of models' trees.
_COUPLING_TREES = 1 << 30


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
        effort: where work is counted.
    """

    def __init__(
        self, problem: Problem, wanted: Collection[str], effort: Effort | None = None
    ) -> None:
        self.problem = problem
        self.effort = Effort() if effort is None else effort
        ranks = texts_of(problem)
        raw = axes_of(problem, ranks)
        self.judge = Judge(problem, wanted, raw, ranks)
        self.scores = Scores(problem.models)
        self.axes = self._settled(raw)
        self.levers = len(self.axes)
        #: Whether every position of every lever is a cell.
        self._is_plain = all(int(axis.cells[-1]) + 1 == axis.size for axis in self.axes)
        self.first = np.zeros((1, self.levers), dtype=np.int64)
        self.last = np.array([[axis.size - 1 for axis in self.axes]], dtype=np.int64)
        self.followers = Followers(problem.models, self.judge, self.first, self.last)
        self.leaves = [self._leaves(at) for at in range(len(problem.models))]
        #: By margin, its leaves, tree after tree.
        self._of_margin: list[Ints] = [
            places_of(self.leaves[model].output == output) for model, output in self.scores.margins
        ]
        self._besides: dict[int, Beside] = {}
        self._linear = [self._coefficients(*margin) for margin in self.scores.margins]
        self.current = np.array([axis.current for axis in self.axes], dtype=np.int64)
        #: More than any change costs.
        self.ceiling = float(sum(axis.cost.max() for axis in self.axes)) + 1.0
        self._reach = self._reached()
        self._follow_scores()
        axes = self.levers + len(self.followers.all)
        for model, leaves in zip(problem.models, self.leaves, strict=True):
            nodes = len(model.ensemble.feature)
            self.effort.spend(10 * axes + 100, 30 * nodes + 6 * len(leaves.value) * axes)
        self.effort.spend(40 * axes + 160, 40 * sum(axis.size for axis in raw))

    def cases(self) -> list[Case]:
        """Boxes of margins outside of which no answer is; see :mod:`scores`."""
        whole = Box(self.first, self.last, *self.scores.over(*self._reach))
        found = self.scores.cases(self.judge, self._reach[0][0], self._reach[1][0], whole)
        return [case for case in found if (case.low <= case.high).all()]

    def region(self, case: Case) -> Region | None:
        """What of the levers and margins an answer of one case can have; None if nothing."""
        ends = self._reach[0].clip(min=case.low), self._reach[1].clip(max=case.high)
        ends_of = [spans(axis.cells) for axis in self.axes]
        alive = [np.ones(len(starts), dtype=np.bool_) for starts, _ in ends_of]
        first, last = self.first, self.last
        for _ in range(_PROPAGATIONS):
            rows = [places_of(flags) for flags in alive]
            count = sum(len(own) for own in rows)
            low, high = np.repeat(first, count, 0), np.repeat(last, count, 0)
            begins = np.cumsum([0, *(len(own) for own in rows)])
            for at, own in enumerate(rows):
                part = slice(begins[at], begins[at + 1])
                low[part, at], high[part, at] = ends_of[at][0][own], ends_of[at][1][own]
            scores = self.scores.over(np.repeat(ends[0], count, 0), np.repeat(ends[1], count, 0))
            possible, _ = self._verdict(Box(low, high, *scores))
            if possible.all():
                break
            for at, own in enumerate(rows):
                alive[at][own] = possible[begins[at] : begins[at + 1]]
            if not all(flags.any() for flags in alive):
                return None
            kept = [places_of(flags) for flags in alive]
            first = np.array([[ends_of[at][0][own[0]] for at, own in enumerate(kept)]])
            last = np.array([[ends_of[at][1][own[-1]] for at, own in enumerate(kept)]])
        _, sure = self._verdict(Box(first, last, *self.scores.over(*ends)))
        keep = [flags[axis.cells] for flags, axis in zip(alive, self.axes, strict=True)]
        return Region(case, keep, bool(sure[0]))

    def boxes(self, region: Region) -> Boxes | None:
        """The problem of one region; None where some group of leaves is never reached."""
        case = region.case
        tops, bottoms = np.isfinite(case.high), np.isfinite(case.low)
        if not region.sure:
            for score in self.judge.scores:
                for margin in self.scores.of_score[score]:
                    tops[margin] = bottoms[margin] = True
        about = np.concatenate([places_of(tops), places_of(bottoms)])
        sign = np.where(np.arange(len(about)) < tops.sum(), 1.0, -1.0)
        highest = np.concatenate([case.high[tops], -case.low[bottoms]])
        moved = np.zeros(len(about))
        lines = [self._line(at, about, sign, region.sure) for at in range(self.levers)]
        parts = []
        for margin in distinct(about):
            model, output = self.scores.margins[margin]
            leaves = self.leaves[model]
            mine = leaves.output == output
            parts.append((np.full(mine.sum(), margin), only(leaves, mine)))
            fixed = leaves.base[output] + self._linear[margin][1]
            moved += np.where(about == margin, sign * fixed, 0.0)
        axes = self.levers + len(self.followers.all)
        if parts:
            parts += self._couplings(int(about[0]))
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
        cells = tuple(follower.cells for follower in self.followers.all)
        followed = np.zeros(len(about))
        if self.followers:
            followed = self.follow(self.first, self.last, about, sign)[2][0]
        found = tidied(
            Boxes(
                lines, group, margins, value, low, high, cells, about, sign, highest, moved,
                followed, np.arange(len(margins)), np.arange(len(margins)),
            )
        )  # fmt: skip
        self.effort.spend(75 + 25 * axes, 3 * len(value) * axes)
        found = None if found is None else narrowed(found, region.keep)
        return None if found is None else joined(found)

    def _couplings(self, margin: int) -> list[tuple[Ints, Leaves]]:
        """For each follower a tree of leaves that add nothing and say where it is.

        With them it costs something to have a follower in a cell: what its levers cost there.
        """
        ends = [spans(axis.cells) for axis in self.axes]
        found = []
        for at in range(len(self.followers.all)):
            parted = self.followers.parted(at, ends, self._spend_on_followers)
            if parted is not None:
                low, high = parted
                tree = np.full(len(low), _COUPLING_TREES + at, dtype=np.int32)
                leaves = Leaves(tree, tree, np.zeros(len(low)), low, high, np.zeros(0))
                found.append((np.full(len(low), margin), leaves))
        return found

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
            may, _ = self._verdict(Box(low, high, *self.scores.over(below, above, 1e-3)))
            return may

        return ask

    def margins(
        self, low: Ints, high: Ints | None = None, around: Around | None = None
    ) -> tuple[Floats, Floats]:
        """Least and greatest margins, by row and margin, of boxes, or of points where they are one.

        Args:
            low: first position by row and lever.
            high: last position; the first where None.
            around: what the boxes have in common, where that is known.
        """
        high = low if high is None else high
        self._spend_on_followers(len(low))
        first, last = self.followers.cells(low, high)
        first = np.concatenate([self._cells(low), first], axis=1)
        last = np.concatenate([self._cells(high), last], axis=1)
        least = np.zeros((len(low), len(self.scores.margins)))
        most = least.copy()
        for at, (model, output) in enumerate(self.scores.margins):
            leaves = self.leaves[model]
            fixed = leaves.base[output] + self._linear[at][1]
            below, above = self.followers.linear(low, high, model, output)
            below, above = below + fixed, above + fixed
            for lever, part in enumerate(self._linear[at][0]):
                if part is not None:
                    bottom, top = self._linear_ends(part, lever, low[:, lever], high[:, lever])
                    below, above = below + bottom, above + top
            if around is None and high is low and len(low) == 1 and not self.followers:
                bottom = top = np.array([self._beside(at, first[0]).sum()])
            elif around is None:
                mine = self._of_margin[at]
                self.effort.spend(20 + 8 * first.shape[1], len(mine) * (first.shape[1] + len(low)))
                bottom, top = sums(leaves, mine, first, last)
            else:
                self.effort.spend(20, 3 * around.size(at) * len(low))
                bottom, top = around.sums(at, first, last)
            least[:, at], most[:, at] = below + bottom, above + top
        return least, most

    def _linear_ends(
        self, part: Floats, lever: int, low: Ints, high: Ints
    ) -> tuple[Floats, Floats]:
        """The least and the most of a lever's linear part over ranges of positions."""
        if self.axes[lever].lever.categories:
            return RangeLeast(part).over(low, high), -RangeLeast(-part).over(low, high)
        # It rises or falls, but for a missing value, which comes first.
        ends = [part[at] for at in (low, high, np.clip(1, low, high))]
        return np.minimum.reduce(ends), np.maximum.reduce(ends)

    def around(self, point: Ints, levers: Sequence[int]) -> Around:
        """What boxes have in common that differ from a point in some levers alone."""
        cells = self._cells(point[None, :])[0]
        moved = list(levers)
        found = []
        for at, mine in enumerate(self._of_margin):
            self.effort.spend(100 + 16 * len(moved), len(mine) * (len(moved) + 4))
            found.append(self._beside(at, cells).but_for(moved))
        axes = [*levers, *range(self.levers, self.levers + len(self.followers.all))]
        return Around(
            found,
            axes,
            [int(axis.cells[-1]) + 1 for axis in self.axes]
            + [follower.cells for follower in self.followers.all],
        )

    def _beside(self, margin: int, cells: Ints) -> Beside:
        """The leaves of a margin seen from a point; kept, since the next one is near it mostly."""
        found = self._besides.get(margin)
        if found is None:
            found = self._besides[margin] = Beside(self._leaves_of(margin), self.levers)
        moved = found.move(cells)
        self.effort.spend(7 * moved + 5, (4 * moved + 2) * found.size)
        return found

    def _leaves_of(self, margin: int) -> Leaves:
        model, _ = self.scores.margins[margin]
        return only(self.leaves[model], self._of_margin[margin])

    def sure(self, low: Ints, high: Ints, around: Around | None = None) -> Flags:
        """Whether all of each box surely is answers."""
        margins = self.margins(low, high, around)
        return self._verdict(Box(low, high, *self.scores.over(*margins, 1.0)))[1]

    def judged(self, points: Ints) -> tuple[Flags, Flags]:
        """Whether each point surely is an answer, and whether it may be one for all we know."""
        low, high = self.margins(points)
        _, sure = self._verdict(Box(points, points, *self.scores.over(low, high, 1.0)))
        maybe = ~sure
        for off in (-1.0, 1.0) if maybe.any() else ():
            scores = self.scores.shifted(low, high, off)
            maybe &= self._verdict(Box(points, points, *scores))[0]
        return sure, maybe

    def _verdict(self, box: Box) -> tuple[Flags, Flags]:
        """What the logic says of boxes."""
        self.effort.spend(4 + 3 * self.judge.size, 4 * self.judge.size * len(box.low))
        return self.judge.verdict(box)

    def follow(self, low: Ints, high: Ints, about: Ints, sign: Floats) -> tuple[Ints, Ints, Floats]:
        """For boxes, the first and last cell of each follower, and by limit their linear parts."""
        self._spend_on_followers(len(low))
        linear = np.zeros((len(low), len(about)))
        for at, margin in enumerate(about):
            below, above = self.followers.linear(low, high, *self.scores.margins[margin])
            linear[:, at] = np.where(sign[at] > 0, below, -above)
        return *self.followers.cells(low, high), linear

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

    def _spend_on_followers(self, boxes: int) -> None:
        if self.followers:
            self.effort.spend(60 * len(self.followers.all), 120 * len(self.followers.all) * boxes)

    def _settled(self, raw: Sequence[Axis]) -> list[Axis]:
        loose = set(self.judge.loose)
        for at, axis in enumerate(raw):
            for model in self.problem.models:
                if len(model.ensemble.coefficients) and axis.lever.name in model.names:
                    loose.add(at)
        found: list[Axis] = []
        chosen: list[Ints | None] = []
        for at, axis in enumerate(raw):
            keys: list[Ints | Flags] = [
                atom.codes() for atom in self.judge.atoms if atom.lever == at
            ]
            for number, model in enumerate(self.problem.models):
                keys += sides_of_cuts(axis, model, number)
            settled = with_cells(axis, keys, at in loose)
            found.append(settled)
            if settled.whole is None:
                chosen.append(None)
            else:
                chosen.append(np.clip(axis.current, settled.first, settled.last))
        self.judge.settle(found, chosen)
        self.loose = [at in loose for at in range(len(raw))]
        return found

    def _leaves(self, number: int) -> Leaves:
        model = self.problem.models[number]
        sides: list[Side | None] = []
        for axis in self.axes:
            if axis.lever.name not in model.names:
                sides.append(None)
                continue
            starts, _ = spans(axis.cells)
            sides.append(Side(model.names.index(axis.lever.name), axis.inputs[number][starts]))
        sides += self.followers.sides(number)
        sizes = [int(axis.cells[-1]) + 1 for axis in self.axes]
        sizes += [follower.cells for follower in self.followers.all]
        return reachable(model, sides, sizes)

    def _coefficients(self, number: int, output: int) -> tuple[list[Floats | None], float]:
        """By lever and position its linear part, and what all other features add."""
        model = self.problem.models[number]
        coefficients = np.asarray(model.ensemble.coefficients)
        if not len(coefficients):
            return [None] * self.levers, 0.0
        own = coefficients[output * len(model.names) : (output + 1) * len(model.names)]
        row = np.nan_to_num(rounded(model, np.asarray(model.row, dtype=np.float64)), nan=0.0)
        moving = {axis.lever.name for axis in self.axes}
        moving |= {follower.name for follower in self.followers.all if follower.model == number}
        fixed = sum(own[at] * row[at] for at, name in enumerate(model.names) if name not in moving)
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
        walls = np.zeros(axis.size, dtype=np.bool_)
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

    def _follow_scores(self) -> None:
        """Has the logic work out where scores turn its answers, over all that they can be."""
        low, high = self.scores.over(*self._reach, 2.0)
        ranges = self.judge.follow_scores(low[0], high[0])
        self.effort.spend(5 * sum(atom.size for atom in self.judge.score_atoms), 2 * ranges)

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
            below, above = self.followers.linear(self.first, self.last, model, output)
            low[0, at] = fixed + least[np.isfinite(least)].sum() + below[0]
            high[0, at] = fixed + most[np.isfinite(most)].sum() + above[0]
            for part in self._linear[at][0]:
                if part is not None:
                    low[0, at] += part.min()
                    high[0, at] += part.max()
        return low, high

    def _cells(self, points: Ints) -> Ints:
        if self._is_plain:
            return points
        return (
            np.stack([axis.cells[points[:, at]] for at, axis in enumerate(self.axes)], axis=1)
            if self.levers
            else np.zeros((len(points), 0), np.int64)
        )
