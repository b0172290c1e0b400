"""Pairs of groups made one: sharper bounds, and fewer groups to go through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, Ints, counted, distinct, places_of
from forensics.explain.search.boxes import EPSILON, Boxes, box_costs, tidied
from forensics.explain.search.effort import Effort


def merged(
    boxes: Boxes, below: float, *, size_max: int = 24, rounds: int = 3,
    effort: Effort | None = None, until: float = np.inf,
) -> Boxes | None:  # fmt: skip
    """The same problem with pairs of groups made one where that takes no more boxes.

    A joint group holds the pairs of boxes that meet, so its least value is the least of a sum
    instead of a sum of leasts: bounds get sharper and there are fewer groups to go through. Pairs
    that cost ``below`` or more are left out; None where nothing is left.
    """
    for turn in range(rounds):
        if effort is not None:
            work = _merge_work(boxes)
            if effort.is_over(until - effort.takes(*work)):
                break
            effort.spend(*work)
        found = _merge_once(boxes, below, size_max, 1.0 if turn < 2 else 1.3)
        if found is None:
            break
        boxes = found
    return tidied(boxes)


def _merge_work(boxes: Boxes) -> tuple[int, int]:
    """Operations of one round of merging, and the numbers that they handle."""
    axes, pairs = boxes.low.shape[1], 3 * boxes.groups
    meetings = pairs * (len(boxes.value) // max(1, boxes.groups)) ** 2
    return 60 + 8 * axes, 8 * boxes.groups**2 + meetings * (2 * axes + 14)


def _merge_once(boxes: Boxes, below: float, size_max: int, growth_max: float) -> Boxes | None:
    if boxes.groups < 2:
        return None
    start = boxes.start()
    sizes = np.diff(np.append(start, len(boxes.value)))
    bounded = (boxes.low > 0) | (boxes.high < np.array(boxes.sizes()) - 1)
    uses = np.maximum.reduceat(bounded, start, axis=0)
    first, second = _alike(boxes, uses, sizes, size_max)
    if not len(first):
        return None
    pair, value, low, high = _meetings(boxes, start, sizes, uses, first, second, below)
    counts = np.bincount(pair, minlength=len(first))
    growth = counts / (sizes[first] + sizes[second])
    taken = np.zeros(boxes.groups, dtype=np.bool_)
    chosen = []
    for at in np.argsort(growth, kind="stable"):
        if growth[at] > growth_max:
            break
        a, b = first[at], second[at]
        if counts[at] <= size_max and not taken[a] and not taken[b]:
            taken[a] = taken[b] = True
            chosen.append(at)
    if not chosen:
        return None
    number = np.full(len(first), -1)
    number[chosen] = boxes.groups + np.arange(len(chosen))
    new, stay = number[pair] >= 0, ~taken[boxes.group]
    group = np.concatenate([boxes.group[stay], number[pair[new]]])
    order = np.argsort(group, kind="stable")
    margins = np.concatenate([boxes.margin, boxes.margin[first[chosen]]])
    gone = np.append(taken, np.zeros(len(chosen), dtype=np.bool_))
    renumbered = np.cumsum(~gone) - 1
    owner = np.arange(boxes.groups)
    owner[first[chosen]] = owner[second[chosen]] = boxes.groups + np.arange(len(chosen))
    return replace(
        boxes, owner=renumbered[owner[boxes.owner]],
        group=renumbered[group[order]], margin=margins[~gone],
        value=np.concatenate([boxes.value[stay], value[new]])[order],
        low=np.concatenate([boxes.low[stay], low[new]])[order],
        high=np.concatenate([boxes.high[stay], high[new]])[order],
    )  # fmt: skip


def _alike(boxes: Boxes, uses: Flags, sizes: Ints, size_max: int) -> tuple[Ints, Ints]:
    """For each group the three others with which it shares most of its axes."""
    shared = np.zeros((boxes.groups, boxes.groups), dtype=np.float32)
    packed = np.packbits(uses, axis=1)
    for column in packed.T:
        shared += np.bitwise_count(column[:, None] & column[None, :])
    number = uses.sum(axis=1)
    alike = shared / (number[:, None] + number[None, :] - shared + 1e-9)
    alike -= 0.004 * (sizes[:, None] + sizes[None, :])
    alike[boxes.margin[:, None] != boxes.margin[None, :]] = -np.inf
    alike[sizes[:, None] * sizes[None, :] > 12 * size_max] = -np.inf
    np.fill_diagonal(alike, -np.inf)
    count, every = min(3, boxes.groups - 1), np.arange(boxes.groups)
    first, real = np.tile(every, count), []
    # Of equals the first, as no sort in parts promises.
    best = []
    for _ in range(count):
        best.append(alike.argmax(axis=1))
        real.append(np.isfinite(alike[every, best[-1]]))
        alike[every, best[-1]] = -np.inf
    second, known = np.concatenate(best), np.concatenate(real)
    first, second = first[known], second[known]
    code = distinct(np.minimum(first, second) * boxes.groups + np.maximum(first, second))
    return code // boxes.groups, code % boxes.groups


def _meetings(
    boxes: Boxes, start: Ints, sizes: Ints, uses: Flags, first: Ints, second: Ints, below: float
) -> tuple[Ints, Floats, Ints, Ints]:
    """Every pair of boxes of every pair of groups that meets and costs less than ``below``."""
    pair, within = counted(sizes[first] * sizes[second])
    a = start[first][pair] + within // sizes[second][pair]
    b = start[second][pair] + within % sizes[second][pair]
    both = uses[first] & uses[second]
    alive = np.ones(len(pair), dtype=np.bool_)
    for axis in places_of(np.asarray(both.any(axis=0))):
        # Boxes can only miss each other along an axis that both groups depend on.
        rows = places_of(both[:, axis][pair] & alive)
        low, high = boxes.low[:, axis].copy(), boxes.high[:, axis].copy()
        one, other = a[rows], b[rows]
        alive[rows] = (low[one] <= high[other]) & (low[other] <= high[one])
    pair, a, b = pair[alive], a[alive], b[alive]
    low = np.maximum(boxes.low[a], boxes.low[b])
    high = np.minimum(boxes.high[a], boxes.high[b])
    cheap = box_costs(boxes.lines, low, high) < below - EPSILON
    return pair[cheap], (boxes.value[a] + boxes.value[b])[cheap], low[cheap], high[cheap]
