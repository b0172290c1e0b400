"""Reading the summaries: what was usual for a feature, and what was in use at a time.

Apart from their writers, :mod:`.profile` and :mod:`.usage`, because reading them is on the way of a
trace and must not load what writes Parquet.
"""

from __future__ import annotations

from typing import NamedTuple

from forensics.lake import sql


class Usual(NamedTuple):
    """What was usual for a feature over some days."""

    days: int
    rows: int
    low: float
    q01: float
    median: float
    q99: float
    high: float


def usual(
    connection: sql.Connection, paths: list[str], point: str, first_day: int, last_day: int
) -> dict[str, Usual]:
    """What was usual for each numeric feature of ``point``, by name.

    The median is that of the days' medians, so that one bad day does not move it.

    Args:
        connection: may read ``paths``.
        paths: profile files.
        point: the decision point.
        first_day: days since 1970, included.
        last_day: days since 1970, included.
    """
    if not paths:
        return {}
    merged = sql.query("profile_merge", files=sql.literal(paths))
    rows = connection.execute(
        f"SELECT feature, count(*), sum(rows), min(low), median(q01), median(q50), median(q99), "
        f"max(high) FROM ({merged}) WHERE point = {sql.literal(point)} "
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


def in_use(
    connection: sql.Connection, paths: list[str], *, until_us: int, point: str | None = None
) -> list[Usage]:
    """All usage that began by ``until_us``, oldest first."""
    if not paths:
        return []
    condition = f" AND point = {sql.literal(point)}" if point else ""
    query = (
        f"SELECT * FROM ({sql.query('usage_merge', files=sql.literal(paths))}) "
        f"WHERE first_us <= {until_us}{condition} ORDER BY first_us"
    )
    return [Usage(*row) for row in connection.execute(query).fetchall()]
