"""What rows of a batch lack for a plan, beyond what the plan itself knows to be missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from forensics.lake.batches import Batch
from forensics.lake.grouping import grouped
from forensics.replay.bulk.plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]


class Lacks:
    """What some rows lack; ``flags`` says which lack anything.

    Args:
        plan: how they are to be replayed.
        batch: with the features loaded that are no numbers.
        rows: which rows; all where None.
        unscored: those of them without a recorded score, where that counts.
        changed: features that are given other values than the recorded ones.
    """

    def __init__(
        self,
        plan: Plan,
        batch: Batch,
        rows: Longs | None,
        unscored: Flags | None = None,
        changed: Collection[str] = (),
    ) -> None:
        count = batch.rows if rows is None else len(rows)
        self._missing = plan.missing
        self._lacks: list[tuple[str, Flags]] = []
        for model in plan.models.values():
            for at, name in enumerate(model.names):
                if name in model.use.features or at in model.description.texts or name in changed:
                    continue
                if name in batch.features and batch.is_text(name):
                    there = batch.present(name, rows)
                    if there.any():
                        why = f"features.{name} (text where the model needs a number)"
                        self._lacks.append((why, there))
        if plan.needs_model and unscored is not None and unscored.any():
            self._lacks.append(("score", unscored))
        self.flags = np.full(count, bool(plan.missing))
        for _, flags in self._lacks:
            self.flags |= flags

    def patterns(self) -> Iterator[tuple[Longs, tuple[str, ...]]]:
        """Which of the rows lack the same, and what it is."""
        some = np.flatnonzero(self.flags)
        groups = grouped((flags[some].astype(np.int8) for _, flags in self._lacks), len(some))
        for group, first in enumerate(groups.first):
            texts = [text for text, flags in self._lacks if flags[some[first]]]
            yield some[groups.codes == group], (*self._missing, *texts)
