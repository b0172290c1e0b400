"""Two decisions by their ids, compared."""

from __future__ import annotations

from forensics.lake import read, summaries
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.diff import Diff, diff
from forensics.reconstruct.trace import USUAL_DAYS, decisions, not_found
from forensics.records.decision import Decision


def compare(snapshot: Snapshot, a: str, b: str) -> Diff:
    """What differs between the decisions that ``a`` and ``b`` name.

    Raises:
        NotFoundError: when one of them is not in the lake.
    """
    first, second = _one(snapshot, a), _one(snapshot, b)
    day = read.to_micros(first.occurred_at) // 86_400_000_000
    usual = summaries.usual(snapshot, first.decision_point, day - USUAL_DAYS, day)
    return diff(first, second, {name: u.q99 - u.q01 for name, u in usual.items()})


def _one(snapshot: Snapshot, identifier: str) -> Decision:
    found = decisions(snapshot, snapshot.locate(identifier), identifier)
    if not found:
        raise not_found(snapshot, identifier)
    return found[0][1]
