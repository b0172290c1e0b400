"""The search itself: quick answers first, then bounds until the best one is proven or time is up.

From the decision as it is, levers are moved one at a time until the outcome is a wanted one, then
two at a time to something cheaper (:mod:`tables`). What costs as much as that is left out for good
(:mod:`boxes`), prices and shares bound the rest and leave out more (:mod:`dual`), and a search
through boxes (:mod:`branch`) finds what is cheaper or shows that nothing is. Where it does not come
to an end the problem is parted, and each part gets prices and shares of its own (:mod:`parts`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple

from forensics.errors import UsageError
from forensics.explain.search.arrays import Flags, Floats, Ints
from forensics.explain.search.boxes import EPSILON, Boxes, joined, narrowed
from forensics.explain.search.branch import Hooks
from forensics.explain.search.effort import Effort, units_of
from forensics.explain.search.incumbent import VERIFY_CALLS, Incumbent
from forensics.explain.search.parts import close
from forensics.explain.search.problem import (
    GAP,
    NONE_EXISTS,
    NONE_FOUND,
    OPTIMAL,
    Answer,
    Found,
    Problem,
    Verify,
    check,
)
from forensics.explain.search.quick import first_answer
from forensics.explain.search.ranges import Extent
from forensics.explain.search.space import Region, Space

#: Of the work, what the first answer and then all of them may take.
_FIRST_SHARE, _ALL_SHARE = 0.5, 0.6
#: What all but the first may take in any case.
_OTHERS_SHARE = 0.1
#: What one of the others may take.
_OTHER_UNITS = units_of(1.0)
#: Other answers are looked for without so many combinations of levers.
_FREEZES_MAX = 12
_VERIFIED_AGAIN_MAX = 20


def search(
    problem: Problem,
    *,
    wanted: Collection[str],
    limit: int = 3,
    units: int | None = units_of(0.03),
    prove: bool = False,
    verify: Verify | None = None,
    guard_s: float | None = None,
) -> Found:
    """The cheapest changes of levers after which the outcome is one of ``wanted``.

    The first answer is searched for until it is proven or its share of the work is done. Each
    further one does without some lever of every answer before it; those are good, not proven. The
    same problem with the same work gives the same answers, whatever the machine is doing besides.

    Args:
        problem: the decision and what may change.
        wanted: outcomes that count.
        limit: how many answers at most.
        units: of work, see :mod:`effort`; None for as many as a proof takes.
        prove: whether all of the work may go into the proof of the first answer.
        verify: runs the whole decision; no answer is given that it does not confirm, and its
            outcomes are those of the answers. Without it the search's own judgement stands.
        guard_s: after how long the clock ends the search whatever the work; by default long after
            that is done. What is found then may differ from run to run, and says so.

    Raises:
        UsageError: when the problem contradicts itself.
    """
    check(problem)
    if limit < 1:
        raise UsageError(f"At least one answer has to be asked for, not {limit}.")
    wanted = frozenset(wanted)
    if not problem.levers:
        return Found((), NONE_EXISTS, None, 0, 0, 0)
    effort = Effort(units, guard_s)
    return _Search(Space(problem, wanted, effort), wanted, verify, prove).found(limit)


class _Case(NamedTuple):
    region: Region
    boxes: Boxes


class _Search:
    def __init__(
        self, space: Space, wanted: frozenset[str], verify: Verify | None, prove: bool
    ) -> None:
        self._space = space
        self._wanted = wanted
        self._verify = verify
        self._effort = space.effort
        self._first_share = 1.0 if prove else _FIRST_SHARE
        self._nodes = 0
        self._refused: set[tuple[int, ...]] = set()
        self._cases = [
            _Case(region, boxes)
            for region in map(space.region, space.cases())
            if region is not None and (boxes := space.boxes(region)) is not None
        ]

    def found(self, limit: int) -> Found:
        """Answers and what is proven."""
        bound, answers = 0.0, []
        for _ in range(_VERIFIED_AGAIN_MAX):
            best, bound = self._best()
            points = [] if best.point is None else [best.point]
            points += [] if best.point is None else self._others(best.point, limit - 1)
            answers = self._answers(points)
            if best.point is None or (answers and answers[0].cost <= best.cost + EPSILON):
                break
            # The real decision did not confirm the best one: go on without it.
            self._refused.add(tuple(best.point.tolist()))
        closed = bound >= best.cost - EPSILON
        if answers:
            status = OPTIMAL if closed and answers[0].cost <= best.cost + EPSILON else GAP
            least: float | None = min(bound, answers[0].cost)
        else:
            status = NONE_EXISTS if closed and best.point is None else NONE_FOUND
            least = None if status == NONE_EXISTS else min(bound, best.cost)
        return Found(
            tuple(answers), status, least, self._nodes, self._effort.spent, len(self._refused),
            self._effort.cut_short,
        )  # fmt: skip

    def _best(self) -> tuple[Incumbent, float]:
        """The best answer, and what none costs less than."""
        incumbent = Incumbent(self._space, self._wanted, self._verify, self._refused)
        for case in self._cases:
            first_answer(incumbent, case.boxes, case.region.sure)
        bound = incumbent.cost
        for case in self._cases:
            until = self._first_share * self._effort.units
            closed = close(incumbent, case.boxes, self._hooks(case), until)
            self._nodes += closed.nodes
            bound = min(bound, closed.bound)
        return incumbent, min(bound, incumbent.cost)

    def _others(self, best: Ints, count: int) -> list[Ints]:
        """Further answers, each without some lever of every one before it."""
        found = [best]
        effort, most = self._effort, 0
        until = max(_ALL_SHARE * effort.units, effort.spent + _OTHERS_SHARE * effort.units)
        while len(found) <= count:
            cheapest: Incumbent | None = None
            for frozen in islice(self._freezes(found), _FREEZES_MAX):
                before = effort.spent
                if effort.is_over(until - most):
                    break
                incumbent = Incumbent(self._space, self._wanted, self._verify, self._refused)
                if cheapest is not None:
                    incumbent.cost = cheapest.cost
                for case in self._cases:
                    boxes = self._without(case.boxes, frozen)
                    if boxes is not None:
                        self._other(incumbent, case, boxes, until)
                if incumbent.point is not None:
                    cheapest = incumbent
                most = max(most, effort.spent - before)
            if cheapest is None or cheapest.point is None:
                break
            found.append(cheapest.point)
        return found[1:]

    def _other(self, incumbent: Incumbent, case: _Case, boxes: Boxes, until: float) -> None:
        """A good answer of a problem with levers left as they are."""
        first_answer(incumbent, boxes, case.region.sure)
        if incumbent.point is None and not case.region.sure:
            # Quick ways look at limits alone; what the logic asks for takes a real search.
            until = min(until, self._effort.spent + _OTHER_UNITS)
            close(incumbent, boxes, self._hooks(case), until)

    def _freezes(self, found: Sequence[Ints]) -> Iterator[frozenset[int]]:
        """Sets of levers with one of every answer's, those that cost most first."""
        axes = self._space.axes
        changed = []
        for point in found:
            costs = [(-axes[at].cost[place], at) for at, place in enumerate(point)]
            changed.append([at for _, at in sorted(costs) if point[at] != axes[at].current])
        seen = set()
        for chosen in product(*changed):
            if (frozen := frozenset(chosen)) not in seen:
                seen.add(frozen)
                yield frozen

    def _without(self, boxes: Boxes, frozen: frozenset[int]) -> Boxes | None:
        """The problem with some levers left as they are."""
        keep: list[Flags | None] = [None] * len(boxes.lines)
        for at in frozen:
            keep[at] = boxes.lines[at].origin == self._space.axes[at].current
        self._effort.spend(20 * len(boxes.lines), 3 * boxes.low.size)
        left = narrowed(boxes, keep)
        return None if left is None else joined(left)

    def _answers(self, points: Sequence[Ints]) -> list[Answer]:
        """Answers that the real decision confirms, at their values and the ends of their ranges."""
        space = self._space
        extents = [self._extent(point) for point in points]
        settings = [space.settings(point) for point in points]
        corners = [extent.corners() for extent in extents]
        outcomes: list[str | None] = [None] * len(points)
        firm = [True] * len(points)
        if self._verify is not None and points:
            asked = [*settings, *(corner for own in corners for corner in own)]
            self._effort.spend(VERIFY_CALLS + len(asked))
            said = list(self._verify(asked))
            outcomes, rest = said[: len(points)], iter(said[len(points) :])
            for at, own in enumerate(corners):
                firm[at] = list(islice(rest, len(own))) == [outcomes[at]] * len(own)
        found = []
        for point, setting, extent, outcome, held in zip(
            points, settings, extents, outcomes, firm, strict=True
        ):
            if self._verify is not None and outcome not in self._wanted:
                self._refused.add(tuple(point.tolist()))
                continue
            ranges = extent.ranges() if held else {}
            found.append(Answer(setting, ranges, outcome, space.cost(point)))
        return sorted(found, key=lambda answer: answer.cost)

    def _extent(self, point: Ints) -> Extent:
        """How far an answer goes on with the outcome that it has, which may be one of several."""
        space, judge = self._space, self._space.judge
        changed = [at for at, axis in enumerate(space.axes) if point[at] != axis.current]
        around = space.around(point, changed)
        for outcome in judge.wanted:
            with judge.only(outcome):
                if space.sure(point[None, :], point[None, :], around)[0]:
                    return Extent(space, point, around)
        return Extent(space, point, around)

    def _hooks(self, case: _Case) -> Hooks:
        space, boxes = self._space, case.boxes
        followers = None
        if space.followers:

            def followers(low: Ints, high: Ints) -> tuple[Ints, Ints, Floats]:
                return space.follow(low, high, boxes.limit_margin, boxes.limit_sign)

        possible = None
        if not case.region.sure:
            possible = space.possible(boxes.limit_margin, boxes.limit_sign)
        return Hooks(possible, followers)
