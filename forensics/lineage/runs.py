"""The runs of a lake: by their ids, by what they wrote, and what they tested."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, NamedTuple

from forensics.errors import IntegrityError
from forensics.ingest import openlineage
from forensics.integrity.leaf import leaf_hash
from forensics.lake import sql
from forensics.lake.snapshot import Location, Snapshot, index_advice
from forensics.lineage.dataset_names import names_of
from forensics.lineage.run import ENDED, Run, Told, merged
from forensics.records.jsontext import loads
from forensics.records.times import from_micros, to_micros

TABLE = "lineage"


@dataclass(frozen=True, slots=True)
class Test:
    """A test's result, who tested, and when the event said so."""

    assertion: str
    success: bool
    column: str | None
    severity: str | None
    name: str | None
    job_namespace: str
    job_name: str
    run_id: str
    at: datetime


def by_id(snapshot: Snapshot, run_id: str, *, until: datetime | None = None) -> list[Run]:
    """The runs that bear ``run_id``: one for each job that used it, the earliest first.

    Args:
        snapshot: the lake.
        run_id: the id.
        until: as they were then: of events that had occurred; of all events where None.

    Raises:
        IntegrityError: when the received bytes of an event cannot be read, or the index misses it.
    """
    return by_ids(snapshot, [run_id], until=until)[run_id]


def by_ids(
    snapshot: Snapshot, run_ids: Collection[str], *, until: datetime | None = None
) -> dict[str, list[Run]]:
    """:func:`by_id` for several ids, which are read together."""
    found: dict[str, list[Run]] = {run_id: [] for run_id in run_ids}
    if not found:
        return {}
    for run in merged(_by(until, _with_ids(snapshot, found))):
        if run.run_id in found:
            found[run.run_id].append(run)
    for run_id, runs in found.items():
        if not runs:
            _check_absent(snapshot, run_id, until)
    return found


def _with_ids(snapshot: Snapshot, run_ids: Collection[str]) -> list[Told]:
    """The events of runs that bear one of ``run_ids``, and perhaps of some others."""
    return _told(snapshot, [place for place in snapshot.locate(*run_ids) if place.table == TABLE])


def _by(until: datetime | None, told: Iterable[Told]) -> list[Told]:
    limit = None if until is None else to_micros(until)
    return [item for item in told if limit is None or item.occurred_us <= limit]


def _check_absent(snapshot: Snapshot, run_id: str, until: datetime | None) -> None:
    """Look through the events themselves for a run that the look-up index does not know.

    Raises:
        IntegrityError: when it is there: then the index is damaged.
    """
    paths = snapshot.paths(TABLE, last_us=None if until is None else to_micros(until))
    if not paths:
        return
    by = "" if until is None else f"AND occurred_at <= {_instant(until)}"
    with sql.reading("The table of lineage events"):
        there = snapshot.connection.execute(
            f"SELECT 1 FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"WHERE run_id = {sql.literal(run_id)} {by} LIMIT 1"
        ).fetchall()
    if there:
        raise _missed(snapshot, run_id)


def _missed(snapshot: Snapshot, run_id: str) -> IntegrityError:
    return IntegrityError(
        f"The look-up index does not know run {run_id}, whose events are in the lake.",
        "It is damaged; the events themselves are not concerned.",
        index_advice(snapshot.root),
    )


class Asked(NamedTuple):
    """Who wrote a dataset: so many runs that were complete before a time."""

    dataset: str
    before: datetime
    limit: int = 1


def writers(snapshot: Snapshot, dataset: str, *, before: datetime, limit: int = 1) -> list[Run]:
    """The last runs that had written a dataset and were complete before a time, newest first.

    Each is given as it was at that time: of events that had occurred.

    Args:
        snapshot: the lake.
        dataset: ``namespace/name``; under its other names it is found too.
        before: they ended before this.
        limit: how many at most.

    Raises:
        IntegrityError: when the received bytes of an event cannot be read, or the index misses it.
    """
    return writers_of(snapshot, [Asked(dataset, before, limit)])[0]


def writers_of(snapshot: Snapshot, asked: Sequence[Asked]) -> list[list[Run]]:
    """:func:`writers` for several questions, whose runs are read together."""
    keys = [_last_writers(snapshot, *one) for one in asked]
    ids = list(dict.fromkeys(run_id for found in keys for _, _, run_id in found))
    told = _with_ids(snapshot, ids) if ids else []
    answers = []
    for one, found in zip(asked, keys, strict=True):
        runs = {
            (run.job_namespace, run.job_name, run.run_id): run
            for run in (merged(_by(one.before, told)) if found else ())
        }
        for key in found:
            if key not in runs:
                raise _missed(snapshot, key[2])
        answers.append([runs[key] for key in found])
    return answers


def _last_writers(
    snapshot: Snapshot, dataset: str, before: datetime, limit: int
) -> list[tuple[str, str, str]]:
    """The job's namespace and name and the id of each of :func:`writers`."""
    paths = snapshot.paths(TABLE, last_us=to_micros(before))
    if not paths:
        return []
    names = sql.literal(sorted(names_of(snapshot, dataset)))
    query = f"""
        WITH told AS (
            SELECT job_namespace, job_name, run_id, event_type, epoch_us(occurred_at) AS us,
                   list_has_any(writes, {names}) AS wrote
            FROM read_parquet({sql.literal(paths)}, union_by_name = true)
            WHERE kind = 'run' AND occurred_at < {_instant(before)}
        )
        SELECT job_namespace, job_name, run_id,
               max(us) FILTER (WHERE event_type = 'COMPLETE') AS done
        FROM told GROUP BY ALL
        HAVING bool_or(wrote)
           AND arg_max(event_type, (us, list_position({sql.literal(ENDED)}, event_type)))
               FILTER (WHERE event_type IN {ENDED}) = 'COMPLETE'
        ORDER BY done DESC, job_namespace, job_name, run_id LIMIT {int(limit)}
    """
    with sql.reading("The table of lineage events"):
        rows = snapshot.connection.execute(query).fetchall()
    return [row[:3] for row in rows]


