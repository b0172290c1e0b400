"""What compiled expressions see: boxes of positions and scores, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from forensics.explain.search import intervals as iv
from forensics.explain.search.arrays import Flags, Floats, Ints
from forensics.explain.search.axes import Axis
from forensics.explain.search.intervals import Number, Truth


class Box(NamedTuple):
    """Boxes to judge: first and last position by box and lever, range by box and score."""

    low: Ints
    high: Ints
    score_low: Floats
    score_high: Floats


Run = Callable[["Scene"], Any]


class Part(NamedTuple):
    """A compiled expression and what it depends on.

    ``loose`` levers matter value by value. ``text`` and ``truth`` say what it gives, ``nothing``
    that it is NULL.
    """

    run: Run
    levers: frozenset[int]
    scores: frozenset[int]
    loose: frozenset[int]
    text: bool
    truth: bool
    nothing: bool = False


class Scene:
    """Boxes, and what was worked out for them so far."""

    def __init__(self, box: Box, axes: Sequence[Axis]) -> None:
        self.box = box
        self.axes = axes
        self.known: dict[int, Any] = {}


class Atom:
    """A condition on one lever: what it may be at each position."""

    def __init__(self, lever: int, truth: Truth, size: int) -> None:
        self.lever = lever
        flags = np.stack([np.broadcast_to(part, size) for part in truth])
        self.flags = flags
        self._sums = _sums(flags)

    def codes(self) -> Ints:
        """By position a number for what it is there; another one wherever that is unknown."""
        known = self.flags[0] + 2 * self.flags[1] + 4 * self.flags[2]
        unknown = self.flags.sum(axis=0) > 1
        return np.where(unknown, 8 + np.arange(len(known)), known)

    def settle(self, chosen: Ints) -> None:
        """Keeps some positions only."""
        self.flags = self.flags[:, chosen]
        self._sums = _sums(self.flags)

    def over(self, low: Ints, high: Ints) -> Truth:
        """What is possible within ranges of positions."""
        some = self._sums[:, high + 1] > self._sums[:, low]
        return Truth(some[0], some[1], some[2])


def _sums(flags: Flags) -> Ints:
    return np.concatenate([np.zeros((3, 1), np.int64), np.cumsum(flags, axis=1)], axis=1)


def unknown_truth(scene: Scene) -> Truth:
    """Anything."""
    return iv.UNKNOWN_TRUTH


def once(run: Run) -> Run:
    """Runs only once for the same boxes."""

    def remembered(scene: Scene) -> Any:
        key = id(remembered)
        if key not in scene.known:
            scene.known[key] = run(scene)
        return scene.known[key]

    return remembered


def lever_value(lever: int, nan: bool) -> Run:
    """What a lever can be; ``nan`` says that its current value is that and not NULL."""

    def run(scene: Scene) -> Number:
        axis = scene.axes[lever]
        low, high = scene.box.low[:, lever], scene.box.high[:, lever]
        if not axis.null:
            return iv.between(axis.values[low], axis.values[high])
        some = high > 0
        if nan:  # to SQL it is above every number; the real decision may tell
            return Number(
                np.where(low == 0, -np.inf, axis.values[low]),
                np.where(low == 0, np.inf, axis.values[high]),
                low == 0, np.ones(len(low), dtype=np.bool_),
            )  # fmt: skip
        return Number(
            np.where(some, axis.values[np.maximum(low, 1) if axis.size > 1 else low], np.inf),
            np.where(some, axis.values[high], -np.inf),
            low == 0, some,
        )  # fmt: skip

    return run


def score_value(score: int) -> Run:
    """What a score can be."""

    def run(scene: Scene) -> Number:
        return iv.between(scene.box.score_low[:, score], scene.box.score_high[:, score])

    return run
