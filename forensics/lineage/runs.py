"""Runs: what all events about one run of a job say together.

A run is named by its job's namespace and name and its own id, since some senders give one id to the
runs of several jobs. Its events are put in the order of their times, whenever they arrived: a facet
that is sent again replaces the earlier one of its name, inputs and outputs accumulate. Events of
one instant go by their type, START first and final states last, and then by their id, so that the
same events always give the same run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, NamedTuple

from forensics.errors import IntegrityError
from forensics.ingest import openlineage, openlineage_facets
from forensics.integrity.leaf import leaf_hash
from forensics.lake import sql
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Location, Snapshot, index_advice
from forensics.records.jsontext import loads

TABLE = "lineage"
#: The states that a run ends in; of two at one instant the later one here counts.
ENDED = ("COMPLETE", "ABORT", "FAIL")
_RANK = {type_: rank for rank, type_ in enumerate(("START", "RUNNING", None, "OTHER", *ENDED))}


@dataclass(frozen=True, slots=True)
class Assertion:
    """A test of a dataset and whether it held. ``column`` is None for one of the whole dataset."""

    assertion: str
    success: bool
    column: str | None = None
    severity: str | None = None
    name: str | None = None


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


@dataclass(frozen=True, slots=True)
class RunDataset:
    """A dataset that a run read or wrote.

    ``columns`` and ``types`` go together; both are empty where no schema was sent. ``rows`` is how
    many were read or written. ``facets`` holds all of them as received, also those that are about
    this reading or writing of the dataset alone.
    """

    namespace: str
    name: str
    version: str | None = None
    columns: tuple[str, ...] = ()
    types: tuple[str | None, ...] = ()
    rows: int | None = None
    assertions: tuple[Assertion, ...] = ()
    symlinks: tuple[tuple[str, str], ...] = ()
    facets: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The dataset as other records name it: ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that another is part of, as far as its events say."""

    job_namespace: str | None
    job_name: str | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job.

    ``state`` is the last of COMPLETE, FAIL and ABORT, else RUNNING, START or OTHER, else None.
    ``started_at`` is the time of its first START, ``ended_at`` of the event that gave its state
    where it has ended; each None where there is no such event. ``first_known_at`` is when the lake
    received the first of its ``events`` events. ``verified`` says whether the received bytes of all
    of them fit their leaves.
    """

    job_namespace: str
    job_name: str
    run_id: str
    state: str | None
    started_at: datetime | None
    ended_at: datetime | None
    nominal_at: datetime | None
    code_version: str | None
    producer: str
    error: str | None
    parent: Parent | None
    inputs: tuple[RunDataset, ...]
    outputs: tuple[RunDataset, ...]
    facets: Mapping[str, Any]
    job_facets: Mapping[str, Any]
    events: int
    first_at: datetime
    last_at: datetime
    first_known_at: datetime
    verified: bool

    @property
    def job(self) -> str:
        """The job as other records name it: ``namespace/name``."""
        return f"{self.job_namespace}/{self.job_name}"


class Told(NamedTuple):
    """One event about a run, with what the lake keeps of it."""

    event: dict[str, Any]
    event_id: str
    occurred_us: int
    ingested_us: int
    verified: bool


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


def names_of(snapshot: Snapshot, dataset: str) -> set[str]:
    """All names of a dataset, ``namespace/name``, as symlinks facets tell them."""
    pairs, names = _aliases(snapshot), {dataset}
    grown = True
    while grown:
        grown = False
        for one, other in pairs:
            if (one in names) != (other in names):
                names |= {one, other}
                grown = True
    return names


#: Aliases by the files that tell them: a trace asks for those of several datasets.
_ALIASES: dict[tuple[str, ...], list[tuple[str, str]]] = {}


def _aliases(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Pairs of names of one dataset, of all datasets."""
    paths = snapshot.paths(TABLE)
    pairs = _ALIASES.get(tuple(paths))
    if pairs is None:
        query = f"""
            SELECT DISTINCT pair.name, pair.alias FROM (
                SELECT unnest(aliases) AS pair
                FROM read_parquet({sql.literal(paths)}, union_by_name = true)
                WHERE len(aliases) > 0
            )
        """
        with sql.reading("The table of lineage events"):
            pairs = snapshot.connection.execute(query).fetchall() if paths else []
        _ALIASES.clear()
        _ALIASES[tuple(paths)] = pairs
    return pairs


