"""The state at a time: which versions were live, where, how much, since when, instead of what.

Worked out from what decisions themselves recorded, by hour, and set beside the changes that were
announced: what ran is evidence, what was announced is a claim.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from forensics.lake import summaries
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Snapshot
from forensics.lake.summaries import Usage
from forensics.reconstruct.changes import Change, before

#: A component that the environment's decisions have not used for this long is not live any more.
_IDLE_US = 24 * 3_600_000_000


@dataclass(frozen=True, slots=True)
class Live:
    """One component version that was in use at the time asked for.

    ``share`` is its share in that hour among the live versions of the same component, over all
    environments of the decision point. ``announced`` is the change that named the version, where
    there is one.
    """

    decision_point: str
    environment: str
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    share: float
    decisions: int
    since: datetime
    last_used: datetime
    replaced_version: str | None
    replaced_digest: str | None
    announced: Change | None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "decision_point": self.decision_point,
            "environment": self.environment,
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "share": self.share,
            "decisions_in_hour": self.decisions,
            "since": self.since,
            "last_used": self.last_used,
            "replaced_version": self.replaced_version,
            "replaced_digest": self.replaced_digest,
            "announced_by": self.announced.change_id if self.announced else None,
            "evidence": "recorded",
        }


@dataclass(frozen=True, slots=True)
class State:
    """The state of every decision point at ``time``."""

    time: datetime
    live: tuple[Live, ...]
    #: The newest changes before the time.
    changes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "time": self.time,
            "live": [live.to_dict() for live in self.live],
            "changes": [change.to_dict() for change in self.changes],
        }

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import table_html

        return table_html([live.to_dict() for live in self.live])


def as_of(
    snapshot: Snapshot, time: datetime, *, decision_point: str | None = None, changes: int = 10
) -> State:
    """The state at ``time``."""
    at = to_micros(time)
    seen = summaries.in_use(snapshot, until_us=at, point=decision_point)
    announced = before(snapshot, time, decision_point=decision_point, limit=None)
    latest = _latest(seen)
    live = _shared(
        [
            line
            for component in _by_component(seen).values()
            for line in _live(component, at, announced)
            if to_micros(line.last_used) >= latest[line.decision_point, line.environment] - _IDLE_US
        ]
    )
    live.sort(key=lambda x: (x.decision_point, x.environment != "production", x.environment,
                             _ORDER.get(x.kind, 9), x.kind, x.name or "", -x.share))  # fmt: skip
    return State(time, tuple(live), tuple(announced[:changes]))


_ORDER = {"model": 0, "config": 1, "rules": 2}
_Component = tuple[str, str, str, str | None]


def _by_component(seen: list[Usage]) -> dict[_Component, list[Usage]]:
    groups: dict[_Component, list[Usage]] = defaultdict(list)
    for item in seen:
        if item.kind != "decisions":
            groups[(item.point, item.environment, item.kind, item.name)].append(item)
    return groups


def _latest(seen: list[Usage]) -> Mapping[tuple[str, str], int]:
    """When each decision point last decided in each environment, by the hour."""
    latest: dict[tuple[str, str], int] = defaultdict(int)
    for item in seen:
        place = (item.point, item.environment)
        latest[place] = max(latest[place], item.first_us)
    return latest


def _shared(live: list[Live]) -> list[Live]:
    """``live`` with each version's share among those of the same component, over environments."""
    totals: dict[tuple[str, str, str | None], int] = defaultdict(int)
    for line in live:
        totals[line.decision_point, line.kind, line.name] += line.decisions
    return [
        replace(line, share=line.decisions / totals[line.decision_point, line.kind, line.name])
        for line in live
    ]


def _live(component: list[Usage], at: int, announced: list[Change]) -> list[Live]:
    """The versions of one component that were in use at ``at``: mostly one, in a canary several."""
    within = [item for item in component if item.first_us <= at <= item.last_us]
    if not within:
        newest = max(component, key=lambda item: min(item.last_us, at))
        within = [newest]
    found = []
    for item in within:
        mine = [other for other in component if _same(other, item)]
        since = _tenure_start(component, mine, item)
        replaced = max(
            (o for o in component if not _same(o, item) and o.first_us < since),
            key=lambda o: o.last_us,
            default=None,
        )
        found.append(
            Live(
                item.point, item.environment, item.kind, item.name, item.version, item.digest,
                0.0, item.decisions,
                from_micros(since), from_micros(min(item.last_us, at)),
                replaced.version if replaced else None,
                replaced.digest if replaced else None,
                _announcement(item, announced),
            )
        )  # fmt: skip
    return found


def _same(a: Usage, b: Usage) -> bool:
    """Whether two usages are of one version; a digest that one of them lacks tells nothing."""
    if a.digest is None or b.digest is None:
        return a.version == b.version and a.version is not None
    return (a.version, a.digest) == (b.version, b.digest)


def _tenure_start(component: list[Usage], mine: list[Usage], item: Usage) -> int:
    """When the unbroken use that ``item`` belongs to began.

    An hour in which the component ran, and only in other versions, ends a tenure: a version that
    was rolled back and came again has its second start, not its first.
    """
    hours = sorted({other.hour for other in component if other.hour <= item.hour}, reverse=True)
    by_hour = {other.hour: other for other in mine}
    start = item.first_us
    for hour in hours:
        if hour not in by_hour:
            break
        start = min(start, by_hour[hour].first_us)
    return start


def _announcement(item: Usage, announced: list[Change]) -> Change | None:
    for change in announced:
        if change.environment not in (None, item.environment):
            continue
        by_digest = item.digest is not None and change.to_digest == item.digest
        by_name = change.component == item.name and change.to_version == item.version
        if by_digest or (by_name and item.version is not None):
            return change
    return None
