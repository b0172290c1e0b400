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
from time import perf_counter
from typing import NamedTuple

from forensics.errors import UsageError
from forensics.explain.search.arrays import Flags, Floats, Ints
from forensics.explain.search.boxes import EPSILON, Boxes, joined, narrowed
from forensics.explain.search.branch import Hooks
from forensics.explain.search.incumbent import Incumbent
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

#: Of the time given, what the first answer and then all of them may take.
_FIRST_SHARE, _ALL_SHARE = 0.4, 0.55
#: What all but the first may take in any case.
_OTHERS_SHARE = 0.2
#: How long one of the others may be searched for.
_OTHER_S = 1.0
#: Other answers are looked for without so many combinations of levers.
_FREEZES_MAX = 12
_VERIFIED_AGAIN_MAX = 20


def search(
    problem: Problem,
    *,
    wanted: Collection[str],
    limit: int = 3,
    time_s: float | None = 0.03,
    prove: bool = False,
    verify: Verify | None = None,
) -> Found:
    """The cheapest changes of levers after which the outcome is one of ``wanted``.

    The first answer is searched for until it is proven or its time is up. Each further one does
    without some lever of every answer before it; those are good, not proven.

    Args:
        problem: the decision and what may change.
        wanted: outcomes that count.
        limit: how many answers at most.
        time_s: about how long to search; None for as long as a proof takes.
        prove: whether all of the time may go into the proof of the first answer.
        verify: runs the whole decision; no answer is given that it does not confirm, and its
            outcomes are those of the answers. Without it the search's own judgement stands.

    Raises:
        UsageError: when the problem contradicts itself.
    """
    began = perf_counter()
    check(problem)
    if limit < 1:
        raise UsageError(f"At least one answer has to be asked for, not {limit}.")
    wanted = frozenset(wanted)
    if not problem.levers:
        return Found((), NONE_EXISTS, None, 0, perf_counter() - began, 0)
    searched = _Search(Space(problem, wanted), wanted, verify, began, time_s, prove)
    return searched.found(limit)


class _Case(NamedTuple):
    region: Region
    boxes: Boxes


class _Search:
    def __init__(
        self, space: Space, wanted: frozenset[str], verify: Verify | None, began: float,
        time_s: float | None, prove: bool,
    ) -> None:  # fmt: skip
        self._space = space
        self._wanted = wanted
        self._verify = verify
        self._began = began
        self._time_s = time_s
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
            tuple(answers), status, least, self._nodes, perf_counter() - self._began,
            len(self._refused),
        )  # fmt: skip

    def _until(self, share: float) -> float:
        return float("inf") if self._time_s is None else self._began + share * self._time_s

    def _best(self) -> tuple[Incumbent, float]:
        """The best answer, and what none costs less than."""
        incumbent = Incumbent(self._space, self._wanted, self._verify, self._refused)
        for case in self._cases:
            first_answer(incumbent, case.boxes, case.region.sure)
        bound = incumbent.cost
        for case in self._cases:
            deadline = self._until(self._first_share)
            closed = close(incumbent, case.boxes, self._hooks(case), deadline)
            self._nodes += closed.nodes
            bound = min(bound, closed.bound)
        return incumbent, min(bound, incumbent.cost)

    def _others(self, best: Ints, count: int) -> list[Ints]:
        """Further answers, each without some lever of every one before it."""
        found = [best]
        until, longest = self._until(_ALL_SHARE), 0.0
        if self._time_s is not None:
            until = max(until, perf_counter() + _OTHERS_SHARE * self._time_s)
        while len(found) <= count:
            cheapest: Incumbent | None = None
            for frozen in islice(self._freezes(found), _FREEZES_MAX):
                began = perf_counter()
                if began + longest > until:
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
                longest = max(longest, perf_counter() - began)
            if cheapest is None or cheapest.point is None:
                break
            found.append(cheapest.point)
        return found[1:]

    def _other(self, incumbent: Incumbent, case: _Case, boxes: Boxes, until: float) -> None:
        """A good answer of a problem with levers left as they are."""
        first_answer(incumbent, boxes, case.region.sure)
        if incumbent.point is None and not case.region.sure:
            # Quick ways look at limits alone; what the logic asks for takes a real search.
            close(incumbent, boxes, self._hooks(case), min(until, perf_counter() + _OTHER_S))

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
        left = narrowed(boxes, keep)
        return None if left is None else joined(left)

    def _answers(self, points: Sequence[Ints]) -> list[Answer]:
        """Answers that the real decision confirms, at their values and the ends of their ranges."""
        space = self._space
        extents = [Extent(space, point) for point in points]
        settings = [space.settings(point) for point in points]
        corners = [extent.corners() for extent in extents]
        outcomes: list[str | None] = [None] * len(points)
        firm = [True] * len(points)
        if self._verify is not None and points:
            asked = [*settings, *(corner for own in corners for corner in own)]
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
