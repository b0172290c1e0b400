"""Lineage events as tables: who declared what, as it was at a time and as it was known by then.

One question has its own temporary tables in the snapshot's DuckDB; what is asked of them is walked
by :mod:`forensics.lineage`. Nothing is derived beforehand: 100,000 events are read in a few tenths
of a second, and what they say then depends on the time that is asked about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot

TABLE = "lineage"
_PAIRS = "(SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]))"
_IDS = (
    "(SELECT id FROM lineage_units WHERE ran AND (job_namespace, job_name, unit) IN "
    "(SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[])))"
)
_RUNS = "(SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]))"

#: Namespace and name, of a job or a dataset.
Pair = tuple[str, str]
#: Namespace and name of a run's job, and the run's id.
RunKey = tuple[str, str, str]
#: Kind, namespace and name.
Named = tuple[str, str, str]


class Scope(NamedTuple):
    """Which events count: those that occurred by a time, and that the lake had by another.

    Times are in microseconds from 1970, None for no limit. ``all_time``: everything that was ever
    declared until then, not what held last.
    """

    as_of_us: int | None = None
    known_by_us: int | None = None
    all_time: bool = False


class Flow(NamedTuple):
    """A job reads a dataset, or writes it.

    ``first_us`` and ``last_us`` are the times of the first and the last declaration that says so,
    ``run_id`` is the run that made the last one, None where an event about the job did.
    """

    job: Pair
    written: bool
    dataset: Pair
    current: bool
    first_us: int
    last_us: int
    run_id: str | None


class ColumnEdge(NamedTuple):
    """A column is made from another; a column that is None stands for the whole dataset.

    ``job`` is None where a DatasetEvent said it.
    """

    job: Pair | None
    output: Pair
    output_column: str | None
    input: Pair
    input_column: str | None
    transformations: tuple[str, ...]
    current: bool
    first_us: int
    last_us: int
    run_id: str | None


class RunFacts(NamedTuple):
    """A run, or an event about a job that stands for one (``run_id`` None)."""

    job: Pair
    run_id: str | None
    state: str | None
    first_us: int
    last_us: int
    code_version: str | None
    error: str | None
    parent: RunKey | None


class Assertion(NamedTuple):
    """The last word on a test of a dataset, which did not hold."""

    dataset: Pair
    assertion: str
    column: str | None
    severity: str | None
    us: int
    job: Pair | None
    run_id: str | None


class Read(NamedTuple):
    """A run read a dataset. ``writer`` is the run that had written it: job's names and run id.

    ``told``: the versions are the same by their names; else the writer is inferred from times.
    """

    run: RunKey
    dataset: Pair
    writer: RunKey | None
    version: str | None
    told: bool
    us: int
    written_us: int | None


class Write(NamedTuple):
    """A run wrote a dataset. ``well``: it did not fail."""

    run: RunKey
    dataset: Pair
    version: str | None
    us: int
    well: bool


class LineageTables:
    """The events of one scope; use one at a time, from one thread."""

    def __init__(self, snapshot: Snapshot, scope: Scope) -> None:
        self.scope = scope
        # A cursor has temporary tables of its own.
        self._connection = snapshot.connection.cursor()
        self.paths = snapshot.paths(TABLE, last_us=scope.as_of_us)
        if not self.paths:
            return
        conditions = ["true"]
        if scope.as_of_us is not None:
            conditions.append(f"epoch_us(occurred_at) <= {scope.as_of_us}")
        if scope.known_by_us is not None:
            conditions.append(f"epoch_us(ingested_at) <= {scope.known_by_us}")
        self._within = " AND ".join(conditions)
        self._files = [
            (path, file.first_us, file.last_us)
            for path, file in zip(
                self.paths, snapshot.files(TABLE, last_us=scope.as_of_us), strict=True
            )
        ]
        self._run(f"CREATE TEMP VIEW lineage_source AS {self._events(self.paths)}")
        self._run(sql.query("lineage_units"))
        every = str(scope.all_time).lower()
        self._run(f"CREATE TEMP VIEW lineage_recent AS {self._recent(every)}")
        self._run(sql.query("lineage_told", all_time=every))

    def flows(self) -> list[Flow]:
        """Which job reads and writes which dataset, in a fixed order."""
        return [
            Flow((row[0], row[1]), row[2], (row[3], row[4]), *row[5:])
            for row in self._run(sql.query("lineage_flows"))
        ]

    def columns(self, jobs: Collection[Pair] | None = None) -> list[ColumnEdge]:
        """Column edges that ``jobs`` (all where None) and events about datasets declare."""
        condition = "true" if jobs is None else f"(job_namespace, job_name) IN {_PAIRS}"
        parameters = [] if jobs is None else _columns(jobs)
        return [
            ColumnEdge(
                (row[0], row[1]) if row[1] is not None else None,
                (row[2], row[3]), row[4], (row[5], row[6]), row[7], tuple(row[8] or ()), *row[9:],
            )
            for row in self._run(sql.query("lineage_columns", jobs=condition), parameters)
        ]  # fmt: skip

    @cached_property
    def symlinks(self) -> list[tuple[Pair, Pair]]:
        """Datasets with another name of theirs; the first is the one that events use."""
        return [
            ((row[0], row[1]), (row[2], row[3]))
            for row in self._run(
                "SELECT DISTINCT fact.namespace AS a, fact.name AS b, other.namespace AS c, "
                "other.name AS d FROM (SELECT fact, unnest(fact.symlinks) AS other FROM "
                "(SELECT unnest(facts) AS fact FROM lineage_told)) WHERE d IS NOT NULL ORDER BY ALL"
            )
        ]

    def last_runs(self, jobs: Collection[Pair]) -> list[RunFacts]:
        """The last run of each of ``jobs``, by its last event; else the last event about it."""
        return self._units(f"last AND (job_namespace, job_name) IN {_PAIRS}", _columns(jobs))

    def runs(self, runs: Collection[RunKey]) -> list[RunFacts]:
        """What is known of runs."""
        return self._units(f"ran AND (job_namespace, job_name, unit) IN {_RUNS}", _columns(runs, 3))

    def runs_named(self, run_id: str) -> list[RunFacts]:
        """All runs of that id, whatever their jobs."""
        return self._units("ran AND unit = $1", [run_id])

    def runs_beginning(self, prefix: str) -> list[RunFacts]:
        """All runs whose ids begin so, whatever their jobs."""
        return self._units("ran AND starts_with(unit, $1)", [prefix])

    def wholes_named(self, run_id: str) -> list[RunKey]:
        """Runs of that id that events name as a parent, whether or not they have events."""
        return [
            (row[0], row[1], row[2])
            for row in self._run(
                "SELECT DISTINCT coalesce(parent.job_namespace, '') AS n, "
                "coalesce(parent.job_name, '') AS j, parent.run_id FROM lineage_source "
                "WHERE parent.run_id = $1 ORDER BY ALL",
                [run_id],
            )
        ]

    def parts(self, runs: Collection[RunKey]) -> list[tuple[RunKey, RunKey]]:
        """Runs that name one of ``runs`` as their parent, each with that one first."""
        return [
            (row[:3], row[3:])
            for row in self._run(
                "SELECT DISTINCT coalesce(parent.job_namespace, '') AS n, "
                "coalesce(parent.job_name, '') AS j, parent.run_id AS r, job_namespace, job_name, "
                f"run_id FROM lineage_source WHERE kind = 'run' AND (n, j, r) IN {_RUNS} "
                "ORDER BY ALL",
                _columns(runs, 3),
            )
        ]

    def job_parts(self, job: Pair) -> list[Pair]:
        """Jobs whose current run is part of a run of ``job``."""
        return [
            (row[0], row[1])
            for row in self._run(
                "SELECT DISTINCT job_namespace, job_name FROM lineage_source JOIN lineage_units "
                "AS unit USING (job_namespace, job_name) WHERE unit.current AND unit = run_id AND "
                "parent.job_namespace = $1 AND parent.job_name = $2 ORDER BY ALL",
                list(job),
            )
        ]

    def failed_assertions(self, datasets: Collection[Pair]) -> list[Assertion]:
        """Tests of ``datasets`` that did not hold when they last ran."""
        return [
            Assertion(
                (row[0], row[1]), row[2], row[3], row[4], row[5],
                (row[6], row[7]) if row[7] is not None else None, row[8],
            )
            for row in self._run(
                "SELECT fact.namespace AS space, fact.name AS dataset, test.assertion AS assertion,"
                " test.column AS field, test.severity, us, unit.job_namespace, unit.job_name, "
                "CASE WHEN unit.ran THEN unit.unit END FROM (SELECT us, id, fact, "
                "unnest(fact.assertions) AS test FROM (SELECT us, id, unnest(facts) AS fact FROM "
                "lineage_told)) AS told LEFT JOIN lineage_units AS unit USING (id) "
                f"WHERE (space, dataset) IN {_PAIRS} QUALIFY row_number() OVER (PARTITION BY "
                "space, dataset, assertion, field ORDER BY us DESC, test.success) = 1 "
                "AND NOT test.success ORDER BY space, dataset, assertion, field",
                _columns(datasets),
            )
        ]  # fmt: skip

    def versions(self, datasets: Collection[Pair]) -> dict[Pair, str]:
        """The version that each of ``datasets`` was last said to have, where one was said."""
        return {
            (row[0], row[1]): row[2]
            for row in self._run(
                "SELECT fact.namespace AS space, fact.name AS dataset, fact.version AS version "
                "FROM (SELECT us, unnest(facts) AS fact FROM lineage_told) WHERE version IS NOT "
                f"NULL AND (space, dataset) IN {_PAIRS} QUALIFY row_number() OVER (PARTITION BY "
                "space, dataset ORDER BY us DESC, version DESC) = 1",
                _columns(datasets),
            )
        }

    def schema(self, datasets: Collection[Pair]) -> list[str]:
        """Columns that a dataset, under any of its names, was last said to have."""
        for events in ("lineage_recent", "lineage_source"):  # the former is what is read quickly
            found = self._run(
                "SELECT said.columns FROM ("
                f"SELECT occurred_at, unnest(outputs) AS said FROM {events} UNION ALL "
                f"SELECT occurred_at, unnest(inputs) FROM {events}) "
                f"WHERE len(said.columns) > 0 AND (said.namespace, said.name) IN {_PAIRS} "
                "ORDER BY occurred_at DESC, said.columns LIMIT 1",
                _columns(datasets),
            )
            if found:
                return list(found[0][0])
        return []

    def ever_had(self, datasets: Collection[Pair], column: str) -> bool:
        """Whether any edge, also one that no longer holds, touches a column of a dataset."""
        return bool(
            self._run(
                "SELECT 1 FROM (SELECT unnest(column_edges) AS edge FROM lineage_source) WHERE "
                "edge.output_column = $3 AND (edge.output_namespace, edge.output_name) IN "
                f"{_PAIRS} OR edge.input_column = $3 AND (edge.input_namespace, edge.input_name) "
                f"IN {_PAIRS} LIMIT 1",
                [*_columns(datasets), column],
            )
        )

    def find_names(self, kinds: Collection[str], text: str, namespace: str | None) -> list[Named]:
        """Names of ``kinds`` that are exactly ``text``, with their namespace before it or not."""
        wanted = "name = $1 AND ($2 IS NULL OR namespace = $2)"
        if namespace is None:
            wanted = f"({wanted} OR namespace || '/' || name = $1)"
        return self._names(kinds, wanted, "kind, namespace, name", 20, [text, namespace])

    def near_names(self, kinds: Collection[str], text: str, limit: int) -> list[Named]:
        """Names of ``kinds`` that resemble ``text``, best first."""
        whole = "CASE WHEN kind = 'run' THEN name ELSE namespace || '/' || name END"
        likeness = (
            f"greatest(jaro_winkler_similarity(name, $1), jaro_winkler_similarity({whole}, $1), "
            "0.95 * contains(lower(name), lower($1))::INT)"
        )
        return self._names(
            kinds, f"{likeness} > 0.85", f"{likeness} DESC, kind, namespace, name", limit, [text]
        )

    def prepare_runs(self, main_names: Iterable[tuple[Pair, Pair]]) -> None:
        """Make the tables that :meth:`reads` and :meth:`writes` ask.

        Args:
            main_names: other names of datasets, each with the one to use instead.
        """
        pairs = list(main_names)
        self._run(
            "CREATE OR REPLACE TEMP TABLE lineage_symlinks AS SELECT unnest($1::VARCHAR[]) AS "
            "namespace, unnest($2::VARCHAR[]) AS name, unnest($3::VARCHAR[]) AS main_namespace, "
            "unnest($4::VARCHAR[]) AS main_name",
            _columns([(*other, *main) for other, main in pairs], 4),
        )
        of = (
            "coalesce(same.main_namespace, named.namespace)",
            "coalesce(same.main_name, named.name)",
        )
        space, dataset = of if pairs else ("named.namespace", "named.name")
        join = (
            "LEFT JOIN lineage_symlinks AS same "
            "ON same.namespace = named.namespace AND same.name = named.name"
        )
        self._run(
            sql.query(
                "lineage_runs", space=space, dataset=dataset, other_names=join if pairs else ""
            )
        )

    def reads(self, runs: Collection[RunKey]) -> list[Read]:
        """What ``runs`` read, after :meth:`prepare_runs`."""
        return self._reads(f"reads.id IN {_IDS}", _columns(runs, 3))

    def reads_from(self, runs: Collection[RunKey]) -> list[Read]:
        """Who read what ``runs`` had written."""
        return self._reads(f"writer IN {_IDS}", _columns(runs, 3))

    def reads_of_version(self, dataset: Pair, version: str) -> list[Read]:
        """Who read a version of a dataset that no known run wrote."""
        return self._reads(
            "namespace = $1 AND name = $2 AND version = $3 AND writer IS NULL", [*dataset, version]
        )

    def writes(self, runs: Collection[RunKey]) -> list[Write]:
        """What ``runs`` wrote, in order of time, after :meth:`prepare_runs`."""
        return self._writes(f"writes.id IN {_IDS}", _columns(runs, 3))

    def writes_of_version(self, dataset: Pair, version: str) -> list[Write]:
        """Who wrote a version of a dataset, which may be named by the run that did."""
        return self._writes(
            "namespace = $1 AND name = $2 AND $3 IN (version, unit)", [*dataset, version]
        )

    def _reads(self, condition: str, parameters: list[Any]) -> list[Read]:
        return [
            Read(row[:3], row[3:5], row[5:8] if row[7] is not None else None, *row[8:])
            for row in self._run(
                "SELECT reader.job_namespace, reader.job_name, reader.unit, namespace, name, "
                "wrote.job_namespace, wrote.job_name, wrote.unit, version, told, us, written_us "
                "FROM lineage_reads AS reads JOIN lineage_units AS reader ON reader.id = reads.id "
                f"LEFT JOIN lineage_units AS wrote ON wrote.id = writer WHERE {condition} "
                "ORDER BY ALL",
                parameters,
            )
        ]

    def _writes(self, condition: str, parameters: list[Any]) -> list[Write]:
        return [
            Write(row[:3], row[3:5], *row[5:])
            for row in self._run(
                "SELECT job_namespace, job_name, unit, namespace, name, version, us, well FROM "
                "lineage_writes AS writes JOIN lineage_units AS unit ON unit.id = writes.id "
                f"WHERE {condition} ORDER BY us, job_namespace, job_name, unit, namespace, name",
                parameters,
            )
        ]

    def _names(
        self, kinds: Collection[str], condition: str, order: str, limit: int, parameters: list[Any]
    ) -> list[Named]:
        query = sql.query(
            "lineage_names",
            kinds=", ".join(map(sql.literal, kinds)),
            condition=condition,
            order=order,
            limit=str(limit),
        )
        return [(row[0], row[1], row[2]) for row in self._run(query, parameters)]

    def _units(self, condition: str, parameters: list[Any]) -> list[RunFacts]:
        return [
            RunFacts((row[0], row[1]), row[2], row[3], row[4], row[5], row[6], row[7], _key(row[8]))
            for row in self._run(sql.query("lineage_states", condition=condition), parameters)
        ]

    def _events(self, paths: Collection[str]) -> str:
        return (
            f"SELECT * FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"WHERE {self._within}"
        )

    def _recent(self, every: str) -> str:
        """Events with all those of the units that count, and as few others as files and times tell.

        Where jobs run often, that leaves most of what was ever said unread.
        """
        files = ", ".join(
            f"({number}, {first}, {last})" for number, (_, first, last) in enumerate(self._files)
        )
        needed = self._run(
            "SELECT number, min(greatest(first_us, first)), max(least(last_us, final)) FROM "
            f"(VALUES {files}) AS file(number, first, final) JOIN lineage_units ON first_us <= "
            f"final AND last_us >= first WHERE current OR last OR {every} "
            "GROUP BY number ORDER BY number"
        )
        parts = [
            f"{self._events([self._files[number][0]])} AND occurred_at BETWEEN "
            f"make_timestamptz({low}) AND make_timestamptz({high})"
            for number, low, high in needed
        ]
        return " UNION ALL BY NAME ".join(parts) or "SELECT * FROM lineage_source WHERE false"

    def _run(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with sql.reading("The table of lineage events"):
            return self._connection.execute(query, list(parameters)).fetchall()


def _key(run: dict[str, str | None] | None) -> RunKey | None:
    if run is None:
        return None
    namespace, name, run_id = (text or "" for text in run.values())
    return namespace, name, run_id


def _columns(rows: Collection[tuple[str, ...]], width: int = 2) -> list[list[str]]:
    """Rows as one list per column, as DuckDB takes them."""
    return [[row[at] for row in rows] for at in range(width)]
