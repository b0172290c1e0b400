"""How far the values of an answer may go on in their direction without changing the outcome."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from forensics.explain.search.around import Around
from forensics.explain.search.arrays import Flags, Ints, distinct, in_all, spans
from forensics.explain.search.axes import Axis
from forensics.explain.search.problem import Range
from forensics.explain.search.space import Space

#: Combinations of parts that are looked at one by one.
_COMBINATIONS_MAX = 128
_CORNERS_MAX = 16
#: Levers whose ranges are made as wide as they go.
_WIDENED_MAX = 4


class _Parts(NamedTuple):
    """A lever's positions from the answer's outward, in parts that models do not tell apart.

    Both arrays have a position by part; ``near`` is the end towards the answer.
    """

    near: Ints
    far: Ints

    def first(self, count: int) -> _Parts:
        return _Parts(self.near[:count], self.far[:count])


class Extent:
    """An answer, widened to ranges all of whose combinations are answers.

    Each changed lever goes on from the answer's value away from the current one, cell by cell, as
    far as the outcome surely holds; for categories, over all that hold. Where many levers change
    they only go to the ends of their cells.

    Args:
        space: the decision.
        point: the answer.
        around: what boxes have in common that differ from it in the changed levers alone.
    """

    def __init__(self, space: Space, point: Ints, around: Around) -> None:
        self._space = space
        self._point = point
        self._levers = [at for at, axis in enumerate(space.axes) if point[at] != axis.current]
        self._around = around
        self._held = self._cells()
        if 0 < len(self._levers) <= _WIDENED_MAX:
            self._held = self._alone()
            if len(self._levers) > 1:
                self._held = self._together(self._held)

    def ranges(self) -> dict[str, Range]:
        """By name of each changed lever, its range."""
        axes = self._space.axes
        return {axes[at].lever.name: _range(axes[at], parts) for at, parts in self._held.items()}

    def corners(self) -> list[dict[str, Any]]:
        """Settings at ends of the ranges other than the answer itself; some, if there are many."""
        ends = {}
        for name, found in self.ranges().items():
            ends[name] = list(dict.fromkeys([found.near, found.far, *found.choices]))
        if prod(len(own) for own in ends.values()) <= _CORNERS_MAX:
            every = product(*ends.values())
            return [dict(zip(ends, chosen, strict=True)) for chosen in every][1:]
        near = {name: own[0] for name, own in ends.items()}
        far = {name: own[-1] for name, own in ends.items()}
        one = [{**near, name: value} for name, own in ends.items() for value in own[1:]]
        return [far, *one][:_CORNERS_MAX]

    def _cells(self) -> dict[int, _Parts]:
        """Each lever's first part, if all of them hold together; else the answer alone."""
        held = {
            at: _parts(self._space.axes[at], int(self._point[at])).first(1) for at in self._levers
        }
        low, high = self._point[None, :].copy(), self._point[None, :].copy()
        for at, parts in held.items():
            low[:, at] = np.minimum(parts.near, parts.far)
            high[:, at] = np.maximum(parts.near, parts.far)
        if self._space.sure(low, high, self._around)[0]:
            return held
        return {at: _Parts(parts.near, parts.near) for at, parts in held.items()}

    def _alone(self) -> dict[int, _Parts]:
        """Each lever's parts that hold while the others stay at the answer."""
        every = {at: _parts(self._space.axes[at], int(self._point[at])) for at in self._levers}
        counts = np.array([len(parts.near) for parts in every.values()])
        low = np.repeat(self._point[None, :], counts.sum(), 0)
        high = low.copy()
        begin = 0
        for at, parts in every.items():
            rows = slice(begin, begin + len(parts.near))
            low[rows, at] = np.minimum(parts.near, parts.far)
            high[rows, at] = np.maximum(parts.near, parts.far)
            begin += len(parts.near)
        sure = np.split(self._space.sure(low, high, self._around), np.cumsum(counts)[:-1])
        return {
            at: self._kept(at, parts, flags)
            for (at, parts), flags in zip(every.items(), sure, strict=True)
        }

    def _kept(self, at: int, parts: _Parts, sure: Flags) -> _Parts:
        if self._space.axes[at].lever.categories:
            sure[0] = True
            return _Parts(parts.near[sure], parts.far[sure])
        held = _run(sure)
        found = parts.first(held)
        if held < len(sure) and parts.near[held] != parts.far[held]:
            near, far = int(parts.near[held]), self._within(at, parts, held)
            if far is not None:
                found = _Parts(np.append(found.near, near), np.append(found.far, far))
        if len(found.near):
            return found
        return _Parts(parts.near[:1], parts.near[:1])

    def _within(self, at: int, parts: _Parts, part: int) -> int | None:
        """How far into a part that does not hold as a whole the answer goes on."""
        near, far = int(parts.near[part]), int(parts.far[part])
        step = 1 if far > near else -1
        known, refused = -1, abs(far - near)
        while refused - known > 1:
            tried = distinct(np.linspace(known + 1, refused - 1, 32).astype(np.int64))
            low = np.repeat(self._point[None, :], len(tried), 0)
            high = low.copy()
            ends = near + step * tried
            low[:, at], high[:, at] = np.minimum(near, ends), np.maximum(near, ends)
            held = _run(self._space.sure(low, high, self._around))
            refused = int(tried[held]) if held < len(tried) else refused
            known = int(tried[held - 1]) if held else known
        return None if known < 0 else near + step * known

    def _together(self, alone: dict[int, _Parts]) -> dict[int, _Parts]:
        """As many parts of each lever as hold in all combinations, one lever after the other."""
        held = {at: parts.first(1) for at, parts in alone.items()}
        for at, parts in sorted(alone.items(), key=lambda pair: len(pair[1].near)):
            others = {other: own for other, own in held.items() if other != at}
            count = prod(len(own.near) for own in others.values())
            if count * len(parts.near) > _COMBINATIONS_MAX:
                if any(self._space.axes[other].lever.categories for other in others):
                    continue
                others = {
                    other: _Parts(own.near[:1], own.far[-1:]) for other, own in others.items()
                }
                count = 1
            rows = np.arange(count * len(parts.near))
            low = np.repeat(self._point[None, :], len(rows), 0)
            high = low.copy()
            left = rows // len(parts.near)
            for other, own in [*others.items(), (at, parts)]:
                pick = rows % len(parts.near) if other == at else left % len(own.near)
                left = left if other == at else left // len(own.near)
                low[:, other] = np.minimum(own.near[pick], own.far[pick])
                high[:, other] = np.maximum(own.near[pick], own.far[pick])
            sure = in_all(
                self._space.sure(low, high, self._around).reshape(count, len(parts.near)).T
            )
            if self._space.axes[at].lever.categories:
                sure[0] = True
                held[at] = _Parts(parts.near[sure], parts.far[sure])
            else:
                held[at] = parts.first(max(1, _run(sure)))
        return held


