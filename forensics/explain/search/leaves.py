"""A tree ensemble with most features fixed: the few leaves that levers can still reach, as boxes.

Every tree is walked with the decision's own values; only at a lever do both sides stay open. What
is left of a leaf is a box over the cells of the levers. A leaf that takes cells which are not
neighbours (categories, missing values) becomes several boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forensics.explain.search.axes import is_missing, rounded
from forensics.explain.search.intervals import Flags, Floats
from forensics.explain.search.problem import Model
from forensics.replay.ensemble import MISSING_IS_ZERO

Cells = npt.NDArray[np.int32]


class Leaves(NamedTuple):
    """Boxes in which a tree of a model adds a value to one of its outputs, tree after tree.

    ``low`` and ``high`` are the first and last cell, by box and axis; ``base`` is the part of each
    output that no axis can change.
    """

    tree: Cells
    output: Cells
    value: Floats
    low: Cells
    high: Cells
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
    goes_left = np.zeros(len(feature), dtype=bool)
    goes_left[nodes] = _left(model, nodes, row[feature[nodes]])
    last_left = np.full(len(feature), -1, dtype=np.int32)
    masks: dict[int, tuple[Flags, npt.NDArray[np.int64]]] = {}
    for at, side in enumerate(sides):
        if side is None:
            continue
        mine = np.flatnonzero(of_node == at)
        if _plain(model, mine, side.cells):
            order = "left" if ensemble.below else "right"
            last_left[mine] = np.searchsorted(side.cells, threshold[mine], side=order) - 1
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


def _plain(model: Model, nodes: npt.NDArray[np.int64], cells: Floats) -> bool:
    """Whether each of the nodes sends the first few cells left and the others right."""
    ensemble = model.ensemble
    if np.isnan(cells).any() or (np.diff(cells) < 0).any():
        return False
    if ensemble.sets and any(int(node) in ensemble.sets for node in nodes):
        return False
    return not is_missing(np.asarray(ensemble.missing)[nodes][:, None], cells[None, :]).any()


def _left(model: Model, nodes: npt.NDArray[np.int64], values: Floats) -> Flags:
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


class _Walk(NamedTuple):
    feature: npt.NDArray[np.int32]
    children: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
    of_node: npt.NDArray[np.int64]
    goes_left: Flags
    last_left: Cells
    masks: dict[int, tuple[Flags, npt.NDArray[np.int64]]]

    def down(
        self, roots: npt.NDArray[np.int32], sizes: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Cells, Cells]:
        """Tree, leaf node and box of everything that can be reached."""
        node, tree = roots, np.arange(len(roots))
        low = np.zeros((len(roots), len(sizes)), dtype=np.int32)
        high = np.tile(np.array(sizes, dtype=np.int32) - 1, (len(roots), 1))
        allowed = {at: np.ones((len(roots), sizes[at]), dtype=bool) for at in self.masks}
        done = []
        while len(node):
            ended = self.feature[node] < 0
            if ended.any():
                kept = {at: mask[ended] for at, mask in allowed.items()}
                done.append(_runs(tree[ended], node[ended], low[ended], high[ended], kept))
                on = ~ended
                node, tree, low, high = node[on], tree[on], low[on], high[on]
                allowed = {at: mask[on] for at, mask in allowed.items()}
            axis = self.of_node[node]
            fixed = np.flatnonzero(axis < 0)
            parts = [
                (fixed, np.where(self.goes_left[node[fixed]], *(c[node[fixed]] for c in self.children)))
            ]
            moved = [(low[fixed], high[fixed], {at: mask[fixed] for at, mask in allowed.items()})]
            for side in (0, 1):
                taken, *box = self._side(node, axis, low, high, allowed, side)
                parts.append((taken, self.children[side][node[taken]]))
                moved.append((box[0], box[1], box[2]))
            node = np.concatenate([part[1] for part in parts])
            tree = np.concatenate([tree[part[0]] for part in parts])
            low = np.concatenate([part[0] for part in moved])
            high = np.concatenate([part[1] for part in moved])
            allowed = {at: np.concatenate([part[2][at] for part in moved]) for at in allowed}
        return tuple(np.concatenate(part) for part in zip(*done, strict=True))  # type: ignore[return-value]

    def _side(
        self, node: npt.NDArray[np.int32], axis: npt.NDArray[np.int64], low: Cells, high: Cells,
        allowed: dict[int, Flags], side: int,
    ) -> tuple[npt.NDArray[np.int64], Cells, Cells, dict[int, Flags]]:  # fmt: skip
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
        return every, new_low, new_high, new_allowed


def _runs(
    tree: npt.NDArray[np.int64], node: npt.NDArray[np.int32], low: Cells, high: Cells,
    allowed: dict[int, Flags],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Cells, Cells]:  # fmt: skip
    """Boxes with sets of cells as boxes with ranges of cells."""
    masks = dict(allowed)
    for at in allowed:
        mask = masks.pop(at)
        edge = np.zeros((len(mask), 1), dtype=bool)
        closed = np.hstack([edge, mask, edge])
        begin, end = closed[:, 1:] & ~closed[:, :-1], closed[:, :-1] & ~closed[:, 1:]
        rows, first = np.nonzero(begin)
        _, last = np.nonzero(end)
        tree, node, low, high = tree[rows], node[rows], low[rows], high[rows]
        low[:, at], high[:, at] = first, last - 1
        masks = {number: other[rows] for number, other in masks.items()}
    return tree, node, low, high
