"""A tree ensemble with most features fixed: the few leaves that levers can still reach, as boxes.

Every tree is walked with the decision's own values; only at a lever do both sides stay open. What
is left of a leaf is a box over the cells of the levers. A leaf that takes cells which are not
neighbours (categories, missing values) becomes several boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, Ints, spans
from forensics.explain.search.axes import is_missing, rounded
from forensics.explain.search.problem import Model
from forensics.replay.ensemble import MISSING_IS_ZERO

#: Rows at a time.
_CHUNK = 64


class Leaves(NamedTuple):
    """Boxes in which a tree of a model adds a value to one of its outputs, tree after tree.

    ``low`` and ``high`` are the first and last cell, by box and axis; ``base`` is the part of each
    output that no axis can change.
    """

    tree: Ints
    output: Ints
    value: Floats
    low: Ints
    high: Ints
    base: Floats


class Side(NamedTuple):
    """An axis as a model sees it: what it is given in each cell, NaN where that is missing."""

    feature: int
    cells: Floats


def reachable(model: Model, sides: Sequence[Side | None], sizes: Sequence[int]) -> Leaves:
    """The leaves of the model that some combination of cells reaches.

    Args:
        model: with its recorded row.
        sides: by axis, how the model sees it, None where it does not.
        sizes: cells of each axis.
    """
    ensemble = model.ensemble
    feature = np.asarray(ensemble.feature)
    threshold = np.asarray(ensemble.threshold)
    children = np.asarray(ensemble.left), np.asarray(ensemble.right)
    axis_of = np.full(len(model.row), -1)
    for at, side in enumerate(sides):
        if side is not None:
            axis_of[side.feature] = at
    inner = feature >= 0
    of_node = np.full(len(feature), -1)
    of_node[inner] = axis_of[feature[inner]]
    nodes = np.flatnonzero(inner & (of_node < 0))
    row = rounded(model, np.asarray(model.row, dtype=np.float64))
    goes_left = np.zeros(len(feature), dtype=np.bool_)
    goes_left[nodes] = _left(model, nodes, row[feature[nodes]])
    last_left = np.full(len(feature), -1, dtype=np.int32)
    masks: dict[int, tuple[Flags, Ints]] = {}
    for at, side in enumerate(sides):
        if side is None:
            continue
        mine = np.flatnonzero(of_node == at)
        if _plain(model, mine, side.cells):
            below = np.searchsorted(
                side.cells, threshold[mine], side="left" if ensemble.below else "right"
            )
            last_left[mine] = below - 1
        else:
            place = np.full(len(feature), -1)
            place[mine] = np.arange(len(mine))
            cells = np.broadcast_to(side.cells, (len(mine), len(side.cells)))
            masks[at] = _left(model, mine, cells), place
    walk = _Walk(feature, children, of_node, goes_left, last_left, masks)
    tree, leaf, low, high = walk.down(np.asarray(ensemble.roots), sizes)
    base = np.asarray(ensemble.base, dtype=np.float64).copy()
    value = np.asarray(ensemble.value, dtype=np.float64)[leaf]
    output = np.asarray(ensemble.output)[tree]
    order = np.argsort(tree, kind="stable")
    return Leaves(
        tree[order].astype(np.int32), output[order].astype(np.int32), value[order], low[order],
        high[order], base,
    )  # fmt: skip


def only(leaves: Leaves, which: Flags | Ints) -> Leaves:
    """Some of the leaves."""
    return Leaves(
        leaves.tree[which], leaves.output[which], leaves.value[which], leaves.low[which],
        leaves.high[which], leaves.base,
    )  # fmt: skip


def holding(leaves: Leaves, mine: Ints, axis: int, first: int, last: int) -> Ints:
    """The leaves among some that meet a range of cells of one axis."""
    return np.asarray(mine[(leaves.low[mine, axis] <= last) & (leaves.high[mine, axis] >= first)])


def sums(leaves: Leaves, mine: Ints, first: Ints, last: Ints) -> tuple[Floats, Floats]:
    """By row, the sums over trees of the least and of the greatest leaf that it may be in."""
    if not len(mine) or not len(first):
        return np.zeros(len(first)), np.zeros(len(first))
    varied = []
    for axis in range(first.shape[1]):
        ends = int(first[:, axis].min()), int(last[:, axis].max())
        mine = holding(leaves, mine, axis, *ends)
        if ends[0] != ends[1]:
            varied.append(axis)
    value, tree = leaves.value[mine], leaves.tree[mine]
    if not varied:
        total = np.full(len(first), value.sum())
        return total, total
    starts, _ = spans(tree)
    least, most = np.empty(len(first)), np.empty(len(first))
    for begin in range(0, len(first), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        inside = np.ones((len(first[rows]), len(mine)), dtype=np.bool_)
        for axis in varied:
            low, high = leaves.low[mine, axis], leaves.high[mine, axis]
            inside &= (low <= last[rows, axis, None]) & (high >= first[rows, axis, None])
        low, high = np.where(inside, value, np.inf), np.where(inside, value, -np.inf)
        least[rows] = np.minimum.reduceat(low, starts, axis=1).sum(axis=1)
        most[rows] = np.maximum.reduceat(high, starts, axis=1).sum(axis=1)
    return least, most


def _plain(model: Model, nodes: Ints, cells: Floats) -> bool:
    """Whether each of the nodes sends the first few cells left and the others right."""
    ensemble = model.ensemble
    if np.isnan(cells).any() or (np.diff(cells) < 0).any():
        return False
    if ensemble.sets and any(int(node) in ensemble.sets for node in nodes):
        return False
    return not is_missing(np.asarray(ensemble.missing)[nodes][:, None], cells[None, :]).any()


def _left(model: Model, nodes: Ints, values: Floats) -> Flags:
    """Whether each node sends its value, or each of its row of values, to the left."""
    ensemble = model.ensemble
    missing = np.asarray(ensemble.missing)[nodes]
    threshold = np.asarray(ensemble.threshold)[nodes]
    default = np.asarray(ensemble.default_left)[nodes].astype(bool)
    if values.ndim == 2:
        missing, threshold, default = missing[:, None], threshold[:, None], default[:, None]
    known = np.where(np.isnan(values) & (missing == MISSING_IS_ZERO), 0.0, values)
    left = known < threshold if ensemble.below else known <= threshold
    for at, node in enumerate(nodes) if ensemble.sets else ():
        members = ensemble.sets.get(int(node))
        if members is not None:
            left[at] = np.isin(known[at], list(members))
    return np.where(is_missing(missing, values), default, left)


class _Open(NamedTuple):
    """Nodes on the way down: which they were, and what is left of their boxes."""

    taken: Ints
    low: Ints
    high: Ints
    allowed: dict[int, Flags]


class _Walk(NamedTuple):
    feature: Ints
    children: tuple[Ints, Ints]
    of_node: Ints
    goes_left: Flags
    last_left: Ints
    masks: dict[int, tuple[Flags, Ints]]

    def down(self, roots: Ints, sizes: Sequence[int]) -> tuple[Ints, Ints, Ints, Ints]:
        """Tree, leaf node and box of everything that can be reached."""
        node, tree = roots, np.arange(len(roots))
        low = np.zeros((len(roots), len(sizes)), dtype=np.int32)
        high = np.tile(np.array(sizes, dtype=np.int32) - 1, (len(roots), 1))
        allowed = {at: np.ones((len(roots), sizes[at]), dtype=np.bool_) for at in self.masks}
        done = [_runs(tree[:0], node[:0], low[:0], high[:0], {})]
        while len(node):
            ended = self.feature[node] < 0
            if ended.any():
                kept = {at: mask[ended] for at, mask in allowed.items()}
                done.append(_runs(tree[ended], node[ended], low[ended], high[ended], kept))
                inner = ~ended
                node, tree, low, high = node[inner], tree[inner], low[inner], high[inner]
                allowed = {at: mask[inner] for at, mask in allowed.items()}
            axis = self.of_node[node]
            fixed = np.flatnonzero(axis < 0)
            left, right = (child[node[fixed]] for child in self.children)
            on = _Open(
                fixed, low[fixed], high[fixed], {at: mask[fixed] for at, mask in allowed.items()}
            )
            sides = [self._side(node, axis, low, high, allowed, side) for side in (0, 1)]
            parts = [on, *sides]
            node = np.concatenate(
                [
                    np.where(self.goes_left[node[fixed]], left, right),
                    *(self.children[at][node[side.taken]] for at, side in enumerate(sides)),
                ]
            )
            tree = np.concatenate([tree[part.taken] for part in parts])
            low = np.concatenate([part.low for part in parts])
            high = np.concatenate([part.high for part in parts])
            allowed = {at: np.concatenate([part.allowed[at] for part in parts]) for at in allowed}
        return (
            np.concatenate([part[0] for part in done]),
            np.concatenate([part[1] for part in done]),
            np.concatenate([part[2] for part in done]),
            np.concatenate([part[3] for part in done]),
        )

    def _side(
        self, node: Ints, axis: Ints, low: Ints, high: Ints,
        allowed: dict[int, Flags], side: int,
    ) -> _Open:  # fmt: skip
        """The open nodes that go to one side for some cells, with what is left of their boxes."""
        at = np.flatnonzero(axis >= 0)
        taken = []
        for number, (mask, place) in self.masks.items():
            here = at[axis[at] == number]
            goes = mask[place[node[here]]]
            kept = allowed[number][here] & (goes if side == 0 else ~goes)
            some = kept.any(axis=1)
            taken.append((number, here[some], kept[some]))
            at = at[axis[at] != number]
        edge = self.last_left[node[at]]
        lever = axis[at]
        open_ = low[at, lever] <= edge if side == 0 else high[at, lever] > edge
        at, edge, lever = at[open_], edge[open_], lever[open_]
        every = np.concatenate([at, *(part[1] for part in taken)])
        new_low, new_high = low[every], high[every]
        rows = np.arange(len(at))
        if side == 0:
            new_high[rows, lever] = np.minimum(new_high[rows, lever], edge)
        else:
            new_low[rows, lever] = np.maximum(new_low[rows, lever], edge + 1)
        new_allowed = {number: mask[every] for number, mask in allowed.items()}
        begin = len(at)
        for number, here, kept in taken:
            new_allowed[number][begin : begin + len(here)] = kept
            begin += len(here)
        return _Open(every, new_low, new_high, new_allowed)


def _runs(
    tree: Ints, node: Ints, low: Ints, high: Ints,
    allowed: dict[int, Flags],
) -> tuple[Ints, Ints, Ints, Ints]:  # fmt: skip
    """Boxes with sets of cells as boxes with ranges of cells."""
    masks = dict(allowed)
    for at in allowed:
        mask = masks.pop(at)
        edge = np.zeros((len(mask), 1), dtype=np.bool_)
        closed = np.hstack([edge, mask, edge])
        begin, end = closed[:, 1:] & ~closed[:, :-1], closed[:, :-1] & ~closed[:, 1:]
        rows, first = np.nonzero(begin)
        _, last = np.nonzero(end)
        tree, node, low, high = tree[rows], node[rows], low[rows], high[rows]
        low[:, at], high[:, at] = first, last - 1
        masks = {number: other[rows] for number, other in masks.items()}
    return tree, node, low, high
