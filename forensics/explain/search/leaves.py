"""A tree ensemble with most features fixed: the few leaves that levers can still reach, as boxes.

Every tree is walked with the decision's own values; only at a lever do both sides stay open. What
is left of a leaf is a box over the cells of the levers. A leaf that takes cells which are not
neighbours (categories, missing values) becomes several boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, Ints, places_of, spans
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
    # A leaf, whose feature is -1, asks about the last of these, which is no axis.
    axis_of = np.full(len(model.row) + 1, -1)
    for at, side in enumerate(sides):
        if side is not None:
            axis_of[side.feature] = at
    of_node = axis_of[feature]
    nodes = places_of((feature >= 0) & (of_node < 0))
    row = rounded(model, np.asarray(model.row, dtype=np.float64))
    goes_left = _left(model, nodes, row[feature[nodes]])
    past = np.arange(len(feature))
    past[nodes] = np.where(goes_left, *(child[nodes] for child in children))
    last_left = np.full(len(feature), -1, dtype=np.int32)
    masks: dict[int, tuple[Flags, Ints]] = {}
    asking = places_of(of_node >= 0)
    asking = asking[np.argsort(of_node[asking], kind="stable")]
    ends = of_node[asking].searchsorted(np.arange(len(sides) + 1))
    for at, side in enumerate(sides):
        if side is None:
            continue
        mine = asking[ends[at] : ends[at + 1]]
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
    walk = _Walk(feature, children, of_node, past, last_left, masks)
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
    """Nodes that go to one side.

    Attributes:
        taken: which they are; first those that part their axis in two.
        edge: by each of those, the last cell of the lower part.
        kept: by axis with sets of cells, rows of ``taken`` and the cells that are left of them.
    """

    taken: Ints
    edge: Ints
    kept: list[tuple[int, Ints, Flags]]


class _Walk(NamedTuple):
    """How the nodes of all trees are walked.

    Attributes:
        feature: by node, -1 at a leaf.
        children: by node, the left and the right one.
        of_node: by node, the axis that it asks about, -1 for none.
        past: by node, where the recorded row goes on from it if it asks about no axis; else itself.
        last_left: by node, the last cell that goes left.
        masks: by axis with sets of cells, those that go left by node, and each node's place there.
    """

    feature: Ints
    children: tuple[Ints, Ints]
    of_node: Ints
    past: Ints
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
            while ((on := self.past[node]) != node).any():
                node = on
            ended = self.feature[node] < 0
            if ended.any():
                kept = {at: mask[ended] for at, mask in allowed.items()}
                done.append(_runs(tree[ended], node[ended], low[ended], high[ended], kept))
                inner = ~ended
                node, tree, low, high = node[inner], tree[inner], low[inner], high[inner]
                allowed = {at: mask[inner] for at, mask in allowed.items()}
            axis = self.of_node[node]
            sides = [self._side(node, axis, low, high, allowed, side) for side in (0, 1)]
            taken = np.concatenate([side.taken for side in sides])
            node = np.concatenate(
                [self.children[at][node[side.taken]] for at, side in enumerate(sides)]
            )
            axis, low, high, tree = axis[taken], low[taken], high[taken], tree[taken]
            allowed = {at: mask[taken] for at, mask in allowed.items()}
            begin = 0
            for number, (ends, side) in enumerate(zip((high, low), sides, strict=True)):
                cut = np.arange(begin, begin + len(side.edge))
                ends[cut, axis[cut]] = side.edge + number
                for at, rows, left in side.kept:
                    allowed[at][begin + rows] = left
                begin += len(side.taken)
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
        """The open nodes that go to one side for some cells, and what is left of their boxes."""
        at = np.arange(len(node))
        taken, kept = [], []
        for number, (mask, place) in self.masks.items():
            here = at[axis[at] == number]
            goes = mask[place[node[here]]]
            left = allowed[number][here] & (goes if side == 0 else ~goes)
            some = left.any(axis=1)
            taken.append(here[some])
            kept.append((number, left[some]))
            at = at[axis[at] != number]
        edge = self.last_left[node[at]]
        lever = axis[at]
        first, last = low[at, lever], high[at, lever]
        open_ = places_of(first <= edge if side == 0 else last > edge)
        at, edge, first, last = at[open_], edge[open_], first[open_], last[open_]
        edge = np.minimum(last, edge) if side == 0 else np.maximum(first - 1, edge)
        rows: list[tuple[int, Ints, Flags]] = []
        begin = len(at)
        for (number, own), here in zip(kept, taken, strict=True):
            rows.append((number, np.arange(begin, begin + len(here)), own))
            begin += len(here)
        return _Open(np.concatenate([at, *taken]), edge, rows)


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
