"""Asking for changes: all of a window, or those that may concern one decision."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes import declared, explicit, matched, runs
from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.changes.runs import JobRun
from forensics.reconstruct.changes.uses import Uses, transitions
from forensics.reconstruct.changes.uses import uses as uses_of
from forensics.records.times import to_micros

#: As many recorded changes are looked at for one decision; older ones concern it hardly.
_NEAREST = 500
#: And so far back runs of the pipelines that fed it.
_RUNS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Account:
    """All that is known of the changes of one decision point."""

    #: Newest first.
    changes: tuple[Change, ...]
    uses: Uses
    matched: matched.Matched
    #: Those that tell something.
    runs: tuple[JobRun, ...]


def account(
    snapshot: Snapshot,
    decision_point: str | None,
    *,
    known_by: datetime | None = None,
    runs_from: datetime | None = None,
    runs_until: datetime | None = None,
    jobs: Collection[str] | None = None,
    near: explicit.Near | None = None,
) -> Account:
    """The changes of one decision point, whoever tells of them.

    Args:
        snapshot: the lake.
        decision_point: its name; where None, all that was recorded and ran, and no decisions.
        known_by: leave out what we learnt later.
        runs_from: leave out what runs did earlier.
        runs_until: leave out runs that ended later.
        jobs: pipelines whose runs are compared, as ``namespace/name``; all where None.
        near: of recorded changes, only those around a time; all where None.
    """
    said = explicit.recorded(snapshot, decision_point=decision_point, known_by=known_by, near=near)
    if decision_point is None:
        found = Uses(snapshot, "", known_by, {})
    else:
        found = uses_of(snapshot, decision_point, known_by)
    ran = runs.runs(snapshot, since=runs_from, until=runs_until, known_by=known_by, jobs=jobs)
    seen = transitions(found)
    earlier = [one.occurred_at for one in said if near is not None and one.occurred_at <= near.time]
    if near is not None and len(earlier) >= near.most:  # an older one may have been announced
        oldest = earlier[near.most - 1]
        seen = (item for item in seen if item.change.occurred_at >= oldest)
    result = matched.match(said, found, seen, runs.differences(snapshot, ran))
    changes = [*result.changes, *explicit.expiries(said)]
    if near is None:  # for one decision the declaration in force tells more than its changes
        changes += declared.declared(snapshot, decision_point, known_by)
    # Those of other points were only needed to know which runs somebody had announced.
    mine = [c for c in changes if decision_point is None or _is_of(c, decision_point)]
    mine.sort(key=matched.order, reverse=True)
    return Account(tuple(mine), found, result, tuple(ran))


def _is_of(change: Change, decision_point: str) -> bool:
    return change.decision_point in (None, decision_point)


def before(
    snapshot: Snapshot,
    time: datetime,
    *,
    decision_point: str | None = None,
    environment: str | None = None,
    digests: Collection[str] = (),
    jobs: Collection[str] = (),
    known_by: datetime | None = None,
    limit: int | None = 20,
) -> list[Change]:
    """Changes that may concern a decision, newest first.

    Args:
        snapshot: the lake.
        time: only changes up to this time.
        decision_point: leave out changes that name another decision point; of all points where
            None.
        environment: leave out changes that name another environment, unless they brought one of
            ``digests``: what was rolled out to one environment may well run in another.
        digests: artifacts that the decision used.
        jobs: pipelines that fed it, as ``namespace/name``; their runs of the week before are
            compared.
        known_by: leave out what we learnt later.
        limit: how many at most, beside those that brought ``digests``; all where None.
    """
    return with_runs(
        snapshot,
        time,
        decision_point=decision_point,
        environment=environment,
        digests=digests,
        jobs=jobs,
        known_by=known_by,
        limit=limit,
    )[0]


def with_runs(
    snapshot: Snapshot,
    time: datetime,
    *,
    decision_point: str | None = None,
    environment: str | None = None,
    digests: Collection[str] = (),
    jobs: Collection[str] = (),
    runs_from: datetime | None = None,
    known_by: datetime | None = None,
    limit: int | None = 20,
) -> tuple[list[Change], list[JobRun]]:
    """:func:`before`, with the runs that were compared, in the order of their ends.

    ``runs_from`` is the time from which on they are; a week before ``time`` where None.
    """
    found: list[Change] = []
    ran: dict[tuple[str, str], JobRun] = {}
    for point in [decision_point] if decision_point is not None else _points(snapshot):
        known = account(
            snapshot,
            point,
            known_by=known_by,
            runs_from=runs_from or time - _RUNS,
            runs_until=time,
            jobs=jobs,
            near=None if limit is None else explicit.Near(time, _NEAREST, digests),
        )
        found += known.changes
        ran |= {(run.job, run.run_id): run for run in known.runs}
    result = [
        change
        for change in (found if decision_point is not None else _each_once(found))
        if change.true_from <= time and _may_concern(change, environment, digests)
    ]
    if limit is not None:
        # What brought an artifact in use concerns the decision however long ago it was.
        result = result[:limit] + [one for one in result[limit:] if one.to_digest in digests]
    return result, list(ran.values())


def between(
    snapshot: Snapshot,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    decision_point: str | None = None,
    known_by: datetime | None = None,
    overrides: bool = False,
) -> list[Change]:
    """Every change of a window, newest first.

    Args:
        snapshot: the lake.
        since: from this time on; from the first where None.
        until: before this time; to the last where None.
        decision_point: leave out changes that name another decision point.
        known_by: leave out what we learnt later.
        overrides: single decisions that people overrode too; there may be very many.
    """
    points = [decision_point] if decision_point is not None else _points(snapshot)
    found = [
        change
        for point in points
        for change in account(snapshot, point, known_by=known_by, runs_until=until).changes
    ]
    if overrides:
        found += declared.overrides(
            snapshot, since, until, decision_point=decision_point, known_by=known_by
        )
    return [
        change
        for change in _each_once(found)
        if (since is None or change.true_from >= since)
        and (until is None or change.true_from < until)
    ]


def _points(snapshot: Snapshot) -> list[str | None]:
    """The decision points, then None: what concerns none that has decided anything."""
    return [*snapshot.points(), None]


_RANK = {"confirmed": 0, "unannounced": 1, "unseen": 2, None: 3}


def _each_once(changes: Iterable[Change]) -> list[Change]:
    """A change of several decision points once: confirmed where any of them confirms it."""
    kept: dict[tuple[str, int, str], Change] = {}
    for change in changes:
        key = (change.change_id, to_micros(change.occurred_at), change.source)
        other = kept.get(key)
        if other is None or _RANK[change.agreement] < _RANK[other.agreement]:
            kept[key] = change
        elif change.seen_by == other.seen_by and change.seen_at and other.seen_at:
            kept[key] = replace(other, seen_at=min(change.seen_at, other.seen_at))
    return sorted(kept.values(), key=matched.order, reverse=True)


def _may_concern(change: Change, environment: str | None, digests: Collection[str]) -> bool:
    if environment is None or change.environment in (None, environment):
        return True
    # Pipelines feed every environment alike, whatever their change record names.
    return change.kind == "pipeline" or change.to_digest in digests
