"""How often decisions had an outcome over time: two columns of the window's files, nothing else."""

from __future__ import annotations

from typing import NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot


class Cell(NamedTuple):
    """One stretch of a window, by its number from the beginning; empty ones are left out."""

    number: int
    decisions: int
    hits: int


def outcomes(snapshot: Snapshot, point: str, since_us: int, until_us: int) -> dict[str, int]:
    """How many decisions of a window had each outcome, the most frequent first."""
    paths = snapshot.paths(f"decisions/{point}", since_us, until_us)
    if not paths:
        return {}
    with sql.reading(f"The decisions of {point}"):
        rows = snapshot.connection.execute(
            f"SELECT outcome, count(*) AS decisions FROM read_parquet({sql.literal(paths)}) "
            f"WHERE occurred_at >= make_timestamptz({since_us}) "
            f"AND occurred_at < make_timestamptz({until_us}) "
            "GROUP BY outcome ORDER BY decisions DESC, outcome"
        ).fetchall()
    return dict(rows)


def cells(
    snapshot: Snapshot,
    point: str,
    outcome: str,
    window_us: tuple[int, int],
    *,
    origin_us: int,
    width_us: int,
) -> list[Cell]:
    """The decisions of a window and those with ``outcome``, stretch by stretch.

    Args:
        snapshot: the lake.
        point: the decision point.
        outcome: which decisions are hits.
        window_us: from when on, and before when.
        origin_us: where the first stretch begins, no later than the window.
        width_us: how long a stretch is.
    """
    since_us, until_us = window_us
    paths = snapshot.paths(f"decisions/{point}", since_us, until_us)
    if not paths:
        return []
    query = sql.query(
        "usage_rates",
        records=f"read_parquet({sql.literal(paths)})",
        since=str(since_us),
        until=str(until_us),
        origin=str(origin_us),
        width=str(width_us),
        outcome=sql.literal(outcome),
    )
    with sql.reading(f"The decisions of {point}"):
        return [Cell(*row) for row in snapshot.connection.execute(query).fetchall()]
