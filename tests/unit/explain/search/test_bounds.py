"""Everything that bounds or leaves out, against all points of small problems."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from decisions import Tree, Written, ensemble, random_decision

from forensics.explain.search import followers as followers_module
from forensics.explain.search.arrays import Flags, Floats, Ints
from forensics.explain.search.boxes import (
    Boxes,
    box_costs,
    covered,
    joined,
    narrowed,
    within_budget,
)
from forensics.explain.search.dual import Dual
from forensics.explain.search.effort import Effort
from forensics.explain.search.merging import merged
from forensics.explain.search.problem import Lever, Model
from forensics.explain.search.quick import greedy
from forensics.explain.search.space import Space
from forensics.explain.search.tables import Tables
from forensics.explain.search.words import Words
from forensics.lake.sql import Connection

_POINTS_MAX = 4_000


class _Every(NamedTuple):
    """All points of a problem: their cells, costs, and sums by limit."""

    points: Ints
    cost: Floats
    sums: Floats

    def within(self, boxes: Boxes) -> Flags:
        return np.asarray((self.sums <= boxes.limit + 1e-9).all(axis=1))

    def least(self, boxes: Boxes) -> float:
        return float(self.cost[self.within(boxes)].min(initial=np.inf))


def _every(boxes: Boxes) -> _Every:
    sizes = [line.cells for line in boxes.lines]
    points = np.array(list(itertools.product(*(range(size) for size in sizes))))
    chosen = [line.representative for line in boxes.lines]
    cost = np.zeros(len(points))
    sums = np.zeros((len(points), len(boxes.limit)))
    for at, line in enumerate(boxes.lines):
        place = chosen[at][points[:, at]]
        cost += line.cost[place]
        sums += line.linear[:, place].T
    low, high = boxes.low[:, : len(sizes)], boxes.high[:, : len(sizes)]
    inside = ((low <= points[:, None, :]) & (points[:, None, :] <= high)).all(axis=2)
    for limit in range(len(boxes.limit)):
        sums[:, limit] += inside[:, boxes.of_limit(limit)] @ (
            boxes.limit_sign[limit] * boxes.value[boxes.of_limit(limit)]
        )
    return _Every(points, cost, sums)


def _problems(connection: Connection) -> list[Boxes]:
    """Problems with something to decide: limits, some trees, no features that follow."""
    found = []
    for seed in range(700):
        written = random_decision(seed)
        if written.derived or not written.levers:
            continue
        space = Space(written.problem(connection), {"APPROVE"})
        for case in space.cases():
            region = space.region(case)
            boxes = None if region is None else space.boxes(region)
            if boxes is None or boxes.groups < 2 or not np.isfinite(boxes.limit).all():
                continue
            if np.prod([line.cells for line in boxes.lines]) <= _POINTS_MAX:
                found.append(boxes)
    assert len(found) > 40
    return found


@pytest.fixture(scope="module")
def problems(connection: Connection) -> list[Boxes]:
    return _problems(connection)


def test_words_give_the_sums_of_least_and_greatest_values(problems: list[Boxes]) -> None:
    rng = np.random.default_rng(1)
    for boxes in problems:
        sizes = boxes.sizes()
        words = Words(boxes.group, boxes.value, boxes.low, boxes.high, sizes)
        ends = [np.sort(rng.integers(0, size, (30, 2)), axis=1) for size in sizes]
        found, most = words.bounds([end[:, 0] for end in ends], [end[:, 1] for end in ends])
        for row in range(30):
            low = np.array([end[row, 0] for end in ends])
            high = np.array([end[row, 1] for end in ends])
            meets = ((boxes.low <= high) & (low <= boxes.high)).all(axis=1)
            values = [boxes.value[meets & (boxes.group == at)] for at in range(boxes.groups)]
            assert found[row] == pytest.approx(sum(own.min() for own in values))
            assert most[row] == pytest.approx(sum(own.max() for own in values))


def test_words_hold_groups_of_more_leaves_than_bits() -> None:
    rng = np.random.default_rng(2)
    cells = np.arange(300)
    value = rng.normal(size=300)
    low = cells[:, None].astype(np.int32)
    words = Words(np.zeros(300, dtype=np.int64), value, low, low, (300,))
    assert words.count == 5
    for first, last in ((0, 299), (17, 17), (100, 180), (0, 5)):
        least, most = words.bounds([np.array([first])], [np.array([last])])
        assert least[0] == value[first : last + 1].min()
        assert most[0] == value[first : last + 1].max()


def test_a_box_that_no_leaf_of_a_group_meets_is_endlessly_bad() -> None:
    low = np.array([[0], [5]], dtype=np.int32)
    words = Words(np.zeros(2, dtype=np.int64), np.ones(2), low, low, (9,))
    assert words.bound([np.array([2])], [np.array([3])])[0] == np.inf


def test_merging_joining_and_covering_change_no_sum(problems: list[Boxes]) -> None:
    for boxes in problems:
        before = _every(boxes)
        endless = float(before.cost.max()) + 1.0
        for change in (lambda b, c=endless: merged(b, c, size_max=60), joined, covered):
            after = change(boxes)
            assert after is not None
            found = _every(after)
            assert found.least(after) == pytest.approx(before.least(boxes))
            most = sorted(np.round(found.sums - after.limit, 6).ravel().tolist())
            assert set(most) == set(np.round(before.sums - boxes.limit, 6).ravel().tolist())


def test_a_budget_leaves_out_nothing_that_is_cheaper(problems: list[Boxes]) -> None:
    closed = kept = 0
    for boxes in problems:
        every = _every(boxes)
        best = every.least(boxes)
        for below in (best, best + 1e-6, best + 1.0, float(every.cost.max()) + 1.0):
            if not np.isfinite(below):
                continue
            left = within_budget(boxes, below, Effort())
            found = np.inf if left is None else _every(left).least(left)
            if best < below - 1e-9:
                assert found == pytest.approx(best)
                kept += 1
            else:
                assert found >= below - 1e-9
                closed += left is None
    assert closed
    assert kept


def test_the_bound_is_one_and_gets_no_worse(problems: list[Boxes]) -> None:
    exact = 0
    for boxes in problems:
        best = _every(boxes).least(boxes)
        dual = Dual(boxes, np.ones(len(boxes.limit)))
        before = -np.inf
        for turn in range(30):
            dual.improve()
            now = dual.bound()
            assert now <= best + 1e-7
            assert now >= before - 1e-9
            before = now
            if turn % 5 == 4:
                dual.reprice()
                assert dual.bound() >= before - 1e-9
                before = dual.bound()
        dual.climb(np.inf, 20, Effort(), np.inf)
        assert before - 1e-9 <= dual.bound() <= best + 1e-7
        exact += dual.bound() >= min(best, 1e6) - 1e-6
    assert exact


def test_nothing_that_is_left_out_is_part_of_a_cheaper_answer(problems: list[Boxes]) -> None:
    gone = 0
    for boxes in problems:
        every = _every(boxes)
        best = every.least(boxes)
        if not np.isfinite(best):
            continue
        dual = Dual(boxes, np.ones(len(boxes.limit)))
        for turn in range(12):
            dual.improve()
            if turn % 3 == 2:
                dual.reprice()
        gap = best + 1e-6 - dual.bound()
        answers = every.points[every.within(boxes) & (every.cost <= best + 1e-9)]
        spare = dual.spare_positions(gap)
        for at, line in enumerate(boxes.lines):
            place = line.representative[answers[:, at]]
            assert spare[at][place].all()
            gone += int((~spare[at]).sum())
        for leaf in np.flatnonzero(~dual.spare_boxes(gap)):
            low, high = boxes.low[leaf], boxes.high[leaf]
            assert not ((low <= answers) & (answers <= high)).all(axis=1).any()
            gone += 1
    assert gone


def test_a_part_begins_with_the_shares_of_the_whole(problems: list[Boxes]) -> None:
    kept = 0
    for boxes in problems:
        dual = Dual(boxes, np.ones(len(boxes.limit)))
        for _ in range(10):
            dual.improve()
        again = Dual(boxes, dual.prices, dual)
        assert again.bound() == pytest.approx(dual.bound(), abs=1e-9)
        together = merged(boxes, float(_every(boxes).cost.max()) + 1.0, size_max=60)
        assert together is not None
        assert Dual(together, dual.prices, dual).bound() >= dual.bound() - 1e-7
        for at, line in enumerate(boxes.lines):
            half = np.arange(len(line.cost)) < len(line.cost) // 2
            keep = [None if other != at else half for other in range(len(boxes.lines))]
            part = narrowed(boxes, keep) if half.any() else None
            if part is not None:
                assert Dual(joined(part), dual.prices, dual).bound() >= dual.bound() - 1e-7
                kept += 1
    assert kept


def test_tables_hold_the_sums_of_all_changes_of_two_levers(problems: list[Boxes]) -> None:
    rng = np.random.default_rng(3)
    nothing = np.zeros(0, dtype=np.int64)
    for boxes in problems:
        every = _every(boxes)
        excess = {tuple(p): s - boxes.limit for p, s in zip(every.points, every.sums, strict=True)}
        cost = {tuple(p): c for p, c in zip(every.points, every.cost, strict=True)}
        tables = Tables(boxes, nothing, np.zeros(len(boxes.limit)))
        for at in rng.integers(0, len(every.points), 3):
            point = every.points[at]
            assert tables.excess(point) == pytest.approx(excess[tuple(point)], abs=1e-9)
            assert tables.cost(point) == pytest.approx(cost[tuple(point)])
            here, changes = tables.profiles(point)
            assert here == pytest.approx(excess[tuple(point)], abs=1e-9)
            for place in np.flatnonzero(np.isfinite(tables.costs)):
                moved = point.copy()
                moved[tables.lever[place]] = tables.cell[place]
                assert here + changes[:, place] == pytest.approx(excess[tuple(moved)], abs=1e-9)
            for plane in tables.planes(point):
                for row, column in np.argwhere(np.isfinite(plane.cost))[::7]:
                    moved = point.copy()
                    moved[plane.lever] = plane.cells[row]
                    moved[plane.others[0][column]] = plane.others[1][column]
                    key = tuple(moved)
                    assert plane.excess[:, row, column] == pytest.approx(excess[key], abs=1e-9)
                    assert plane.cost[row, column] == pytest.approx(cost[key])


def test_tables_below_a_cost_leave_out_nothing_that_is_cheaper(problems: list[Boxes]) -> None:
    rng = np.random.default_rng(4)
    nothing = np.zeros(0, dtype=np.int64)
    left_out = 0
    for boxes in problems:
        every = _every(boxes)
        tables = Tables(boxes, nothing, np.zeros(len(boxes.limit)))
        for at in rng.integers(0, len(every.points), 4):
            point = every.points[at]
            whole = _changes(tables, point, np.inf)
            for below in (*rng.choice(every.cost, 3), tables.cost(point), every.cost.min()):
                some = _changes(tables, point, float(below))
                cheaper = {key for key, (cost, _) in whole.items() if cost < below - 1e-9}
                assert cheaper <= some.keys() <= whole.keys()
                for key, (cost, excess) in some.items():
                    assert cost == pytest.approx(whole[key][0])
                    assert excess == pytest.approx(whole[key][1], abs=1e-9)
                left_out += len(whole) - len(some)
    assert left_out


def _changes(
    tables: Tables, point: Ints, below: float
) -> dict[tuple[int, ...], tuple[float, Floats]]:
    """By point, what all changes of two levers cost, and their excess."""
    found = {}
    for plane in tables.planes(point, below):
        for row, column in np.argwhere(np.isfinite(plane.cost)):
            moved = point.copy()
            moved[plane.lever] = plane.cells[row]
            moved[plane.others[0][column]] = plane.others[1][column]
            cost = float(plane.cost[row, column])
            found[tuple(moved.tolist())] = cost, plane.excess[:, row, column]
    return found


def test_where_a_follower_is_costs_what_its_levers_cost_there(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ratio has to come down to half, which takes 11 of ``b``; nothing else counts."""
    trees: list[Tree] = [
        {"feature": 2, "threshold": at + 0.05, "left": 0.0, "right": 1.0} for at in range(1, 40)
    ]
    written = Written(
        {"a": 40.0, "b": 0.0},
        (Lever("a", 0, 0.1, 400, 1), Lever("b", 0, 0.1, 400, 1)),
        (Model(ensemble(trees, dtype="d"), ("a", "b", "ratio"), (40.0, 0.0, 40.0)),),
        (("score > 18.5", "DECLINE"), (None, "APPROVE")),
        derived={"ratio": "a / (1 + b * 0.1)"},
    )
    bounds = []
    for coupled in (followers_module._COUPLED_MAX, 0):
        monkeypatch.setattr(followers_module, "_COUPLED_MAX", coupled)
        space = Space(written.problem(connection), {"APPROVE"})
        (region,) = [space.region(case) for case in space.cases()]
        assert region is not None
        boxes = space.boxes(region)
        boxes = None if boxes is None else within_budget(boxes, 11.5, Effort())
        assert boxes is not None
        dual = Dual(boxes, np.ones(len(boxes.limit)))
        for _ in range(30):
            dual.improve()
            dual.reprice()
        bounds.append(dual.bound())
    assert 5.0 < bounds[0] <= 11.0
    assert bounds[1] == pytest.approx(0.0, abs=1e-6)


