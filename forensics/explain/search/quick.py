"""Good answers quickly: levers moved one at a time, then all pairs while it gets cheaper."""

from __future__ import annotations

import numpy as np

from forensics.explain.search.arrays import Floats, Ints, distinct
from forensics.explain.search.boxes import EPSILON, Boxes, within_budget
from forensics.explain.search.dual import Dual
from forensics.explain.search.effort import Effort
from forensics.explain.search.incumbent import Incumbent
from forensics.explain.search.tables import Plane, Tables

_CANDIDATES_A_PLANE = 64
_STEPS_MAX = 40
#: Of all work, what all pairs of levers may take where levers stay as they are.
_PAIRS_SHARE = 0.06
#: Numbers in all tables together, 8 bytes each; larger ones take seconds.
_TABLES_MAX = 8_000_000


def first_answer(incumbent: Incumbent, boxes: Boxes, sure: bool) -> None:
    """From the decision as it is: the levers that gain most for their cost, then better pairs.

    Args:
        incumbent: remembers what is found.
        boxes: the problem.
        sure: whether whatever keeps its limits is an answer.
    """
    tables = tables_of(incumbent, boxes)
    point = tables.cheapest()
    if not (tables.excess(point) > 0).any():
        incumbent.try_cells(tables, point[None, :])
    if not sure:
        single_moves(incumbent, boxes)
    found = greedy(tables, point, incumbent.effort)
    if found is not None:
        incumbent.try_cells(tables, found[None, :])
    left = within_budget(boxes, incumbent.cost, incumbent.effort)
    if left is None:
        return
    tables = tables_of(incumbent, left)
    if incumbent.point is None or _is_quick(incumbent, tables):
        polish(incumbent, tables, tables.cheapest())
    start = incumbent.cells(left)
    if start is not None:
        polish(incumbent, tables, start)
    slide(incumbent)


def _is_quick(incumbent: Incumbent, tables: Tables) -> bool:
    """Whether all pairs of levers are looked at in little of the work that there is."""
    if tables.levers < 2:
        return False
    effort = incumbent.effort
    work = tables.work(tables.cheapest(), incumbent.cost)
    return effort.takes(*work) < _PAIRS_SHARE * effort.units


def answer_from(incumbent: Incumbent, dual: Dual) -> None:
    """What prices and shares would choose for each lever, made an answer and then cheaper."""
    boxes = dual.boxes
    tables = tables_of(incumbent, boxes)
    point = np.array(
        [line.cell[int(dual.position_costs(at).argmin())] for at, line in enumerate(boxes.lines)]
    )
    reached = greedy(tables, point, incumbent.effort)
    if reached is not None:
        incumbent.try_cells(tables, reached[None, :])
        polish(incumbent, tables, reached)
        slide(incumbent)


def single_moves(incumbent: Incumbent, boxes: Boxes) -> None:
    """Tries all cells of each lever alone, where the logic asks for more than limits."""
    start = np.array([line.origin[line.cheapest] for line in boxes.lines])
    for at, line in enumerate(boxes.lines):
        places = line.origin[line.representative]
        places = places[places != start[at]]
        if not len(places):
            continue
        points = np.repeat(start[None, :], len(places), 0)
        points[:, at] = places
        points = points[incumbent.space.sure(points, points, incumbent.space.around(start, [at]))]
        incumbent.try_points(points, np.array([incumbent.space.cost(point) for point in points]))


def slide(incumbent: Incumbent) -> None:
    """Moves levers whose every value matters back as far as the answer surely stays one."""
    space, point = incumbent.space, incumbent.point
    for at, loose in enumerate(space.loose):
        if not loose or point is None or point[at] == space.axes[at].current:
            continue
        refused, held = space.axes[at].current, int(point[at])
        around = space.around(point, [at])
        if not space.sure(point[None, :], point[None, :], around)[0]:
            continue
        while abs(held - refused) > 1:
            step = 1 if held > refused else -1
            places = distinct(np.linspace(refused + step, held, 65).astype(np.int64))
            places = places if step > 0 else places[::-1]
            points = np.repeat(point[None, :], len(places), 0)
            points[:, at] = places
            nearest = int(space.sure(points, points, around).argmax())
            refused = int(places[nearest - 1]) if nearest else refused
            held = int(places[nearest])
        moved = point.copy()
        moved[at] = held
        incumbent.try_points(moved[None, :], np.array([space.cost(moved)]))
        point = incumbent.point


