"""How many decisions a query matches, about how many subjects, and with which outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensics.lake import find, looks
from forensics.lake.find import Query
from forensics.lake.snapshot import Snapshot
from forensics.records.times import from_micros


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the decisions that match; ``first`` and ``last`` are None where there is none."""

    decisions: int
    #: Different ones; decisions that name none are not among them.
    subjects: int
    without_subject: int
    first: datetime | None
    last: datetime | None
    #: Decisions by outcome, the most frequent first.
    outcomes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {name: getattr(self, name) for name in self.__slots__}


def tally(snapshot: Snapshot, query: Query) -> Tally:
    """Count the decisions that match ``query``.

    Raises:
        UsageError: as :func:`forensics.lake.find.rows`.
    """
    looks.saw(snapshot.root, (), decision_point=query.decision_point, question=f"count {query!r}")
    statement = find.statement(snapshot, query, micros=True)
    if statement is None:
        return Tally(0, 0, 0, None, None, {})
    with find.said(query):
        ((decisions, subjects, with_subject, first, last),) = snapshot.connection.execute(
            "SELECT count(*), count(DISTINCT subject), count(subject), min(occurred_at), "
            f"max(occurred_at) FROM ({statement})"
        ).fetchall()
        outcomes = snapshot.connection.execute(
            f"SELECT outcome, count(*) AS decisions FROM ({statement}) "
            "GROUP BY outcome ORDER BY decisions DESC, outcome"
        ).fetchall()
    return Tally(
        decisions,
        subjects,
        decisions - with_subject,
        None if first is None else from_micros(first),
        None if last is None else from_micros(last),
        dict(outcomes),
    )
