"""What pipelines show: runs of a job that differ from the run before, as lineage events tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes.change import Change, made_id
from forensics.records.times import from_micros, to_micros

_ENDED_WELL = "COMPLETE"
#: The states that a run ends in; of two at one instant the later one here counts.
_ENDS = (_ENDED_WELL, "ABORT", "FAIL")
_LISTED = 4


class JobRun(NamedTuple):
    """One run that ended. ``state`` is COMPLETE, FAIL or ABORT.

    ``marks`` are equal where two runs wrote the same columns and had the same test results.
    ``earlier`` is what it was before an event gave it another end.
    """

    namespace: str | None
    name: str
    run_id: str
    started_at: datetime
    ended_at: datetime
    state: str
    code_version: str | None
    error: str | None
    known_at: datetime
    marks: frozenset[int]
    earlier: JobRun | None = None

    def at(self, time: datetime) -> JobRun | None:
        """This as it was at ``time``; None where it had not ended."""
        run: JobRun | None = self
        while run is not None and run.ended_at > time:
            run = run.earlier
        return run

    @property
    def job(self) -> str:
        """The job as ``namespace/name``."""
        return _path(self.namespace, self.name)


class Written(NamedTuple):
    """What a run wrote and tested.

    ``columns`` has the types of each written dataset's columns by name, ``tests`` whether each test
    held, by dataset, test and column.
    """

    columns: Mapping[str, Mapping[str, str]]
    tests: Mapping[tuple[str, str, str], bool]


def runs(
    snapshot: Snapshot,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    known_by: datetime | None = None,
    jobs: Collection[str] | None = None,
) -> list[JobRun]:
    """Runs that ended, in the order of their ends.

    Args:
        snapshot: the lake.
        since: leave out events before it.
        until: leave out events after it.
        known_by: leave out what we received later.
        jobs: only these, as ``namespace/name``; of all jobs where None, and then only the runs that
            :func:`differences` tells something of, since there may be very many.
    """
    ends = [None if time is None else to_micros(time) for time in (since, until)]
    paths = snapshot.paths("lineage", *ends)
    if not paths or (jobs is not None and not jobs):
        return []
    conditions = ["true"]
    if ends[0] is not None:
        conditions.append(f"occurred_at >= make_timestamptz({ends[0]})")
    if ends[1] is not None:
        conditions.append(f"occurred_at <= make_timestamptz({ends[1]})")
    if known_by is not None:
        conditions.append(f"epoch_us(ingested_at) <= {to_micros(known_by)}")
    if jobs is not None:
        names = ", ".join(map(sql.literal, sorted(jobs)))
        conditions.append(f"concat_ws('/', job_namespace, job_name) IN ({names})")
    files, condition = sql.literal(paths), " AND ".join(conditions)
    if jobs is None:
        telling = sql.query("usage_telling", files=files, condition=condition)
        condition += f" AND run_id IN ({telling})"
    query = sql.query("usage_runs", files=files, condition=condition)
    with sql.reading("The table of lineage events"):
        rows = snapshot.connection.execute(query).fetchall()
    # Grouped here: DuckDB takes longer to group few rows than to read them.
    events: dict[tuple[str | None, str, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        events.setdefault(row[:3], []).append(row[3:])
    ended = [run for key, told in events.items() if (run := _run(*key, told)) is not None]
    return sorted(ended, key=lambda run: (run.ended_at, run.run_id))


class LastRun(NamedTuple):
    """The last run of a job that had completed by some time."""

    job: str
    run_id: str
    ended_at: datetime


def last_runs(
    snapshot: Snapshot, time: datetime, known_by: datetime | None = None
) -> list[LastRun]:
    """The last run of each job that had completed by ``time``, as far as we knew."""
    paths = snapshot.paths("lineage", last_us=to_micros(time))
    if not paths:
        return []
    known = "true" if known_by is None else f"epoch_us(ingested_at) <= {to_micros(known_by)}"
    with sql.reading("The table of lineage events"):
        rows = snapshot.connection.execute(
            "SELECT job_namespace, job_name, arg_max(run_id, done), max(done) FROM ("
            "SELECT job_namespace, job_name, run_id, "
            f"max(epoch_us(occurred_at)) FILTER (WHERE event_type = '{_ENDED_WELL}') AS done "
            f"FROM read_parquet({sql.literal(paths)}) "
            f"WHERE event_type IN {_ENDS} AND run_id IS NOT NULL AND job_name IS NOT NULL "
            f"AND occurred_at <= make_timestamptz({to_micros(time)}) AND {known} "
            "GROUP BY job_namespace, job_name, run_id HAVING arg_max(event_type, "
            f"(occurred_at, list_position({sql.literal(_ENDS)}, event_type))) = '{_ENDED_WELL}') "
            "GROUP BY job_namespace, job_name"
        ).fetchall()
    return [
        LastRun(_path(namespace, name), run_id, from_micros(ended))
        for namespace, name, run_id, ended in rows
    ]


def _run(
    namespace: str | None, name: str, run_id: str, events: list[tuple[Any, ...]]
) -> JobRun | None:
    """A run from its events, oldest first; None where it has not ended."""
    run: JobRun | None = None
    code = error = known = None
    marks: frozenset[int] = frozenset()
    for occurred, received, type_, its_code, its_error, mark in sorted(events, key=_moment):
        code, error = its_code or code, its_error or error
        if mark is not None:
            marks |= {mark}
        if type_ in _ENDS:
            known = received if known is None else min(known, received)
            run = JobRun(
                namespace, name, run_id, from_micros(events[0][0]), from_micros(occurred), type_,
                code, error, from_micros(known), marks, earlier=run,
            )  # fmt: skip
    # What was told later is of the run as well.
    return None if run is None else run._replace(code_version=code, error=error, marks=marks)


def _moment(event: tuple[Any, ...]) -> tuple[int, int]:
    """The place of an event among those of its run."""
    return event[0], _ENDS.index(event[2]) + 1 if event[2] in _ENDS else 0


def _written(snapshot: Snapshot, wanted: Collection[JobRun]) -> dict[tuple[str, str], Written]:
    """What runs wrote and tested, by job and run id."""
    if not wanted:
        return {}
    paths = snapshot.paths(
        "lineage",
        to_micros(min(run.started_at for run in wanted)),
        to_micros(max(run.ended_at for run in wanted)),
    )
    ids = ", ".join(sql.literal(run.run_id) for run in wanted)
    with sql.reading("The table of lineage events"):
        rows = snapshot.connection.execute(
            "SELECT job_namespace, job_name, run_id, outputs, inputs "
            f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"WHERE run_id IN ({ids}) AND (len(outputs) > 0 OR len(inputs) > 0) "
            "ORDER BY occurred_at, event_id"
        ).fetchall()
    found: dict[tuple[str, str], tuple[dict[str, Any], dict[Any, Any]]] = {}
    for namespace, name, run_id, outputs, inputs in rows:
        columns, tests = found.setdefault((_path(namespace, name), run_id), ({}, {}))
        for dataset in outputs or ():
            if dataset.get("columns"):
                types = dataset.get("types") or []
                padded = [*types, *([""] * (len(dataset["columns"]) - len(types)))]
                place = _path(dataset.get("namespace"), dataset.get("name"))
                columns[place] = dict(zip(dataset["columns"], padded, strict=False))
        for dataset in (*(inputs or ()), *(outputs or ())):
            place = _path(dataset.get("namespace"), dataset.get("name"))
            for test in dataset.get("assertions") or ():
                if test.get("success") is not None:
                    said = str(test.get("assertion") or test.get("name") or "test")
                    tests[place, said, str(test.get("column") or "")] = test["success"]
    return {key: Written(*parts) for key, parts in found.items()}


def _path(namespace: str | None, name: str | None) -> str:
    return "/".join(part for part in (namespace, name) if part)


def differences(snapshot: Snapshot, found: list[JobRun]) -> Iterator[Change]:
    """Where a run's code, tests or columns are other than those of the run before, or it failed.

    What was written is read of those runs alone whose marks differ: mostly few.

    Args:
        snapshot: the lake.
        found: runs in the order of their ends.
    """
    last: dict[str, JobRun] = {}
    coded: dict[str, JobRun] = {}
    failed: set[str] = set()
    moved: list[tuple[JobRun, JobRun]] = []
    for run in found:
        if run.state != _ENDED_WELL:
            if run.job not in failed:  # the first of a row of failures says it
                yield _failure(run)
            failed.add(run.job)
            continue
        failed.discard(run.job)
        before = coded.get(run.job)
        if before is not None and run.code_version and before.code_version != run.code_version:
            yield _change(
                run, "pipeline", run.name, None,
                from_version=before.code_version, to_version=run.code_version,
                agreement="unannounced",
            )  # fmt: skip
        if run.code_version:
            coded[run.job] = run
        if run.job in last and last[run.job].marks != run.marks:
            moved.append((last[run.job], run))
        last[run.job] = run
    yield from _moved(snapshot, moved)


def _moved(snapshot: Snapshot, pairs: list[tuple[JobRun, JobRun]]) -> Iterator[Change]:
    written = _written(snapshot, {run for pair in pairs for run in pair})
    columns: dict[tuple[str, str], Mapping[str, str]] = {}
    tests: dict[tuple[str, ...], bool] = {}
    nothing = Written({}, {})
    for before, run in pairs:
        for earlier in (before, run):
            wrote = written.get((earlier.job, earlier.run_id), nothing)
            for dataset, now in wrote.columns.items():
                then = columns.get((run.job, dataset))
                if earlier is run and then is not None and (what := _columns_moved(then, now)):
                    yield _change(run, "schema", dataset, what, agreement="unannounced")
                columns[run.job, dataset] = now
            yield from _tests_moved(earlier, wrote.tests, tests)


def _tests_moved(
    run: JobRun, results: Mapping[tuple[str, str, str], bool], known: dict[tuple[str, ...], bool]
) -> Iterator[Change]:
    broken: list[str] = []
    mended: list[str] = []
    for (dataset, test, column), held in results.items():
        key = (run.job, dataset, test, column)
        before, known[key] = known.get(key), held
        if before is not None and before != held:
            (mended if held else broken).append(f"{test}({column})" if column else test)
    for names, words in ((broken, "fails"), (mended, "holds again")):
        if names:
            what = f"test {_some(names)} {words}"
            yield _change(run, "pipeline", run.name, what, tests=sorted(names))


def _failure(run: JobRun) -> Change:
    error = (run.error or "").strip().split("\n", 1)[0]
    what = f"run {'failed' if run.state == 'FAIL' else 'aborted'}"
    return _change(run, "pipeline", run.name, f"{what}: {error}" if error else what)


def _columns_moved(then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    parts = []
    if new := [name for name in now if name not in then]:
        parts.append(f"column {_some(new)} appears")
    if gone := [name for name in then if name not in now]:
        parts.append(f"column {_some(gone)} is gone")
    parts += [
        f"column {name} is {now[name]}, was {then[name]}"
        for name in now
        if then.get(name) and now[name] and then[name] != now[name]
    ]
    return ", ".join(parts) or None


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _change(run: JobRun, kind: str, component: str, what: str | None, **fields: Any) -> Change:
    detail: dict[str, Any] = {"job": run.job, "run": run.run_id}
    if "tests" in fields:
        detail["tests"] = fields.pop("tests")
    return Change(
        change_id=made_id("run", run.job, run.run_id, kind, component, what),
        occurred_at=run.ended_at,
        kind=kind,
        component=component,
        run_id=run.run_id,
        known_at=run.known_at,
        detail=detail,
        what=what,
        evidence="inferred",
        source="lineage",
        seen_at=run.ended_at,
        seen_by="lineage",
        **fields,
    )