def polish(incumbent: Incumbent, tables: Tables, point: Ints) -> None:
    """Changes two levers at once to the cheapest answer, as long as it gets cheaper."""
    effort = incumbent.effort
    while tables.levers > 1 and tables.size <= _TABLES_MAX:
        before = incumbent.cost
        if incumbent.point is not None and effort.is_over(effort.units):
            return
        effort.spend(*tables.work(point, before))
        found = [_cheaper(plane, point, before) for plane in tables.planes(point, before)]
        if not found:
            return
        cost = np.concatenate([each[0] for each in found])
        if not len(cost):
            return
        points = np.concatenate([each[1] for each in found])[np.argsort(cost, kind="stable")]
        taken = incumbent.try_cells(tables, points)
        if taken is None or incumbent.cost >= before - EPSILON:
            return
        point = taken


def _cheaper(plane: Plane, point: Ints, below: float) -> tuple[Floats, Ints]:
    """The cheapest points of a plane that keep all limits, with their costs."""
    fits = plane.cost < below - EPSILON
    for excess in plane.excess:
        fits &= excess <= 0
    rows, columns = np.nonzero(fits)
    cost = plane.cost[rows, columns]
    if len(cost) > _CANDIDATES_A_PLANE:
        # Of equals the first, as no sort in parts promises.
        kept = np.argsort(cost, kind="stable")[:_CANDIDATES_A_PLANE]
        rows, columns, cost = rows[kept], columns[kept], cost[kept]
    points = np.repeat(point[None, :], len(rows), 0)
    points[:, plane.lever] = plane.cells[rows]
    points[np.arange(len(rows)), plane.others[0][columns]] = plane.others[1][columns]
    return cost, points


def greedy(tables: Tables, point: Ints, effort: Effort) -> Ints | None:
    """A point within the limits, by changing again and again what gains most for its cost.

    None where no change of one lever comes nearer.
    """
    for _ in range(_STEPS_MAX):
        effort.spend(*tables.profile_work)
        excess, changes = tables.profiles(point)
        over = np.maximum(excess, 0.0)
        if not over.any():
            return point
        after = np.maximum(excess[:, None] + changes, 0.0)
        unit = np.where(over > 0, over, 1.0)[:, None]
        gain = ((over[:, None] - after) / unit).sum(axis=0)
        price = tables.costs - tables.cost_by_place(point)
        worth = np.where(gain > EPSILON, gain / np.maximum(price, EPSILON), -np.inf)
        worth[~np.isfinite(tables.costs)] = -np.inf
        # A lever that is enough alone need not go further than that.
        enough = (after <= 0).all(axis=0) & np.isfinite(worth)
        levers = np.zeros(tables.levers, dtype=np.bool_)
        levers[tables.lever[enough]] = True
        worth[levers[tables.lever] & ~enough] = -np.inf
        at = int(worth.argmax())
        if not np.isfinite(worth[at]):
            return None
        point = point.copy()
        point[tables.lever[at]] = tables.cell[at]
    return None


def tables_of(incumbent: Incumbent, boxes: Boxes) -> Tables:
    """Tables of a problem in which followers stay as they are while no lever moves."""
    current = incumbent.space.current[None, :]
    cells, _, linear = incumbent.space.follow(
        current, current, boxes.limit_margin, boxes.limit_sign
    )
    tables = Tables(boxes, cells[0], linear[0])
    incumbent.effort.spend(20 + 5 * tables.levers, 3 * boxes.low.size)
    return tables