class Span(NamedTuple):
    """When a dataset was tested: from a time on, of all time where None, and before another."""

    dataset: str
    after: datetime | None
    before: datetime


def tests(
    snapshot: Snapshot, dataset: str, *, after: datetime | None, before: datetime
) -> list[Test]:
    """Results of tests of a dataset by runs that read or wrote it in a time, in their order.

    Args:
        snapshot: the lake.
        dataset: ``namespace/name``; under its other names it is found too.
        after: events from this time on count; all where None.
        before: events before this time count.
    """
    return tests_of(snapshot, [Span(dataset, after, before)])[0]


def tests_of(snapshot: Snapshot, asked: Sequence[Span]) -> list[list[Test]]:
    """:func:`tests` for several datasets."""
    if not asked:
        return []
    starts = [one.after for one in asked if one.after is not None]
    after = min(starts) if len(starts) == len(asked) else None
    whole = Span("", after, max(one.before for one in asked))
    paths = _paths(snapshot, whole)
    if not paths:
        return [[] for _ in asked]
    each = " OR ".join(f"({_within(one)} AND {_tested(snapshot, one)})" for one in asked)
    # Most datasets are never tested, and the nested columns take long to read.
    with sql.reading("The table of lineage events"):
        any_ = snapshot.connection.execute(
            f"SELECT 1 FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"WHERE kind = 'run' AND {_within(whole)} AND ({each}) LIMIT 1"
        ).fetchall()
    return [_tests(snapshot, one) if any_ else [] for one in asked]


def _tests(snapshot: Snapshot, asked: Span) -> list[Test]:
    paths, names = _paths(snapshot, asked), sql.literal(sorted(names_of(snapshot, asked.dataset)))
    if not paths:
        return []
    query = f"""
        WITH told AS (
            SELECT job_namespace, job_name, run_id, epoch_us(occurred_at) AS us,
                   unnest(list_filter(
                       list_concat(inputs, outputs),
                       lambda one: list_contains({names}, one.namespace || '/' || one.name)
                   )) AS said
            FROM read_parquet({sql.literal(paths)}, union_by_name = true)
            WHERE kind = 'run' AND {_within(asked)} AND {_tested(snapshot, asked)}
        ), each AS (
            SELECT * EXCLUDE (said), unnest(said.assertions) AS test FROM told
        )
        SELECT test.assertion, arg_max(test.success, (us, NOT test.success)), test.column,
               arg_max(test.severity, (us, NOT test.success)), test.name,
               job_namespace, job_name, run_id, max(us) AS last_us
        FROM each
        GROUP BY test.assertion, test.column, test.name, job_namespace, job_name, run_id
        ORDER BY last_us, job_namespace, job_name, run_id, test.column, test.assertion, test.name
    """
    with sql.reading("The table of lineage events"):
        rows = snapshot.connection.execute(query).fetchall()
    results = [(*row[:-1], from_micros(row[-1])) for row in rows]
    return [Test(*result) for result in results]


def _paths(snapshot: Snapshot, span: Span) -> list[str]:
    after = None if span.after is None else to_micros(span.after)
    return snapshot.paths(TABLE, after, to_micros(span.before))


def _within(span: Span) -> str:
    since = "" if span.after is None else f"occurred_at >= {_instant(span.after)} AND "
    return f"{since}occurred_at < {_instant(span.before)}"


def _tested(snapshot: Snapshot, span: Span) -> str:
    return f"list_has_any(tested, {sql.literal(sorted(names_of(snapshot, span.dataset)))})"


def _instant(time: datetime) -> str:
    """``time`` as an SQL literal, by which row groups can be passed over."""
    return f"TIMESTAMPTZ {sql.literal(time.astimezone(UTC).isoformat())}"


def _told(snapshot: Snapshot, locations: Iterable[Location]) -> list[Told]:
    by_file: dict[str, list[int]] = {}
    for location in locations:
        by_file.setdefault(location.file, []).append(location.row)
    found = []
    for file, rows in by_file.items():
        path = str(snapshot.root / TABLE / file)
        with sql.reading(f"A record in {TABLE}/{PurePath(path).name}"):
            fetched = snapshot.connection.execute(
                "SELECT raw, event_id, epoch_us(occurred_at), epoch_us(ingested_at), salt, leaf "
                f"FROM read_parquet({sql.literal(path)}, file_row_number = true) "
                f"WHERE file_row_number IN ({', '.join(map(str, rows))})"
            ).fetchall()
        for raw, event_id, occurred_us, ingested_us, salt, leaf in fetched:
            verified = bool(salt and leaf) and leaf_hash(salt, raw) == leaf
            found.append(Told(_event(raw), event_id, occurred_us, ingested_us, verified))
    return found


def _event(raw: bytes) -> dict[str, Any]:
    """A received event; the ingest has checked it, and whoever changed it since is found out."""
    try:
        event = loads(raw.decode())
        openlineage.check(event)
    except (ValueError, openlineage.Invalid) as error:
        raise IntegrityError(
            "The received bytes of a lineage event cannot be read.",
            f"{error}.",
            "Restore the file.",
        ) from error
    found: dict[str, Any] = event
    return openlineage.whole(found) if openlineage.HALF_WRITTEN in raw.lower() else found