def _run(flags: Flags) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())


def _parts(axis: Axis, at: int) -> _Parts:
    """A lever's positions from the answer's outward, by cells."""
    places = np.arange(axis.size)
    if axis.lever.categories:
        others = places[(places != at) & (places != axis.current)]
        every = np.append(at, others)
        return _Parts(every, every)
    outward = places[at:] if at > axis.current else places[int(axis.null) : at + 1][::-1]
    cells = axis.cells[outward]
    first, last = spans(cells)
    return _Parts(outward[first], outward[last])


def _range(axis: Axis, parts: _Parts) -> Range:
    near, last = int(parts.near[0]), int(parts.far[-1])
    whole = axis.whole or axis
    if axis.lever.categories:
        places = [int(place) for place in parts.near]
        if axis.whole is not None:
            spans = [(int(axis.first[place]), int(axis.last[place])) for place in places]
            places = [place for first, end in spans for place in range(first, end + 1)]
        choices = tuple(whole.raw(place) for place in places if place != whole.current)
        return Range(axis.raw(near), axis.raw(near), False, choices)
    outer = last
    if axis.whole is not None:
        outer = int(axis.last[last] if near > axis.current else axis.first[last])
    end = whole.size - 1 if near > axis.current else int(whole.null)
    return Range(axis.raw(near), whole.raw(outer), outer == end)
