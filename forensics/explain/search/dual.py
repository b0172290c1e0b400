"""Lower bounds on cost for a whole problem at once, and what can therefore be left out of it.

The limits are priced into the cost (Lagrange multipliers), and each lever's cost is shared out to
the groups that depend on it, so that every group and every lever can be minimised alone: whatever
the prices and shares, the sum of those minima is a bound. Shares are improved lever by lever as in
max-product linear programming (Globerson and Jaakkola, 2007): a group hands over what it could do
with each part of the lever, and all of them get the same share of what the lever then costs. The
shares of a group are constant between its own boundaries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import (
    Flags,
    Floats,
    Ints,
    added,
    counted,
    distinct,
    leasts,
    places_of,
)
from forensics.explain.search.boxes import Boxes, Line
from forensics.explain.search.effort import Effort

_SCALES = np.array([0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0])
#: How much a price is changed to see whether another is better, at first and at least.
_FIRST_FACTOR, _LAST_FACTOR = 1.4, 1.04
_ROUNDS_A_TRIAL = 6
_PRICES = np.array([0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25])


class _Shares(NamedTuple):
    """One lever's parts: by part, its first and last cell, and the boxes of its group that meet it.

    ``users`` are the groups that depend on the lever and ``part`` is the number of the part by user
    and cell; ``user`` is the user by part. ``box`` are the boxes of those groups; ``part_of`` lists
    the parts that each of them meets, from ``box_start`` on; ``box_of`` lists the boxes that each
    part of ``met``, which are those that meet any, does, from ``part_start`` on. The last two are
    for leasts over parts.
    """

    users: Ints
    part: Ints
    user: Ints
    box: Ints
    first: Ints
    last: Ints
    part_of: Ints
    box_start: Ints
    box_of: Ints
    met: Ints
    part_start: Ints
    level: Ints
    level_last: Ints


class Dual:
    """Prices and shares for a problem, and the bound that they give.

    Args:
        boxes: the problem.
        prices: to begin with, by limit.
        start: of a problem that this one is a part of, whose shares to begin with.
    """

    def __init__(self, boxes: Boxes, prices: Floats, start: Dual | None = None) -> None:
        self.boxes = boxes
        #: Followers cost nothing themselves, but all groups have to see them in the same cell.
        self._lines = [*boxes.lines, *(_free(size, boxes) for size in boxes.follower_cells)]
        self.prices = np.where(np.isfinite(boxes.limit), prices, 0.0)
        self._room = np.where(np.isfinite(boxes.limit), boxes.limit - boxes.followed, 0.0)
        self._start = boxes.start()
        count = len(boxes.value)
        #: By lever and box: what the box has to bear of the lever's cost.
        self.borne = np.zeros((len(self._lines), count))
        #: By lever, by cell: what all groups together bear.
        self.given = [np.zeros(line.cells) for line in self._lines]
        self._shares = [_shares(boxes, at, line.cells) for at, line in enumerate(self._lines)]
        self._starts = [line.starts for line in self._lines]
        self._barred = 1.0 + 8.0 * sum(float(line.cost.max()) for line in boxes.lines)
        self._cost: list[Floats] = []
        self._priced = np.zeros(0)
        self._price()
        #: By lever, by part: its share.
        self._fair = [np.zeros(0 if own is None else len(own.first)) for own in self._shares]
        users = [own for own in self._shares if own is not None]
        sizes = [len(own.part_of) + 3 * len(own.first) + 2 * count for own in users]
        self._round_work = 8 * len(users) + 3, sum(sizes) + count
        if start is not None:
            self._inherit(start)

    def improve(self) -> None:
        """One round over all levers; the bound never gets worse by it."""
        total = self._priced + self.borne.sum(axis=0)
        for at, shares in enumerate(self._shares):
            if shares is None:
                continue
            alone = total - self.borne[at]
            # A part in which the group has no box is no place for the lever or follower to be.
            offers = np.full(len(shares.first), self._barred)
            offers[shares.met] = np.minimum.reduceat(alone[shares.box_of], shares.part_start)
            left = self._cost[at] + _spread(shares, offers, len(self._cost[at]))
            self._share(at, _range_least(left, shares) / (len(shares.users) + 1) - offers)
            total = alone + self.borne[at]

    @property
    def round_work(self) -> tuple[int, int]:
        """Operations of one round over all levers, and the numbers that they handle."""
        return self._round_work

    @property
    def fixed(self) -> float:
        """What the bound is when nothing depends on levers."""
        return -float((self.prices * self._room).sum())

    def bound(self) -> float:
        """No point that keeps the limits costs less."""
        return self._groups_least() + self._lines_least() + self.fixed

    def reprice(self) -> None:
        """Moves the prices to where the bound is best with the shares as they are."""
        self._rescale()
        for at in np.flatnonzero(self.prices):
            self._move_price(int(at))

    def climb(self, enough: float, trials: int, effort: Effort, until: float) -> None:
        """Looks for better prices, letting the shares follow each, until the bound is enough.

        Args:
            enough: the bound that is.
            trials: of prices, at most.
            effort: where work is counted.
            until: how much of it may be spent in all.
        """
        if not self.prices.any():
            return
        factor, best, refused = _FIRST_FACTOR, self.bound(), 0
        for _ in range(trials):
            kept = self.prices.copy(), self.borne.copy(), self.given, self._fair
            self.given, self._fair = list(self.given), list(self._fair)
            self.prices *= factor
            self._price()
            for _ in range(_ROUNDS_A_TRIAL):
                self.improve()
                effort.spend(*self.round_work)
            self._rescale()
            effort.spend(*self.round_work)
            now = self.bound()
            if now >= enough or effort.is_over(until):
                return
            if now > best + 1e-3 * abs(best):
                best, refused = now, 0
                continue
            self.prices, self.borne, self.given, self._fair = kept
            self._price()
            factor, refused = 1.0 / factor, refused + 1
            if refused == 2:
                factor, refused = factor**0.5, 0
                if abs(factor - 1.0) < _LAST_FACTOR - 1.0:
                    return

    def spare_boxes(self, gap: float) -> Flags:
        """The boxes that a point may be in whose cost is less than the bound plus ``gap``."""
        reduced = self._priced + self.borne.sum(axis=0)
        if not len(reduced):
            return np.ones(0, dtype=np.bool_)
        least = np.minimum.reduceat(reduced, self._start)
        return np.asarray(reduced - least[self.boxes.group] < gap)

    def spare_positions(self, gap: float) -> list[Flags]:
        """By lever, likewise the positions."""
        found = []
        for at in range(len(self.boxes.lines)):
            left = self.position_costs(at)
            found.append(left - left.min() < gap)
        return found

    def position_costs(self, at: int) -> Floats:
        """By position of one lever: what no group bears of its cost, and its priced linear part.

        Followers come after the levers.
        """
        line = self._lines[at]
        cost = line.cost if not line.linear.any() else line.cost + self._priced_linear(line)
        return np.asarray(cost - self.given[at][line.cell])

    def reduced_values(self) -> Floats:
        """By box, its priced value and what it bears."""
        return np.asarray(self._priced + self.borne.sum(axis=0))

    def _priced_linear(self, line: Line) -> Floats:
        """By position, the priced linear part of a line."""
        # Not a matrix product: its last digits differ between processors.
        return np.asarray((self.prices[:, None] * line.linear).sum(axis=0))

    def _price(self) -> None:
        """Works out what depends on prices."""
        boxes = self.boxes
        self._priced = boxes.weights(self.prices) * boxes.value
        if not self._cost or any(line.linear.any() for line in self._lines):
            self._cost = []
            for line, starts in zip(self._lines, self._starts, strict=True):
                cost = line.cost + (self._priced_linear(line) if line.linear.any() else 0.0)
                self._cost.append(
                    cost if len(cost) == len(starts) else np.minimum.reduceat(cost, starts)
                )

    def _groups_least(self) -> float:
        if not len(self._priced):
            return 0.0
        return float(np.minimum.reduceat(self.reduced_values(), self._start).sum())

    def _lines_least(self) -> float:
        pairs = zip(self._cost, self.given, strict=True)
        return float(sum((cost - given).min() for cost, given in pairs))

    def _share(self, at: int, fair: Floats) -> None:
        """Sets the shares of one lever."""
        shares = self._shares[at]
        assert shares is not None
        self._fair[at] = fair
        self.given[at] = _spread(shares, fair, len(self._cost[at]))
        self.borne[at][shares.box] = np.minimum.reduceat(fair[shares.part_of], shares.box_start)

    def _inherit(self, start: Dual) -> None:
        """Takes over the shares of a larger problem, those of joined groups together."""
        old = np.full(int(start.boxes.member.max(initial=-1)) + 1, -1)
        old[start.boxes.member] = start.boxes.owner
        width = start.boxes.groups + 1
        code = distinct(self.boxes.owner * width + old[self.boxes.member] + 1)
        pairs = np.stack([code // width, code % width - 1], axis=1)
        begin = np.searchsorted(pairs[:, 0], np.arange(self.boxes.groups + 1))
        for at, shares in enumerate(self._shares):
            before = start._shares[at]
            if shares is None or before is None:
                continue
            # Where each part begins, in cells of the larger problem.
            line, larger = self._lines[at], start._lines[at]
            place = np.searchsorted(larger.origin, line.origin[line.starts[shares.first]])
            cell = larger.cell[place]
            group = shares.users[shares.user]
            counts = begin[group + 1] - begin[group]
            part, within = counted(counts)
            source = pairs[begin[group][part] + within, 1]
            user = np.full(start.boxes.groups, -1)
            user[before.users] = np.arange(len(before.users))
            real = user[source] >= 0
            part, source = part[real], user[source[real]]
            amounts = start._fair[at][before.part[source, cell[part]]]
            self._share(at, added(part, amounts, len(group)))

    def _rescale(self) -> None:
        """Prices and shares times one factor."""
        fixed = self._groups_least() + self.fixed
        found = _SCALES * fixed
        for at, line in enumerate(self._lines):
            if line.linear.any():
                spread = self._priced_linear(line) - self.given[at][line.cell]
                found += (line.cost + _SCALES[:, None] * spread).min(axis=1)
            else:
                cost, given = self._cost[at], self.given[at]
                found += (cost - _SCALES[:, None] * given).min(axis=1)
        scale = _SCALES[found.argmax()]
        if scale != 1.0:
            self.prices *= scale
            self.borne *= scale
            self.given = [given * scale for given in self.given]
            self._fair = [fair * scale for fair in self._fair]
            self._price()

    def _move_price(self, at: int) -> None:
        boxes = self.boxes
        if any(line.linear.any() for line in self._lines) or not len(self._priced):
            return
        borne = self.borne.sum(axis=0)
        unit = np.zeros(len(self.prices))
        unit[at] = self.prices[at]
        own = boxes.weights(unit) * boxes.value
        found = np.minimum.reduceat(
            self._priced + borne + (_PRICES - 1.0)[:, None] * own, self._start, axis=1
        ).sum(axis=1)
        found -= _PRICES * self.prices[at] * self._room[at]
        factor = _PRICES[found.argmax()]
        if factor != 1.0:
            self.prices[at] *= factor
            self._price()


def _free(size: int, boxes: Boxes) -> Line:
    """A line of so many cells that cost nothing."""
    cells, linear = np.arange(size), np.zeros((len(boxes.limit_sign), size))
    return Line(np.zeros(size), cells, cells, linear, np.zeros(size, dtype=np.bool_), False)


def _shares(boxes: Boxes, at: int, size: int) -> _Shares | None:
    """The parts of one line for each group that depends on it; None if no group does."""
    low, high = boxes.low[:, at], boxes.high[:, at]
    bounded = (low > 0) | (high < size - 1)
    if not bounded.any():
        return None
    uses = np.zeros(boxes.groups, dtype=np.bool_)
    uses[boxes.group[bounded]] = True
    users = places_of(uses)
    number = uses.cumsum() - 1
    box = places_of(uses[boxes.group])
    group = number[boxes.group[box]]
    low, high = low[box], high[box]
    begins = np.zeros((len(users), size + 1), dtype=np.bool_)
    begins[group, low] = True
    begins[group, high + 1] = True
    begins = begins[:, :size]
    begins[:, 0] = True
    part = begins.ravel().cumsum().reshape(begins.shape) - 1
    user, first = np.nonzero(begins)
    last = np.append(first[1:], 0) - 1
    last[last < 0] = size - 1
    from_part, to_part = part[group, low], part[group, high]
    counts = to_part - from_part + 1
    which, within = counted(counts)
    box_start = counts.cumsum() - counts
    part_of = from_part[which] + within
    order = np.argsort(part_of, kind="stable")
    box_of = box[which][order]
    met, part_start = np.unique(part_of[order], return_index=True)
    level = np.frexp((last - first + 1).astype(np.float64))[1] - 1
    return _Shares(
        users, part, user, box, first, last, part_of, box_start, box_of, met, part_start,
        level, last + 1 - (1 << level),
    )  # fmt: skip


def _spread(shares: _Shares, amounts: Floats, size: int) -> Floats:
    """By cell, the sum of the amounts of all parts that hold it."""
    steps = added(shares.first, amounts, size + 1)
    steps -= added(shares.last + 1, amounts, size + 1)
    return np.asarray(steps[:size].cumsum())


def _range_least(values: Floats, shares: _Shares) -> Floats:
    """By part, the least value within it."""
    table = leasts(values)
    row = shares.level * len(values)
    found: Floats = np.minimum(table[row + shares.first], table[row + shares.level_last])
    return found
