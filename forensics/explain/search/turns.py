"""Conditions on one score alone, worked out once: where along the score they turn.

A calibrated score is an expression of dozens of branches, and the logic asks at most on which side
of a threshold it is. So each condition that depends on one score alone is followed along that score
until every turn is known to within rounding, and then looked up. What is left of a calibration is a
bound on the model's own score, as if the model were bare.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forensics.explain.search.arrays import Flags, Floats, Ints, places_of
from forensics.explain.search.intervals import Truth
from forensics.explain.search.scenes import Run, Scene

#: Scores are told apart up to here.
_SCORE_MAX = 1e12
_SPLIT, _ROUNDS = 128, 8
#: More stretches than these that turn somewhere are not followed further, nor more doubtful ones.
_UNKNOWN_MAX, _DOUBTFUL_MAX = 64, 8
#: A turn is known when it lies within this much, relative to 1 or the score's size.
_NARROW = 1e-10

#: A flip must hold when the score is off by this much, relative to 1 or its own size.
SCORE_MARGIN = 1e-6

#: What a condition may be over ranges of its score.
Asked = Callable[[Floats, Floats], Truth]


class ScoreAtom:
    """A condition on one score: what it may be along it, once that is worked out.

    Attributes:
        score: which one.
        turns: ranges of the score in which the answer changes, none wider than the leeway that a
            flip must bear.
        size: how many parts the condition has.
    """

    def __init__(self, score: int, run: Run) -> None:
        self.score = score
        self.turns: list[tuple[float, float]] = []
        self.size = 1
        self._run = run
        self._starts: Floats | None = None
        self._end = 0.0
        self._sums = np.zeros((3, 0), np.int64)

    def run(self, scene: Scene) -> Truth:
        """What the condition may be over the boxes of a scene."""
        if self._starts is not None:
            low = scene.box.score_low[:, self.score]
            high = scene.box.score_high[:, self.score]
            if (low >= self._starts[0]).all() and (high <= self._end).all():
                return self._over(low, high)
        truth: Truth = self._run(scene)
        return truth

    def settle(self, low: float, high: float, ask: Asked) -> int:
        """Works out the answers from ``low`` to ``high``; for how many ranges it had to ask.

        Args:
            low: the least that the score can be.
            high: the most.
            ask: the condition as it is written.
        """
        low, high = (min(max(end, -_SCORE_MAX), _SCORE_MAX) for end in (low, high))
        if not low <= high:
            return 0
        follow = _Follow(ask)
        follow.to(np.array([low]), np.array([high]), _NARROW, _UNKNOWN_MAX)
        starts, ends, flags = follow.joined()
        # Where both sides answer alike there may be no turn at all: rounding was allowed for.
        doubtful = _between(flags, alike=True) & (ends - starts <= 0.99 * leeway(ends))
        if doubtful.any():
            follow.known = [(starts[~doubtful], ends[~doubtful], flags[:, ~doubtful])]
            follow.to(starts[doubtful], ends[doubtful], 0.0, _DOUBTFUL_MAX)
            starts, ends, flags = follow.joined()
        turning = _between(flags, alike=False) & (ends - starts <= 0.99 * leeway(ends))
        self.turns = list(zip(starts[turning].tolist(), ends[turning].tolist(), strict=True))
        self._starts, self._end = starts, float(ends[-1])
        self._sums = np.concatenate([np.zeros((3, 1), np.int64), np.cumsum(flags, axis=1)], axis=1)
        return follow.asked

    def _over(self, low: Floats, high: Floats) -> Truth:
        assert self._starts is not None
        first = np.searchsorted(self._starts, low, "right") - 1
        # A stretch holds for its end too, so one that begins where the range ends is not needed.
        last = np.maximum(first, np.searchsorted(self._starts, high, "left") - 1)
        some = self._sums[:, last + 1] > self._sums[:, first]
        return Truth(some[0], some[1], some[2])


class _Follow:
    """What a condition answers along its score, asked ever more closely where it is not known."""

    def __init__(self, ask: Asked) -> None:
        self.ask = ask
        self.asked = 0
        self.known: list[tuple[Floats, Floats, Flags]] = []

    def to(self, below: Floats, above: Floats, narrow: float, most: int) -> None:
        """Follows some stretches until what is not known is narrow, or more than ``most`` parts."""
        for _ in range(_ROUNDS):
            widths = (above - below) / _SPLIT
            starts = (below[:, None] + widths[:, None] * np.arange(_SPLIT)).ravel()
            ends = np.append(starts[1:], above[-1])
            ends[_SPLIT - 1 :: _SPLIT] = above
            flags = self._flags(starts, ends)
            unknown = flags.sum(axis=0) > 1
            # Between neighbouring numbers there is no other: what holds at both is all.
            tight = places_of(unknown & (np.nextafter(starts, np.inf) >= ends))
            if len(tight):
                flags[:, tight] = self._flags(starts[tight], starts[tight])
                flags[:, tight] |= self._flags(ends[tight], ends[tight])
                unknown[tight] = False
            unknown &= ends - starts > narrow * np.maximum(1.0, np.abs(starts))
            unknown &= _followed(unknown.reshape(len(below), _SPLIT).sum(axis=1), most)
            self.known.append((starts[~unknown], ends[~unknown], flags[:, ~unknown]))
            below, above = starts[unknown], ends[unknown]
            if not len(below):
                return
        self.known.append((below, above, flags[:, unknown]))

    def joined(self) -> tuple[Floats, Floats, Flags]:
        """Starts, ends and answers of stretches in order, those joined that answer alike."""
        starts, ends, flags = (
            np.concatenate([part[at] for part in self.known], axis=-1) for at in range(3)
        )
        order = np.lexsort((ends, starts))
        starts, ends, flags = starts[order], ends[order], flags[:, order]
        first = np.append(True, (flags[:, 1:] != flags[:, :-1]).any(axis=0))
        return starts[first], np.append(starts[first][1:], ends[-1]), flags[:, first]

    def _flags(self, low: Floats, high: Floats) -> Flags:
        """Whether the condition may be true, false and NULL, by range."""
        self.asked += len(low)
        return np.stack([np.broadcast_to(flag, low.shape) for flag in self.ask(low, high)])


def _between(flags: Flags, *, alike: bool) -> Flags:
    """Stretches of which more is possible, between others that answer alike, or do not."""
    found = np.zeros(flags.shape[1], np.bool_)
    found[1:-1] = (flags[:, :-2] != flags[:, 2:]).any(axis=0) != alike
    return np.asarray(found & (flags.sum(axis=0) > 1))


def leeway(score: Floats) -> Floats:
    """By how much each score may be off, 0 where it is endless."""
    size = np.maximum(1.0, np.abs(score))
    return SCORE_MARGIN * np.where(np.isfinite(size), size, 0.0)


def _followed(unknown: Ints, most: int) -> Flags:
    """For each part of each stretch whether it may be followed on, where that is not known.

    Few parts of a stretch turn where it is a turn; where nearly all do the condition is of a kind
    that cannot be worked out there.

    Args:
        unknown: by stretch, how many of its parts are not known.
        most: how many may be followed in all.
    """
    followed = np.zeros(len(unknown), np.bool_)
    order = np.argsort(unknown, kind="stable")
    followed[order] = np.cumsum(unknown[order]) <= most
    return np.repeat(followed, _SPLIT)
