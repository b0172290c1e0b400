"""How far evidence carries a claim about what would have been, by decision.

The classes are those of :mod:`forensics.reconstruct.completeness`, for many decisions at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.lake.batches import Batch
from forensics.replay.bulk.identity import Identities
from forensics.replay.bulk.plan import Plan
from forensics.replay.evidence import json_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: ``none``: not even what happened can be reproduced for sure. C0: what happened can be. C1: also
#: what a stricter rule would have done. C2: also what a looser one would have.
CLASSES = ("none", "C0", "C1", "C2")
_COLUMNS = ("execution.pure", "execution.calls", "candidates_coverage", "score")


def classes(
    batch: Batch, identity: Identities, plans: Sequence[Plan], replayable: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """The place in :data:`CLASSES` of each row's class.

    Args:
        batch: the decisions.
        identity: their groups.
        plans: of the groups.
        replayable: which rows lack nothing that replay needs.
    """
    batch.load(_COLUMNS, seldom=True)
    pure = batch.numbers("execution.pure")
    whole = np.zeros(batch.rows, np.bool_)
    if pure is not None:
        numbers, there = pure
        whole |= (numbers == 1) & (True if there is None else there)
    calls = batch.texts("execution.calls")
    if calls is not None:
        said = np.array([bool(json_value(text)) for text in calls.values] + [False], np.bool_)
        whole |= said[calls.codes]
    whole &= replayable
    scored = batch.numbers("score")
    if scored is None or scored[1] is not None:
        whole &= False if scored is None else scored[1]
    whole &= ~_without_features(batch, whole)
    stricter = np.array([_for_stricter(plan) for plan in plans], np.bool_)[identity.groups.codes]
    coverage = batch.texts("candidates_coverage")
    looser = np.zeros(batch.rows, np.bool_)
    if coverage is not None and "exhaustive" in coverage.values:
        looser = coverage.codes == coverage.values.index("exhaustive")
    found = np.where(stricter, np.where(looser, 3, 2), 1)
    return np.where(whole, found, 0).astype(np.int8)


def _without_features(batch: Batch, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the rows asked for have no feature with a value; reads the columns it takes."""
    none = asked.copy()
    for name in batch.features:
        if not none.any():
            break
        batch.load((f"features.{name}",), seldom=True)
        none &= ~batch.present(name)
    return none


def _for_stricter(plan: Plan) -> bool:
    """Whether the values that a stricter rule would have been given were recorded."""
    values = json_value(plan.decision.config.get("values"))
    if not values:
        return False
    return plan.decision.threshold is not None or "threshold" in values
