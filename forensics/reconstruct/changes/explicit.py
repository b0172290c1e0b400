"""Changes that somebody recorded: the table of changes, and the ends that they set themselves."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from forensics.lake import seen, sql
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes.change import Change
from forensics.records.jsontext import loads
from forensics.records.times import from_micros, to_micros

_COLUMNS = (
    "change_id", "kind", "component", "decision_point", "environment", "from_version",
    "to_version", "from_digest", "to_digest", "features", "run_id", "traffic_share", "actor",
    "reviewed_by", "reason", "detail",
)  # fmt: skip
#: Those that may be personal, so that columns do without them.
_PERSONAL = ("actor", "reviewed_by", "reason", "detail")
_TIMES = ("occurred_at", "expires_at", "coalesce(recorded_at, ingested_at)")


@dataclass(frozen=True, slots=True)
class Near:
    """The changes around a time: so many before it, and as many of the day after.

    Those that brought one of ``digests`` are among them however old they are.
    """

    time: datetime
    most: int
    digests: Collection[str] = ()

    def condition(self, rows: int) -> str:
        """The end of a query's conditions, on a table of so many rows."""
        at = to_micros(self.time)
        until = f"AND epoch_us(occurred_at) <= {at} + 86400000000"
        if rows <= self.most:
            return until
        brought = [f"to_digest IN ({', '.join(map(sql.literal, self.digests))})"]
        distance = f"abs(epoch_us(occurred_at) - {at})"
        nearest = (
            f"row_number() OVER (PARTITION BY epoch_us(occurred_at) <= {at} "
            f"ORDER BY {distance}, change_id) <= {self.most}"
        )
        return f"{until} QUALIFY {' OR '.join([nearest, *(brought if self.digests else [])])}"


def recorded(
    snapshot: Snapshot,
    *,
    decision_point: str | None = None,
    known_by: datetime | None = None,
    near: Near | None = None,
) -> list[Change]:
    """Recorded changes, newest first.

    Args:
        snapshot: the lake.
        decision_point: leave out changes that name another decision point, but for those of
            pipelines: one may feed several.
        known_by: leave out what we learnt later.
        near: only those around a time; all where None.
    """
    files, paths = snapshot.files("changes"), snapshot.paths("changes")
    if not paths:
        return []
    conditions = ["true"]
    if decision_point is not None:
        point = sql.literal(decision_point)
        mine = f"decision_point IS NULL OR decision_point = {point}"
        conditions.append(f"({mine} OR kind = 'pipeline')")
    if known_by is not None:
        conditions.append(f"epoch_us({_TIMES[2]}) <= {to_micros(known_by)}")
    times = ", ".join(f"epoch_us({time})" for time in _TIMES)
    nearest = near.condition(sum(file.rows for file in files)) if near else ""
    with sql.reading("The table of changes"):
        found = snapshot.connection.execute(
            f"SELECT {times}, {', '.join(_COLUMNS)}, {seen.PLACE} "
            f"FROM {seen.source(sql.literal(paths))} "
            f"WHERE {' AND '.join(conditions)} {nearest} "
            "ORDER BY occurred_at DESC, change_id"
        ).fetchall()
    changes = [_change(row[:-2]) for row in found]
    may_see = seen.fields(snapshot, "changes", [row[-2:] for row in found], _PERSONAL)
    if may_see is None:
        return changes
    return [one.seen_as(*said) for one, said in zip(changes, may_see, strict=True)]


def expiries(changes: list[Change]) -> Iterator[Change]:
    """The ends that changes set themselves, but for those that a later change made void.

    Args:
        changes: newest first.
    """
    later: dict[tuple[str | None, ...], datetime] = {}
    for change in changes:
        place = (change.kind, change.component, change.decision_point, change.environment)
        ends, replaced = change.expires_at, later.get(place)
        later[place] = change.occurred_at
        if ends is None or ends < change.occurred_at or (replaced and replaced <= ends):
            continue
        held = change.to_version or "it"
        yield replace(
            change,
            change_id=f"{change.change_id}/expiry",
            occurred_at=ends,
            what=f"expired: {held} was to end here",
            from_version=change.to_version,
            to_version=None,
            from_digest=change.to_digest,
            to_digest=None,
            reason=None,
            expires_at=None,
            evidence="inferred",
        )


def _change(row: tuple[Any, ...]) -> Change:
    occurred, expires, known = (None if us is None else from_micros(us) for us in row[:3])
    values = dict(zip(_COLUMNS, row[3:], strict=True))
    values["features"] = tuple(values["features"] or ())
    share = values["traffic_share"]
    values["traffic_share"] = share if share is None or math.isfinite(share) else None
    values["detail"] = _detail(values["detail"])
    assert occurred is not None
    return Change(occurred_at=occurred, expires_at=expires, known_at=known, **values)


def _detail(text: str | None) -> dict[str, Any]:
    value = loads(text) if text else None
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"detail": value}
