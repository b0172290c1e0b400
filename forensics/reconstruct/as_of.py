"""The state at a time: what was in force, where, how much of the traffic, since when, and by whom.

What decisions used before and after that time is evidence; what was announced is a claim. Between
an announcement and the first decision that shows it, the state says both: what was announced, and
what had been seen last. Bitemporal: with ``known_by`` it is answered from what we knew then.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from forensics.errors import ForensicsError
from forensics.lake import policies
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes import explicit
from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.changes.declared import standing_overrides
from forensics.reconstruct.changes.query import Account, account
from forensics.reconstruct.changes.runs import last_runs
from forensics.reconstruct.in_force import in_force
from forensics.reconstruct.pipelines import pipelines
from forensics.reconstruct.state import Ended, Live, Overridden, Pipeline, State
from forensics.records.jsontext import loads

__all__ = ["Evidence", "State", "as_of"]


class Evidence:
    """What is known of the changes of a lake, worked out once for all times that are asked for.

    Args:
        snapshot: the lake.
        known_by: leave out what was recorded, else received, later.
    """

    def __init__(self, snapshot: Snapshot, known_by: datetime | None = None) -> None:
        self.snapshot, self.known_by = snapshot, known_by
        self._accounts: dict[tuple[str | None, Hashable], Account] = {}

    def account(self, point: str | None) -> Account:
        """The changes of a decision point; those that concern no point that decided where None."""
        key = point, policies.eyes(self.snapshot.root)  # what one may see another may not
        if key not in self._accounts:
            self._accounts[key] = account(self.snapshot, point, known_by=self.known_by)
        return self._accounts[key]


def as_of(
    snapshot: Snapshot,
    time: datetime,
    *,
    decision_point: str | None = None,
    known_by: datetime | None = None,
    changes: int = 10,
    evidence: Evidence | None = None,
) -> State:
    """The state at ``time``.

    Args:
        snapshot: the lake.
        time: when.
        decision_point: only this one.
        known_by: answer from what was recorded, else received, by then.
        changes: how many of the newest changes before to tell.
        evidence: of this snapshot and ``known_by``, where more than one time is asked for.
    """
    evidence = evidence or Evidence(snapshot, known_by)
    points: list[str | None] = [decision_point]
    if decision_point is None:
        points = [*snapshot.points()] or [None]
    live: list[Live] = []
    ended: list[Ended] = []
    told: list[Change] = []
    ran: dict[str, Pipeline] = {}
    lasts = last_runs(snapshot, time, known_by)
    for point in points:
        known = evidence.account(point)
        found = in_force(snapshot, known, time, known_by)
        live += _with_values(snapshot, found.live)
        ended += found.ended
        told += [change for change in known.changes if change.true_from <= time]
        for pipeline in pipelines(known, lasts, found.served, time):
            other = ran.get(pipeline.job)
            served = {*pipeline.served, *(other.served if other else ())}
            ran[pipeline.job] = replace(pipeline, served=tuple(sorted(served)))
    announced = explicit.recorded(snapshot, decision_point=decision_point, known_by=known_by)
    standing, last, wide = standing_overrides(
        snapshot, time, decision_point=decision_point, known_by=known_by
    )
    return State(
        time,
        tuple(sorted(live, key=_place)),
        tuple(_newest(told)[:changes]),
        known_by,
        tuple(sorted(ran.values(), key=lambda pipeline: pipeline.job)),
        tuple(_standing(announced, time)),
        Overridden(standing, last, tuple(wide)),
        tuple(ended),
    )


_ORDER = {"model": 0, "config": 1, "rules": 2, "code": 3}
_STATUS = {"live": 0, "announced": 1, "last_seen": 2}


def _place(live: Live) -> tuple[object, ...]:
    return (
        live.decision_point, live.environment != "production", live.environment,
        _ORDER.get(live.kind, 9), live.kind, live.name or "", _STATUS[live.status],
        -(live.share or 0), live.version or "", live.digest or "",
    )  # fmt: skip


def _newest(changes: Iterable[Change]) -> list[Change]:
    """Changes newest first; one of several decision points once."""
    once = {(change.change_id, change.occurred_at): change for change in changes}
    return sorted(once.values(), key=lambda change: change.true_from, reverse=True)


def _standing(announced: Iterable[Change], time: datetime) -> Iterable[Change]:
    """The newest word on each flag and control, where it has not expired."""
    seen: set[tuple[str | None, ...]] = set()
    for change in announced:  # newest first
        if change.kind not in ("flag", "control", "override") or change.occurred_at > time:
            continue
        place = (change.kind, change.component, change.decision_point, change.environment)
        if place not in seen and (change.expires_at is None or change.expires_at > time):
            yield change
        seen.add(place)


def _with_values(snapshot: Snapshot, live: Iterable[Live]) -> list[Live]:
    """Configurations with their values, from the artifacts where no decision near had them."""
    store = ArtifactStore(snapshot.root)
    return [
        replace(line, values=_values(store, line.digest))
        if line.kind == "config" and line.values is None and line.digest
        else line
        for line in live
    ]


def _values(store: ArtifactStore, digest: str) -> Mapping[str, Any] | None:
    try:
        data = store.read(digest)
        values = loads(data.decode()) if data is not None else None
    except (ForensicsError, ValueError):
        return None
    return values if isinstance(values, dict) else None
