"""Reading the summaries: what was usual for a feature, and what was in use at a time.

Apart from their writers, :mod:`.profile` and :mod:`.usage`, because reading them is on the way of a
trace and must not load what writes Parquet.
"""

from __future__ import annotations

from typing import NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot, index_advice


class Usual(NamedTuple):
    """What was usual for a feature over some days."""

    days: int
    rows: int
    low: float
    q01: float
    median: float
    q99: float
    high: float


def usual(snapshot: Snapshot, point: str, first_day: int, last_day: int) -> dict[str, Usual]:
    """What was usual for each numeric feature of ``point``, by name.

    The median is that of the days' medians, so that one bad day does not move it.

    Args:
        snapshot: the lake.
        point: the decision point.
        first_day: days since 1970, included.
        last_day: days since 1970, included.
    """
    paths = [str(snapshot.root / "index" / name) for name in snapshot.known.profiles]
    if not paths:
        return {}
    merged = sql.query("profile_merge", files=sql.literal(paths))
    with sql.reading("The summary of usual values", index_advice(snapshot.root)):
        rows = snapshot.connection.execute(
            "SELECT feature, count(*), sum(rows), min(low), median(q01), median(q50), "
            f"median(q99), max(high) FROM ({merged}) WHERE point = {sql.literal(point)} "
            f"AND day BETWEEN {first_day} AND {last_day} GROUP BY feature"
        ).fetchall()
    return {row[0]: Usual(*row[1:]) for row in rows}


class Usage(NamedTuple):
    """One component version in one hour of one environment of one decision point.

    ``kind`` is ``model``, ``config``, a step's kind, or ``decisions``: the count of them all.
    """

    point: str
    environment: str
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    hour: int
    decisions: int
    first_us: int
    last_us: int


def in_use(snapshot: Snapshot, *, until_us: int, point: str | None = None) -> list[Usage]:
    """All usage that began by ``until_us``, oldest first.

    Files that no summary covers yet, as a dead process or another program leaves them, are counted
    on the spot.
    """
    paths = [str(snapshot.root / "index" / name) for name in snapshot.known.usages]
    parts = [f"SELECT * FROM read_parquet({sql.literal(paths)})"] if paths else []
    bare: dict[str, list[str]] = {}
    for location in snapshot.unindexed:
        if location.startswith("decisions/"):
            bare.setdefault(location.split("/")[1], []).append(str(snapshot.root / location))
    for name, files in bare.items():
        records = f"read_parquet({sql.literal(files)}, union_by_name = true)"
        parts.append(sql.query("usage_count", point=sql.literal(name), records=records))
    if not parts:
        return []
    usages = sql.query("usage_merge", usages=" UNION ALL ".join(f"({part})" for part in parts))
    condition = f" AND point = {sql.literal(point)}" if point else ""
    query = f"SELECT * FROM ({usages}) WHERE first_us <= {until_us}{condition} ORDER BY first_us"
    with sql.reading("The summary of what was in use", index_advice(snapshot.root)):
        return [Usage(*row) for row in snapshot.connection.execute(query).fetchall()]
