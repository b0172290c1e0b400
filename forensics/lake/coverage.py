"""What decisions of a window lack, and what of their writers' sequences never came, by columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from forensics.lake import sql, tables
from forensics.lake.catalog import DataFile
from forensics.lake.snapshot import Snapshot
from forensics.records.times import DAY_US

#: Files are read so many decisions at a time, about, so that progress can be told.
_ROWS = 4_000_000
#: SQL for a record that its writer numbered.
NUMBERED = "writer.id IS NOT NULL AND writer.sequence IS NOT NULL"
_MODEL = "{'name': coalesce(model.name, model.version, model.runtime), 'digest': model.digest}"
_STEPS = (
    "list_transform(list_filter(steps, lambda s: s.digest IS NOT NULL), "
    "lambda s: {'id': s.id, 'kind': s.kind, 'component': s.component, 'digest': s.digest})"
)
#: SQL for a number that decisions share which say the same has decided them.
COMPONENTS = f"hash({_MODEL}, {_STEPS})"


class Components(NamedTuple):
    """What some decisions say has decided them: their model, and the steps that have a digest.

    ``key`` is their value of :data:`COMPONENTS`.
    """

    key: int
    model: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]


class Cell(NamedTuple):
    """Decisions of one day (since 1970) that lack the same things.

    Bit ``n`` of ``lacking`` is the ``n``-th condition that was asked about.
    """

    day: int
    lacking: int
    decisions: int


class Numbers(NamedTuple):
    """The numbers that one writer gave its records, within a window.

    ``sum`` and ``squares`` are those of the numbers: with count, first and last they tell whether
    every number came once.
    """

    writer: str
    boot_id: str | None
    first: int
    last: int
    records: int
    sum: int
    squares: int
    #: Records that the writer says it lost.
    dropped: int

    @property
    def is_whole(self) -> bool:
        """Whether every number from the first to the last came once."""
        n, low = self.last - self.first + 1, self.first
        total = n * (self.first + self.last) // 2
        # Sum of (low + k)² for k from 0 to n - 1.
        squares = n * low * low + low * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
        return self.records == n and self.sum == total and self.squares == squares


class Hole(NamedTuple):
    """Numbers of a writer that are not there: those between ``after`` and ``before``."""

    after: int
    before: int
    after_us: int
    before_us: int

    @property
    def missing(self) -> int:
        """How many."""
        return self.before - self.after - 1


def components(
    snapshot: Snapshot, point: str, since_us: int, until_us: int
) -> Iterator[Components]:
    """What the decisions of a window say has decided them, each different answer once.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    source = _source(snapshot, point, snapshot.files(f"decisions/{point}"), since_us, until_us)
    query = f"""
        SELECT {COMPONENTS} AS key, any_value({_MODEL}), any_value({_STEPS})
        FROM ({source}) GROUP BY key"""
    with sql.reading(f"The decisions of {point}"):
        for key, model, steps in snapshot.connection.execute(query).fetchall():
            yield Components(key, _said(model), tuple(map(_said, steps or ())))


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def cells(
    snapshot: Snapshot, point: str, since_us: int, until_us: int, lacking: Sequence[str]
) -> Iterator[list[Cell]]:
    """What a window's decisions lack, by day, for a few files at a time.

    Args:
        snapshot: the lake.
        point: the decision point.
        since_us: from this time on.
        until_us: before this time.
        lacking: SQL conditions over a decision's columns, and over ``no_features``: whether none of
            its features has a value.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    number = " | ".join(
        f"(coalesce({one}, false)::INTEGER << {at})" for at, one in enumerate(lacking)
    )
    for files in _in_parts(snapshot.files(f"decisions/{point}", since_us, until_us - 1)):
        source = _source(snapshot, point, files, since_us, until_us)
        features = _features(snapshot, point, files, since_us, until_us)
        if features:
            # A feature that nearly all have spares reading the others.
            none = " AND ".join(f"{name} IS NULL" for name in features)
            source = (
                f"SELECT *, false AS no_features FROM ({source}) WHERE {features[0]} IS NOT NULL "
                f"UNION ALL SELECT *, {none} AS no_features FROM ({source}) "
                f"WHERE {features[0]} IS NULL"
            )
        else:
            source = f"SELECT *, true AS no_features FROM ({source})"
        query = (
            f"SELECT epoch_us(occurred_at) // {DAY_US} AS day, {number} AS lacking, count(*) "
            f"FROM ({source}) GROUP BY day, lacking"
        )
        with sql.reading(f"The decisions of {point}"):
            yield [Cell(*row) for row in snapshot.connection.execute(query).fetchall()]


def numbers(
    snapshot: Snapshot, points: Sequence[str], since_us: int, until_us: int
) -> list[Numbers]:
    """The numbers that each writer gave its records in a window; see :func:`cells` for errors.

    All points that a writer writes for have to be among ``points``: it counts through.
    """
    query = f"""
        SELECT id, boot_id, min(seq), max(seq), count(*), sum(seq), sum(seq * seq),
               sum(dropped)::BIGINT
        FROM (SELECT writer.id AS id, writer.boot_id AS boot_id,
                     writer.sequence::HUGEINT AS seq, coalesce(capture.dropped, 0) AS dropped
              FROM ({_numbered(snapshot, points, since_us, until_us)}))
        GROUP BY id, boot_id ORDER BY id, boot_id NULLS FIRST"""
    with sql.reading("A table of decisions"):
        return [Numbers(*row) for row in snapshot.connection.execute(query).fetchall()]


def holes(
    snapshot: Snapshot,
    points: Sequence[str],
    since_us: int,
    until_us: int,
    writer: Numbers,
    limit: int,
) -> tuple[int, int, list[Hole]]:
    """What is missing of one writer's numbers in a window; see :func:`cells` for errors.

    Returns:
        How many numbers are missing, how many records have a number that another has too, and the
        largest holes, at most ``limit``, in their order.
    """
    boot = sql.literal(writer.boot_id) if writer.boot_id is not None else "NULL"
    query = f"""
        WITH given AS (
            SELECT writer.sequence AS seq, min(epoch_us(occurred_at)) AS us, count(*) AS times
            FROM ({_numbered(snapshot, points, since_us, until_us)})
            WHERE writer.id = {sql.literal(writer.writer)}
            AND writer.boot_id IS NOT DISTINCT FROM {boot}
            GROUP BY seq),
        pairs AS (
            SELECT seq, lead(seq) OVER by_seq AS next, us, lead(us) OVER by_seq AS next_us, times
            FROM given WINDOW by_seq AS (ORDER BY seq)),
        found AS (FROM pairs WHERE next > seq + 1 ORDER BY next - seq DESC, seq LIMIT {limit})
        SELECT (SELECT sum(next - seq - 1)::HUGEINT FROM pairs WHERE next > seq + 1),
               (SELECT sum(times - 1)::BIGINT FROM pairs), seq, next, us, next_us
        FROM (SELECT 1) LEFT JOIN found ON true ORDER BY seq"""
    with sql.reading("A table of decisions"):
        rows = snapshot.connection.execute(query).fetchall()
    found = [Hole(*row[2:]) for row in rows if row[2] is not None]
    return int(rows[0][0] or 0), int(rows[0][1] or 0), found


def _numbered(snapshot: Snapshot, points: Sequence[str], since_us: int, until_us: int) -> str:
    return " UNION ALL ".join(
        "SELECT writer, capture, occurred_at FROM "
        f"({_source(snapshot, point, files, since_us, until_us)}) WHERE {NUMBERED}"
        for point in points
        if (files := snapshot.files(f"decisions/{point}"))
    )


def between(
    snapshot: Snapshot, points: Sequence[str], spans: Sequence[tuple[int, int]]
) -> list[int]:
    """How many decisions of some points there are in each of some spans, from and to before."""
    if not spans:
        return []
    since, until = min(first for first, _ in spans), max(end for _, end in spans)
    edges = sorted({edge for span in spans for edge in span})
    before = [0] * len(edges)
    for point in points:
        files = snapshot.files(f"decisions/{point}", since, until - 1)
        if not files:
            continue
        query = (
            f"SELECT edge, count(*) FROM (SELECT epoch_us(occurred_at) AS us FROM "
            f"({_source(snapshot, point, files, since, until)})) ASOF JOIN "
            "(SELECT unnest($1::BIGINT[]) AS first, unnest(range(len($1))) AS edge) "
            "ON us >= first GROUP BY edge"
        )
        with sql.reading(f"The decisions of {point}"):
            for edge, count in snapshot.connection.execute(query, [edges]).fetchall():
                before[edge] += count
    sums = [0, *itertools.accumulate(before)]
    place = {edge: at for at, edge in enumerate(edges)}
    return [sums[place[end]] - sums[place[first]] for first, end in spans]


def _in_parts(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    part: list[DataFile] = []
    for file in files:
        part.append(file)
        if sum(one.rows for one in part) >= _ROWS:
            yield part
            part = []
    if part:
        yield part


def _features(
    snapshot: Snapshot, point: str, files: Sequence[DataFile], since_us: int, until_us: int
) -> list[str]:
    """SQL for the features that some files have columns for: others may have more, or fewer."""
    there = {
        name
        for path in _paths(snapshot, point, files, since_us, until_us)
        for name in tables.features_of(pq.read_schema(path))
    }
    known = snapshot.tables[f"decisions/{point}"].features
    return [f"features.{sql.identifier(name)}" for name in known if name in there]


def _paths(
    snapshot: Snapshot, point: str, files: Sequence[DataFile], since_us: int, until_us: int
) -> list[str]:
    inside = [file for file in files if file.last_us >= since_us and file.first_us < until_us]
    return [str(snapshot.root / "decisions" / point / file.name) for file in inside or files[:1]]


def _source(
    snapshot: Snapshot, point: str, files: Sequence[DataFile], since_us: int, until_us: int
) -> str:
    paths = _paths(snapshot, point, files, since_us, until_us)
    return (
        f"SELECT * FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
        f"WHERE occurred_at >= make_timestamptz({since_us}) "
        f"AND occurred_at < make_timestamptz({until_us})"
    )
