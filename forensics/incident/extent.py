"""How long an incident lasted that one decision belongs to, as far as known changes tell.

A change shortly before begins it, and the next change of the same component ends it: most often
the rollback. Whether that change was the cause is for the postmortem's author to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes import Change, between

#: A change that began it is looked for so far back.
BEFORE = timedelta(hours=12)
#: One that ended it, so far on.
AFTER = timedelta(days=7)
#: What is taken on a side where no change is known.
OTHERWISE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Extent:
    """From ``since`` to before ``until``; the changes are None where none is known."""

    since: datetime
    until: datetime
    begun_by: Change | None
    ended_by: Change | None

    @property
    def words(self) -> str:
        """What it is taken from, in one or two sentences."""
        hours = f"{OTHERWISE.total_seconds() / 3600:.0f} hours"
        if self.begun_by is None:
            within = f"{BEFORE.total_seconds() / 3600:.0f} hours"
            return f"No change is known in the {within} before: {hours} before and after."
        begins = f"It begins with {self.begun_by.statement}"
        if self.ended_by is not None:
            return f"{begins}; it ends with {self.ended_by.statement}."
        return (
            f"{begins}. No later change of {self.begun_by.component} within "
            f"{AFTER.days} days is known: {hours} on."
        )


def extent(changes: Iterable[Change], time: datetime) -> Extent:
    """The extent of the incident around a time.

    Args:
        changes: all that are known, in any order.
        time: of a decision that belongs to it.
    """
    known = sorted(changes, key=lambda change: change.true_from)
    before = [one for one in known if time - BEFORE < one.true_from <= time]
    if not before:
        return Extent(time - OTHERWISE, time + OTHERWISE, None, None)
    begun = before[-1]
    later = (
        one
        for one in known
        if time < one.true_from <= time + AFTER
        and (one.kind, one.component) == (begun.kind, begun.component)
    )
    ended = next(later, None)
    until = ended.true_from if ended is not None else time + OTHERWISE
    return Extent(begun.true_from, until, begun, ended)


def extent_at(snapshot: Snapshot, decision_point: str, time: datetime) -> Extent:
    """The extent of the incident that a time of a decision point's decisions lies in.

    Args:
        snapshot: the lake.
        decision_point: whose changes count.
        time: of a decision.
    """
    return extent(between(snapshot, decision_point=decision_point), time)
