"""Who looked at what: questions to the table ``access``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensics.lake import sql
from forensics.lake.protect import subject_is
from forensics.lake.snapshot import Snapshot
from forensics.records.times import from_micros, to_micros

#: What is answered of each look, as SQL over the table's columns.
_ANSWERED = {
    "access_id": "access_id",
    "occurred_at": "epoch_us(occurred_at)",
    "actor": "actor",
    "role": "role",
    "how": "how",
    "decision_point": "decision_point",
    "decision_ids": "coalesce(decision_ids, [])",
    "decisions": "decisions",
    "unmasked": "coalesce(unmasked, [])",
    "question": "question",
    '"case"': '"case"',
    "reason": "reason",
    "host": "host",
    "segment": "segment",
    "leaf_index": "leaf_index",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which looks; what is None matches all.

    ``decisions`` are ids, of which a look has to have shown one.
    """

    decisions: frozenset[str] | None = None
    actor: str | None = None
    case: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


def accesses(snapshot: Snapshot, asked: Asked) -> Iterator[dict[str, Any]]:
    """Looks, newest first, as mappings; times are datetimes.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    paths = snapshot.paths("access")
    if not paths:
        return
    conditions = ["true"]
    for time, sign in ((asked.since, ">="), (asked.until, "<")):
        if time is not None:
            conditions.append(f"occurred_at {sign} make_timestamptz({to_micros(time)})")
    if asked.actor is not None:
        conditions.append(f"actor = {sql.literal(asked.actor)}")
    if asked.case is not None:
        conditions.append(f'"case" = {sql.literal(asked.case)}')
    parameters: list[Any] = []
    if asked.decisions is not None:
        conditions.append("list_has_any(decision_ids, $1::VARCHAR[])")
        parameters.append(sorted(asked.decisions))
    limit = f" LIMIT {asked.limit}" if asked.limit is not None else ""
    query = (
        f"SELECT {', '.join(_ANSWERED.values())} "
        f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
        f"WHERE {' AND '.join(conditions)} ORDER BY occurred_at DESC, access_id{limit}"
    )
    names = [name.strip('"') for name in _ANSWERED]
    with sql.reading("The table of accesses"):
        found = snapshot.connection.execute(query, parameters).fetchall()
    for values in found:
        row = dict(zip(names, values, strict=True))
        yield row | {"occurred_at": from_micros(row["occurred_at"])}


def decisions_of(snapshot: Snapshot, subject: str) -> frozenset[str]:
    """Ids of all decisions about a subject; see :func:`accesses` for errors."""
    found: set[str] = set()
    for point in snapshot.points():
        paths = snapshot.paths(f"decisions/{point}")
        if not paths:
            continue
        with sql.reading("A table of decisions"):
            rows = snapshot.connection.execute(
                f"SELECT decision_id FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
                f"WHERE {subject_is(snapshot.root, subject)}"
            ).fetchall()
        found |= {row[0] for row in rows}
    return frozenset(found)
