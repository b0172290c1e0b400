"""Two decisions by their ids, compared."""

from __future__ import annotations

from forensics.lake.snapshot import Snapshot
from forensics.lake.usual import usual as usual_of
from forensics.reconstruct.diff import Diff, diff
from forensics.reconstruct.named import named
from forensics.reconstruct.trace import USUAL_DAYS
from forensics.records.decision import Decision
from forensics.records.times import DAY_US, to_micros


def compare(snapshot: Snapshot, a: str, b: str) -> Diff:
    """What differs between the decisions that ``a`` and ``b`` name.

    Raises:
        NotFoundError: when one of them is not in the lake.
    """
    first, second = _one(snapshot, a), _one(snapshot, b)
    day = to_micros(first.occurred_at) // DAY_US
    usual = usual_of(snapshot, first.decision_point, day - USUAL_DAYS, day)
    return diff(first, second, {name: u.q99 - u.q01 for name, u in usual.items()})


def _one(snapshot: Snapshot, identifier: str) -> Decision:
    return named(snapshot, snapshot.locate(identifier), identifier)[0][1]
