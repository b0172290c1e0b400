"""A window of decisions in stretches, with what their detectors look at beside the columns.

A stretch is short enough that memory stays flat, holds whole days where there are several, and has
one declaration in force throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from forensics.errors import ForensicsError, UsageError
from forensics.lake import policies, sql, summaries
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.catalog import DataFile
from forensics.lake.snapshot import Snapshot
from forensics.lake.subject_keys import is_marked
from forensics.lake.usual import usual_by_day
from forensics.lineage.declared import Declaration, declarations
from forensics.lineage.feeding import Feeding
from forensics.reconstruct import changes as changes_
from forensics.reconstruct.around import DAY_US, between
from forensics.reconstruct.detectors.base import SHAPE, Shape, Stretch
from forensics.reconstruct.scales import USUAL_DAYS, RunMeasures, jumps, run_measures
from forensics.records.times import from_micros, to_micros

#: About as many decisions are in a stretch at most.
ROWS_MAX = 500_000
#: So many decisions tell the commonest lists of steps, and so many lists are worth a condition.
_SOME, _SHAPES_MAX = 4_096, 16
#: About as many ids are compared at a time.
_IDS_MAX = 2_000_000


class Span(NamedTuple):
    """A time from ``first_us`` to before ``end_us``, of one decision point."""

    point: str
    first_us: int
    end_us: int


def spans(
    snapshot: Snapshot, points: Sequence[str], since_us: int | None, until_us: int | None
) -> list[Span]:
    """For each decision point the part of the window for which it has decisions."""
    if since_us is not None and until_us is not None and since_us > until_us:
        since, until = from_micros(since_us), from_micros(until_us)
        raise UsageError(f"The window ends at {until} before it begins at {since}.")
    found = []
    for point in points:
        last = None if until_us is None else until_us - 1
        files = snapshot.files(f"decisions/{point}", since_us, last)
        if files:
            first = min(file.first_us for file in files)
            end = max(file.last_us for file in files) + 1
            first = first if since_us is None else max(first, since_us)
            end = end if until_us is None else min(end, until_us)
            if first < end:
                found.append(Span(point, first, end))
    return found


def stretches(
    snapshot: Snapshot,
    span: Span,
    rows_max: int = ROWS_MAX,
    connection: sql.Connection | None = None,
) -> Iterator[Stretch]:
    """The stretches of a span, oldest first, on one connection of their own.

    Args:
        snapshot: the lake.
        span: which part of it.
        rows_max: how many decisions a stretch has at most, about.
        connection: to be asked for nothing else meanwhile; who has it can interrupt it.

    Raises:
        IntegrityError: when a declaration, an index or a table is not what was written.
    """
    point = span.point
    connection = connection or sql.connect([snapshot.root])
    has_overrides = _overrides(snapshot, connection)
    files = snapshot.files(f"decisions/{point}", span.first_us, span.end_us - 1)
    _twins(snapshot, connection, span, files)
    declared = declarations(snapshot, point, from_micros(span.end_us))
    changes = tuple(
        changes_.before(snapshot, from_micros(span.end_us), decision_point=point, limit=None)
    )
    altered = _altered(snapshot, span)
    feeding = Feeding(snapshot, span.end_us)
    runs = run_measures(snapshot, span.first_us - USUAL_DAYS * DAY_US, span.end_us)
    cuts = [to_micros(one.occurred_at) for one in declared]
    for first, end in _cut(span, cuts, files, rows_max):
        usual = usual_by_day(snapshot, point, first // DAY_US, (end - 1) // DAY_US, USUAL_DAYS)
        declaration = next((one for one in declared if to_micros(one.occurred_at) <= first), None)
        features = _features(snapshot, connection, point, first, end)
        columns = {name: _column(declaration, name) for name in features}
        _measured(connection, runs, columns)
        yield Stretch(
            connection=connection,
            snapshot=snapshot,
            point=point,
            first_us=first,
            end_us=end,
            features=features,
            declaration=declaration,
            changes=changes,
            has_overrides=has_overrides,
            usual=usual,
            run_jumps=tuple(jumps(runs, usual, columns)),
            altered=altered,
            shapes=_shapes(snapshot, connection, point, first, end),
            feeding=feeding,
        )


def _cut(
    span: Span, cuts: Sequence[int], files: Sequence[DataFile], rows_max: int
) -> Iterator[tuple[int, int]]:
    """The span cut at ``cuts``, and further where there are too many decisions."""
    inside = sorted({cut for cut in cuts if span.first_us < cut < span.end_us})
    edges = [span.first_us, *inside, span.end_us]
    todo = list(pairwise(edges))[::-1]
    while todo:
        first, end = todo.pop()
        if end - first < 2 or _rows(files, first, end) <= rows_max:
            yield first, end
            continue
        middle = (first + end) // 2
        midnight = middle // DAY_US * DAY_US
        middle = midnight if first < midnight < end else middle
        todo += [(middle, end), (first, middle)]


def _rows(files: Sequence[DataFile], first: int, end: int) -> float:
    """About how many decisions there are between two times."""
    return sum(
        file.rows
        * max(0, min(end, file.last_us + 1) - max(first, file.first_us))
        / (file.last_us + 1 - file.first_us)
        for file in files
    )


def _features(
    snapshot: Snapshot, connection: sql.Connection, point: str, first: int, end: int
) -> dict[str, str]:
    """SQL types of the features that the files of a stretch have."""
    paths = snapshot.paths(f"decisions/{point}", first, end - 1)
    if not paths or not snapshot.tables[f"decisions/{point}"].features:
        return {}
    with sql.reading("A table of decisions"):
        relation = connection.sql(
            f"SELECT features FROM read_parquet({sql.literal(paths)}, union_by_name = true) LIMIT 0"
        )
    return {name: str(type_) for name, type_ in relation.types[0].children}


def _shapes(
    snapshot: Snapshot, connection: sql.Connection, point: str, first: int, end: int
) -> dict[int, Shape]:
    """The commonest lists of steps in some decisions of a stretch, by :data:`SHAPE`."""
    some = " UNION ALL ".join(
        f"(SELECT steps FROM ({between(snapshot, point, start, end, 'steps')}) LIMIT {_SOME})"
        for start in (first, (first + end) // 2)
    )
    with sql.reading("A table of decisions"):
        rows = connection.execute(
            f"SELECT {SHAPE} AS shape, any_value(list_transform(steps, lambda s: [s.kind, s.id])) "
            f"FROM ({some}) GROUP BY ALL ORDER BY count(*) DESC LIMIT {_SHAPES_MAX}"
        ).fetchall()
    return {key: tuple((kind, id_) for kind, id_ in steps or ()) for key, steps in rows}


def _column(declaration: Declaration | None, name: str) -> str:
    declared = declaration.features.get(name) if declaration is not None else None
    return declared.column if declared is not None and declared.column else name


def _measured(
    connection: sql.Connection, runs: Sequence[RunMeasures], columns: dict[str, str]
) -> None:
    """The table ``run_measured``: of which features runs took measures."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE run_measured (run_id VARCHAR, feature VARCHAR)"
    )
    pairs = [
        (run.run_id, feature)
        for run in runs
        for feature, column in columns.items()
        if column in run.columns
    ]
    ids, features = ([pair[at] for pair in pairs] for at in (0, 1))
    connection.execute("INSERT INTO run_measured SELECT unnest($1), unnest($2)", [ids, features])