def merged(told: Iterable[Told]) -> list[Run]:
    """The runs that events are about, the earliest first; events about none are passed over."""
    by_run: dict[tuple[str, str, str], dict[str, Told]] = {}
    for item in told:
        job, run = item.event.get("job"), item.event.get("run")
        if job and run:
            key = (job["namespace"], job["name"], run["runId"])
            by_run.setdefault(key, {}).setdefault(item.event_id, item)
    runs = [_run(key, sorted(items.values(), key=_order)) for key, items in by_run.items()]
    return sorted(runs, key=lambda run: (run.first_at, run.job_namespace, run.job_name, run.run_id))


def _order(told: Told) -> tuple[int, str, int, str]:
    _, _, fraction = told.event["eventTime"].partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    rank = _RANK[told.event.get("eventType")]
    return told.occurred_us, digits[6:].rstrip("0"), rank, told.event_id


def _run(key: tuple[str, str, str], told: list[Told]) -> Run:
    """One run.

    Args:
        key: its job's namespace and name, and its id.
        told: its events, each once, in order.
    """
    facets: dict[str, Any] = {}
    job_facets: dict[str, Any] = {}
    inputs = _Datasets("inputFacets")
    outputs = _Datasets("outputFacets")
    for item in told:
        _put(facets, item.event["run"].get("facets"))
        _put(job_facets, item.event["job"].get("facets"))
        inputs.add(item.event.get("inputs"))
        outputs.add(item.event.get("outputs"))
    types = [item.event.get("eventType") for item in told]
    ended = [item for item, type_ in zip(told, types, strict=True) if type_ in ENDED]
    started = [item for item, type_ in zip(told, types, strict=True) if type_ == "START"]
    if ended:
        state = ended[-1].event["eventType"]
    else:
        state = next((type_ for type_ in ("RUNNING", "START", "OTHER") if type_ in types), None)
    parent = openlineage_facets.parent(facets)
    return Run(
        *key,
        state=state,
        started_at=from_micros(started[0].occurred_us) if started else None,
        ended_at=from_micros(ended[-1].occurred_us) if ended else None,
        nominal_at=_nominal(facets),
        code_version=openlineage_facets.code_version(facets, job_facets),
        producer=told[-1].event["producer"],
        error=openlineage_facets.error(facets),
        parent=Parent(**parent) if parent else None,
        inputs=inputs.all(),
        outputs=outputs.all(),
        facets=facets,
        job_facets=job_facets,
        events=len(told),
        first_at=from_micros(told[0].occurred_us),
        last_at=from_micros(told[-1].occurred_us),
        first_known_at=from_micros(min(item.ingested_us for item in told)),
        verified=all(item.verified for item in told),
    )


class _Datasets:
    """Inputs or outputs as events add to them, by name."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._facets: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    def add(self, given: list[dict[str, Any]] | None) -> None:
        """Add what one event says."""
        for item in given or ():
            general, own = self._facets.setdefault((item["namespace"], item["name"]), ({}, {}))
            _put(general, item.get("facets"))
            _put(own, item.get(self._own))

    def all(self) -> tuple[RunDataset, ...]:
        """The datasets by their names."""
        return tuple(
            _dataset(namespace, name, general, own)
            for (namespace, name), (general, own) in sorted(self._facets.items())
        )


def _dataset(namespace: str, name: str, general: dict[str, Any], own: dict[str, Any]) -> RunDataset:
    said = openlineage_facets.dataset(general, own)
    return RunDataset(
        namespace,
        name,
        version=said["version"],
        columns=tuple(said["columns"] or ()),
        types=tuple(said["types"] or ()),
        rows=said["rows"],
        assertions=tuple(Assertion(**item) for item in said["assertions"]),
        symlinks=tuple((item["namespace"], item["name"]) for item in said["symlinks"]),
        facets=general | own,
    )


def _put(facets: dict[str, Any], given: dict[str, Any] | None) -> None:
    """Put facets in place of those of the same name, and take out those that are deleted."""
    for name, facet in (given or {}).items():
        if facet is None:
            continue
        if facet.get("_deleted") is True:
            facets.pop(name, None)
        else:
            facets[name] = facet


def _nominal(facets: Mapping[str, Any]) -> datetime | None:
    text = (facets.get("nominalTime") or {}).get("nominalStartTime")
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None


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
