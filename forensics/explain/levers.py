"""What may be changed, and at which values anything could come out differently.

A tree model and rules of comparisons are constant between their boundaries, so a few values on a
lever's grid around each boundary stand for all of them. Grids matter: cut points are data values,
and the nearest flip without one is often one unit in the last place away, which no person can do.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable
from math import floor, isfinite, log10
from typing import Any, NamedTuple

from forensics.replay.logic import BoundLogic, Lever
from forensics.replay.session import ReplaySession

#: A grid with no more values than this is searched whole.
_WHOLE_GRID_MAX = 300


class Grid(NamedTuple):
    """The values that a feature may take: ``low + k * step`` for k from 0 to ``last``.

    ``spread`` scales changes into distances. ``ks`` are the first and last k of each cell between
    two boundaries, ascending, and ``cells`` names the cell of each; ``rule_ks`` are those beside a
    boundary of a rule.
    """

    feature: str
    current: float
    low: float
    step: float
    last: int
    digits: int
    integer: bool
    spread: float
    ks: tuple[int, ...]
    cells: tuple[tuple[int, ...], ...]
    rule_ks: frozenset[int]

    def value(self, k: int) -> float:
        """The k-th value, rounded to the decimals of the grid so that its text says it exactly."""
        return round(self.low + k * self.step, self.digits)

    def distance(self, k: int) -> float:
        """How far the k-th value is from the current one, in spreads."""
        return abs(self.value(k) - self.current) / self.spread

    def plain(self, k: int) -> Any:
        """The k-th value as a record would hold it."""
        value = self.value(k)
        return int(value) if self.integer else value

    def words(self, k: int) -> str:
        """The k-th value for reading."""
        return f"{self.value(k):,.{0 if self.integer else self.digits}f}"


def grids(session: ReplaySession, rules: BoundLogic) -> list[Grid]:
    """A grid for each lever of the rule set; without any, for each numeric feature of the model."""
    model = session.model
    cuts = dict(zip(model.names, model.description.cuts, strict=True)) if model.description else {}
    levers = {n: lever for n, lever in rules.logic.levers.items() if lever.values is None}
    declared = bool(rules.logic.levers)
    if not declared:
        recorded = session.decision.features
        derived = ((name, _lever_of_cuts(recorded.get(name), cut)) for name, cut in cuts.items())
        levers = {name: lever for name, lever in derived if lever is not None}
    found = []
    for name, lever in levers.items():
        value = session.decision.features.get(name)
        current = _current(value)
        if current is None:
            continue
        points = cuts.get(name, array("f"))
        whole = lever.integer or (isinstance(value, int) and _whole(lever.min, lever.step))
        grid = Grid(
            feature=name,
            current=current,
            low=lever.min,
            step=lever.step,
            last=floor((lever.max - lever.min) / lever.step + 1e-9),
            digits=max(_decimals(lever.min), _decimals(lever.step)),
            integer=whole,
            spread=lever.max - lever.min if declared else _deviation(points),
            ks=(),
            cells=(),
            rule_ks=frozenset(),
        )
        grid = _with_cells(grid, lever, points, _rule_boundaries(session, rules, name))
        if grid.ks:
            found.append(grid)
    return found


def _with_cells(
    grid: Grid, lever: Lever, cuts: array[float], rule_boundaries: Collection[float]
) -> Grid:
    """``grid`` with the ends of each cell, within which no boundary of model or rules lies."""
    rule_ks = frozenset(_around(grid, rule_boundaries, lever))
    candidates = {*rule_ks, *_around(grid, cuts, lever), *_allowed(grid, (0, grid.last), lever)}
    if grid.last < _WHOLE_GRID_MAX:
        candidates.update(_allowed(grid, range(grid.last + 1), lever))
    every = sorted(candidates)
    seen_by_model = array("f", [grid.value(k) for k in every])
    cells = []
    for k, rounded in zip(every, seen_by_model, strict=True):
        value = grid.value(k)
        sides = [(value > boundary) - (value < boundary) for boundary in rule_boundaries]
        # The current value parts cells too: a range lies wholly on one side of it.
        cells.append((bisect_right(cuts, rounded), int(value > grid.current), *sides))
    ends = [
        at
        for at in range(len(every))
        if at in (0, len(every) - 1) or cells[at - 1] != cells[at] or cells[at] != cells[at + 1]
    ]
    return grid._replace(
        ks=tuple(every[at] for at in ends), cells=tuple(cells[at] for at in ends), rule_ks=rule_ks
    )


def _around(grid: Grid, boundaries: Iterable[float], lever: Lever) -> Iterable[int]:
    """The k on both sides of each boundary, and one more for what rounding to float32 may move."""
    ks: set[int] = set()
    for boundary in boundaries:
        if isfinite(boundary):
            nearest = floor((boundary - grid.low) / grid.step)
            ks.update(range(nearest - 1, nearest + 3))
    return _allowed(grid, ks, lever)


def _allowed(grid: Grid, ks: Iterable[int], lever: Lever) -> Iterable[int]:
    for k in ks:
        if not 0 <= k <= grid.last:
            continue
        value = grid.value(k)
        if value == grid.current:
            continue
        if lever.direction == "any" or (lever.direction == "up") == (value > grid.current):
            yield k


def _rule_boundaries(session: ReplaySession, rules: BoundLogic, feature: str) -> list[float]:
    """Numbers that the rules may compare ``feature`` with: constants, config, other features."""
    found: list[float] = []
    features = session.decision.features
    for parsed in (parsed for step in rules.steps for parsed in step.parsed):
        names, numbers = parsed.names, parsed.numbers
        if not names & {feature, f"features.{feature}"}:
            continue
        found.extend(numbers)
        for name in names:
            other = name.removeprefix("features.").removeprefix("config.")
            for value in (features.get(other), session.values.get(other)):
                if other != feature and (number := _current(value)) is not None:
                    found.append(number)
    return found


def _lever_of_cuts(value: Any, cuts: Iterable[float]) -> Lever | None:
    """The range of the model's cut points, a step wider at both ends so that each side counts."""
    points = sorted(cuts)
    if not points or _current(value) is None:
        return None
    low, high = points[0], points[-1]
    if isinstance(value, int):
        return Lever(floor(low) - 1, floor(high) + 2, 1.0, "any", True)
    extent = max(high - low, abs(high) * 0.01, 1e-6)
    step = 10.0 ** floor(log10(extent / 100))
    return Lever(
        round((floor(low / step) - 1) * step, 12), round((floor(high / step) + 2) * step, 12),
        step, "any", False,
    )  # fmt: skip


def _deviation(cuts: Iterable[float]) -> float:
    """Median absolute deviation of the cut points, or their extent, or their size, or 1."""
    points = sorted(cuts)
    if not points:
        return 1.0
    middle = points[len(points) // 2]
    deviations = sorted(abs(point - middle) for point in points)
    return deviations[len(points) // 2] or points[-1] - points[0] or abs(middle) or 1.0


def _current(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _decimals(value: float) -> int:
    """Decimals that the shortest text of ``value`` has."""
    digits, _, exponent = repr(value).partition("e")
    fraction = digits.partition(".")[2].rstrip("0")
    return max(0, len(fraction) - int(exponent or 0))


def _whole(*values: float) -> bool:
    return all(value == floor(value) for value in values)