def _overrides(snapshot: Snapshot, connection: sql.Connection) -> bool:
    """The table ``overrides``: of each decision that has one the newest, if there are any."""
    paths = snapshot.paths("overrides")
    if not paths:
        return False
    with sql.reading("The table of overrides"):
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE overrides AS
            SELECT decision_id, last.us AS us, last.expires_us AS expires_us,
                   last.reason AS reason, last.authority AS authority,
                   last.final_outcome AS final_outcome,
                   last.original_outcome AS original_outcome, made
            FROM (SELECT decision_id, arg_max({{
                      'us': epoch_us(occurred_at), 'expires_us': epoch_us(expires_at),
                      'reason': {_there(snapshot, "reason")},
                      'authority': {_there(snapshot, "authority")},
                      'final_outcome': final_outcome,
                      'original_outcome': original_outcome}}, occurred_at) AS last,
                      list(final_outcome ORDER BY occurred_at DESC)[2:] AS made
                  FROM read_parquet({sql.literal(paths)}, union_by_name = true)
                  GROUP BY decision_id)""")
    return True


def _there(snapshot: Snapshot, field: str) -> str:
    """SQL that is null where an override lacks a field, and not where columns do without it.

    Encrypted and erased bytes begin with a zero, and no others do; what they say is not known here.
    """
    root = snapshot.root
    personal = policies.in_force(root, snapshot).is_personal_in("override", "", field)
    if not personal and not (field == "reason" and is_marked(root)):
        return f"left({field}, 1)"
    return f"coalesce(left({field}, 1), CASE WHEN raw < '\\x01'::BLOB THEN '?' END)"


def _twins(
    snapshot: Snapshot, connection: sql.Connection, span: Span, files: Sequence[DataFile]
) -> None:
    """The table ``twins``: ids that several decisions of the window's files have.

    The ids are compared in parts, so that memory stays flat.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE twins (decision_id VARCHAR)")
    paths = [str(snapshot.root / "decisions" / span.point / file.name) for file in files]
    parts = -(-sum(file.rows for file in files) // _IDS_MAX)
    for part in range(parts):
        with sql.reading("A table of decisions"):
            connection.execute(
                "INSERT INTO twins SELECT decision_id FROM "
                f"read_parquet({sql.literal(paths)}, union_by_name = true) "
                f"WHERE hash(decision_id) % {parts} = {part} "
                "GROUP BY decision_id HAVING count(*) > 1"
            )


def _altered(snapshot: Snapshot, span: Span) -> frozenset[str]:
    """Artifacts in use by the window's end whose bytes are others than were stored."""
    used = summaries.in_use(snapshot, until_us=span.end_us, point=span.point)
    store = ArtifactStore(snapshot.root)
    for digest in sorted({item.digest for item in used if item.digest}):
        try:
            store.read(digest)
        except ForensicsError:
            continue  # the store keeps which ones are altered
    return frozenset(store.altered)
