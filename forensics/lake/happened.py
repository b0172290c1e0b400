"""What happened beside the decisions: pipeline runs and overrides, one by one or counted."""

from __future__ import annotations

from typing import NamedTuple

from forensics.lake import sql
from forensics.lake.window import Reader, Row

#: A run that began so long before a window is still found where it ended in it.
_LONGEST_US = 86_400_000_000


class Ran(NamedTuple):
    """A run of a job. ``state`` is that of its last event, None where it told of no end."""

    namespace: str | None
    name: str
    run_id: str
    began_us: int
    ended_us: int | None
    state: str | None
    code_version: str | None
    error: str | None

    @property
    def at_us(self) -> int:
        """When what it wrote was there; when it began, where it has not ended."""
        return self.began_us if self.ended_us is None else self.ended_us

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than well."""
        return self.state in ("FAIL", "ABORT")


class Tally(NamedTuple):
    """How often something happened in a stretch of a window, by its number; and how often badly."""

    number: int
    total: int
    bad: int


def runs(reader: Reader, since_us: int, until_us: int, most: int) -> list[Ran] | None:
    """The runs whose :attr:`Ran.at_us` lies in a window, oldest first; None where more than most.

    Raises:
        Cancelled: when the reader was cancelled.
        IntegrityError: when the table cannot be read.
    """
    found = _asked(reader, since_us, until_us, "*", f"ORDER BY at_us, run_id LIMIT {most + 1}")
    return [Ran(*row[:-1]) for row in found] if len(found) <= most else None


def run_tallies(reader: Reader, since_us: int, until_us: int, width_us: int) -> list[Tally]:
    """How many runs there are in each stretch of ``width_us`` of a window, and how many failed.

    Raises:
        Cancelled: when the reader was cancelled.
        IntegrityError: when the table cannot be read.
    """
    what = f"(at_us - {since_us}) // {width_us}, count(*), count(*) FILTER (state <> 'COMPLETE')"
    return [Tally(*row) for row in _asked(reader, since_us, until_us, what, "GROUP BY 1")]


def _asked(reader: Reader, since_us: int, until_us: int, what: str, order: str) -> list[Row]:
    paths = reader.snapshot.paths("lineage", since_us - _LONGEST_US, until_us + _LONGEST_US)
    if not paths:
        return []
    query = sql.query(
        "happened_runs",
        files=sql.literal(paths),
        first=str(since_us - _LONGEST_US),
        last=str(until_us + _LONGEST_US),
        since=str(since_us),
        until=str(until_us),
    )
    return reader.ask(f"SELECT {what} FROM ({query}) {order}")


def override_tallies(
    reader: Reader, point: str, since_us: int, until_us: int, width_us: int
) -> list[Tally]:
    """How many decisions of a point people overrode in each stretch of ``width_us`` of a window.

    Raises:
        Cancelled: when the reader was cancelled.
        IntegrityError: when the table cannot be read.
    """
    paths = reader.snapshot.paths("overrides", since_us, until_us)
    if not paths:
        return []
    rows = reader.ask(
        f"SELECT (epoch_us(occurred_at) - {since_us}) // {width_us}, count(*), 0 "
        f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
        f"WHERE occurred_at >= make_timestamptz({since_us}) "
        f"AND occurred_at < make_timestamptz({until_us}) "
        f"AND (decision_point IS NULL OR decision_point = {sql.literal(point)}) GROUP BY 1"
    )
    return [Tally(*row) for row in rows]
