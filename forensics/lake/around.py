"""What the decisions around one time used, by region and replica.

The summaries know hours and environments. What is finer is read from the decisions themselves, of
the few minutes or hours that are asked for: files and row groups of other times are not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot
from forensics.lake.summaries import USED


class Around(NamedTuple):
    """One component version in one place.

    ``decisions`` are those of the span that was asked for, ``all_decisions`` those that were read.
    ``nth_before`` and ``nth_after`` number, among all decisions of the component in the
    environment, the last one that used this version by the time asked for, and the first one after
    it. ``held`` is a configuration's values, as JSON. ``kind`` is as in
    :class:`forensics.lake.summaries.Usage`, or ``run``, whose ``name`` is a job and whose
    ``version`` is the id of the run that fed the decisions.
    """

    environment: str
    region: str | None
    replica: str | None
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    decisions: int
    last_before_us: int | None
    first_after_us: int | None
    nth_before: int | None
    nth_after: int | None
    held: str | None
    all_decisions: int


_COLUMNS = {
    **USED,
    "config": "STRUCT(name VARCHAR, revision VARCHAR, digest VARCHAR, values VARCHAR)",
    "region": "VARCHAR",
    "replica": "VARCHAR",
    "feature_sources": "STRUCT(job VARCHAR, run_id VARCHAR)[]",
}

Spans = Mapping[tuple[str, str | None], tuple[int, int]]


def around(
    snapshot: Snapshot,
    point: str,
    at_us: int,
    reach_us: int,
    spans: Spans,
    known_by_us: int | None = None,
) -> list[Around]:
    """What decisions of ``point`` used from ``reach_us`` before ``at_us`` to as long after.

    Args:
        snapshot: the lake.
        point: the decision point.
        at_us: the time.
        reach_us: how far around it.
        spans: from when to when uses are counted, included, by kind and name; all that is read
            where a component has none.
        known_by_us: leave out what was recorded, else received, later.
    """
    low, high = at_us - reach_us, at_us + reach_us
    paths = snapshot.paths(f"decisions/{point}", low, high)
    if not paths:
        return []
    source = f"read_parquet({sql.literal(paths)}, union_by_name = true)"
    condition = f"occurred_at BETWEEN make_timestamptz({low}) AND make_timestamptz({high})"
    if known_by_us is not None:
        condition += f" AND epoch_us(coalesce(recorded_at, ingested_at)) <= {known_by_us}"
    listed = ", ".join(
        f"({sql.literal(kind)}, {'NULL' if name is None else sql.literal(name)}, "
        f"{first}::BIGINT, {last}::BIGINT)"
        for (kind, name), (first, last) in spans.items()
    )
    with sql.reading(f"The decisions of {point}"):
        described = snapshot.connection.execute(f"DESCRIBE FROM {source}").fetchall()
        columns = sql.columns(_COLUMNS, {row[0] for row in described})
        query = sql.query(
            "usage_around",
            records=f"(SELECT {columns} FROM {source})",
            condition=condition,
            spans=f"(VALUES {listed or '(NULL, NULL, NULL, NULL)'})",
            at=str(at_us),
            low=str(low),
            high=str(high),
        )
        return [Around(*row) for row in snapshot.connection.execute(query).fetchall()]