def test_leaves_of_followers_hold_every_point_where_its_follower_is(connection: Connection) -> None:
    seen = 0
    for seed in range(150):
        written = random_decision(seed)
        if not written.derived or not written.levers:
            continue
        space = Space(written.problem(connection), {"APPROVE"})
        for case in space.cases():
            region = space.region(case)
            boxes = None if region is None else space.boxes(region)
            if boxes is None or not boxes.groups:
                continue
            positions = itertools.product(*(line.origin for line in boxes.lines))
            points = np.array(list(itertools.islice(positions, 500)))
            places, last = space.followers.cells(points, points)
            points, places = (
                points[(places == last).all(axis=1)],
                places[(places == last).all(axis=1)],
            )
            cells = [
                line.cell[np.searchsorted(line.origin, points[:, at])]
                for at, line in enumerate(boxes.lines)
            ]
            everything = np.concatenate([np.stack(cells, axis=1), places], axis=1)
            inside = (boxes.low <= everything[:, None]) & (everything[:, None] <= boxes.high)
            held = np.add.reduceat(inside.all(axis=2), boxes.start(), axis=1)
            assert (held == 1).all()
            seen += 1
    assert seen > 5


def test_greedy_ends_within_the_limits_or_nowhere(problems: list[Boxes]) -> None:
    reached = 0
    for boxes in problems:
        tables = Tables(boxes, np.zeros(0, dtype=np.int64), np.zeros(len(boxes.limit)))
        found = greedy(tables, tables.cheapest(), Effort())
        if found is not None:
            assert (tables.excess(found) <= 1e-9).all()
            reached += 1
    assert reached > len(problems) / 2


def test_costs_of_boxes_are_those_of_their_cheapest_points(problems: list[Boxes]) -> None:
    for boxes in problems[:20]:
        every = _every(boxes)
        found = box_costs(boxes.lines, boxes.low, boxes.high)
        for leaf in range(len(boxes.value)):
            inside = (boxes.low[leaf] <= every.points) & (every.points <= boxes.high[leaf])
            assert found[leaf] == pytest.approx(every.cost[inside.all(axis=1)].min())
