"""Reachable leaves against walking the trees: the boxes of a tree hold every point exactly once."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from decisions import margins, random_decision

from forensics.explain.search.leaves import sums
from forensics.explain.search.space import Space
from forensics.lake.sql import Connection


def _seeds(count: int, *, follow: bool) -> list[int]:
    """Of decisions in which something moves, and features follow levers only where they may."""
    made = ((seed, random_decision(seed)) for seed in range(count))
    return [seed for seed, one in made if one.levers and (follow or not one.derived)]


@pytest.mark.parametrize("seed", _seeds(60, follow=False))
def test_sums_over_boxes_are_the_models_margins(seed: int, connection: Connection) -> None:
    written = random_decision(seed)
    space = Space(written.problem(connection), {"APPROVE"})
    every = list(itertools.product(*(range(axis.size) for axis in space.axes)))
    points = np.array(random.Random(seed).sample(every, min(len(every), 100)))
    low, high = space.margins(points)
    assert (low == high).all()
    for at, (number, output) in enumerate(space.scores.margins):
        model = written.models[number]
        for row, point in zip(low, points, strict=True):
            features = list(model.row)
            for axis, place in zip(space.axes, point, strict=True):
                if axis.lever.name in model.names:
                    name = model.names.index(axis.lever.name)
                    features[name] = float(axis.inputs[number][place])
            assert row[at] == pytest.approx(margins(model.ensemble, features)[output], abs=1e-9)


@pytest.mark.parametrize("seed", _seeds(60, follow=False))
def test_boxes_of_a_tree_part_the_space(seed: int, connection: Connection) -> None:
    written = random_decision(seed)
    space = Space(written.problem(connection), {"APPROVE"})
    sizes = [int(axis.cells[-1]) + 1 for axis in space.axes]
    points = np.array(list(itertools.product(*(range(size) for size in sizes))))[:2000]
    for leaves in space.leaves:
        inside = (
            (leaves.low <= points[:, None, :]) & (points[:, None, :] <= leaves.high)
        ).all(axis=2)  # fmt: skip
        for tree in np.unique(leaves.tree):
            assert (inside[:, leaves.tree == tree].sum(axis=1) == 1).all()


@pytest.mark.parametrize("seed", _seeds(40, follow=True))
def test_ranges_of_margins_hold_all_margins_within(seed: int, connection: Connection) -> None:
    """Also where features follow levers, for whose range there is only arithmetic."""
    written = random_decision(seed)
    space = Space(written.problem(connection), {"APPROVE"})
    rng = np.random.default_rng(seed)
    last = space.last[0]
    ends = np.sort(rng.integers(0, last + 1, (50, 2, len(last))), axis=1)
    low, high = space.margins(ends[:, 0], ends[:, 1])
    inside = rng.integers(ends[:, 0], ends[:, 1] + 1)
    least, most = space.margins(inside)
    assert (low <= least + 1e-9).all()
    assert (most <= high + 1e-9).all()


def test_no_leaves_add_nothing(connection: Connection) -> None:
    space = Space(random_decision(3).problem(connection), {"APPROVE"})
    nothing = np.zeros(0, dtype=np.int64)
    below, above = sums(space.leaves[0], nothing, space.first, space.last)
    assert (below == 0).all()
    assert (above == 0).all()
