"""What all decisions of a window are like, for those that diverge to be compared with.

Counted only where some do: it takes a look at columns that replay does not need.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forensics.replay.bulk import attributes
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.tally import Values, add_values
from forensics.replay.bulk.task import SegmentTask, Told, asked_for

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class Census:
    """Decisions by hour since 1970, and by the values of attributes."""

    hours: Counter[int] = field(default_factory=Counter)
    attributes: dict[str, Values] = field(default_factory=dict)

    def add(self, other: Census) -> None:
        """Count another's decisions too."""
        self.hours.update(other.hours)
        add_values(self.attributes, other.attributes)


def count_segment(task: SegmentTask) -> Census:
    """Count part of a data file: a plain function, like the one that replays it.

    Raises:
        IntegrityError: when the file is not what was written.
        UsageError: when the condition cannot be evaluated.
    """
    with Engine(task.root, task.point, task.types) as engine:
        return count(engine, task)


def count(engine: Engine, task: SegmentTask, told: Told | None = None) -> Census:
    """As :func:`count_segment`, with an engine that is there, telling of each batch."""
    found = Census()
    for batch, wanted in asked_for(engine, task):
        rows = batch.rows if wanted is None else len(wanted)
        if rows:
            hours = attributes.hours(batch)
            found.hours.update(_counted(hours if wanted is None else hours[wanted]))
            counts = {
                name: attributes.values(column, wanted)
                for name, column in attributes.recorded(batch).items()
            }
            add_values(found.attributes, counts)
        if told is not None:
            told(batch.rows, rows)
    return found


def _counted(numbers: NDArray[np.int64]) -> dict[int, int]:
    low = int(numbers.min())
    if int(numbers.max()) - low < len(numbers):
        counts = np.bincount(numbers - low)
        return {low + int(at): int(counts[at]) for at in np.flatnonzero(counts)}
    values, every = np.unique(numbers, return_counts=True)
    return dict(zip(values.tolist(), every.tolist(), strict=True))
