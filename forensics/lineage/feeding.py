"""Which run had fed a feature at each time of a window, what tests said, how new its code was.

:mod:`.provenance` tells it of one decision, from the received bytes of some runs; here it is told
for all decisions of a window at once, from the columns that were read off the events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot
from forensics.lineage.dataset_names import names_of
from forensics.lineage.run import ENDED
from forensics.lineage.runs import TABLE

#: Before and after all times.
BEFORE_US, AFTER_US = -(1 << 62), 1 << 62


class Feeder(NamedTuple):
    """A run, by all of its events; ``ended_us`` is when it came to its ``state``, if it did."""

    job: str
    run_id: str
    state: str | None
    first_us: int
    last_us: int
    started_us: int | None
    ended_us: int | None
    code_version: str | None
    writes: frozenset[str]


class Result(NamedTuple):
    """What a run said of a test of a dataset, and when."""

    dataset: str
    test: str
    column: str | None
    success: bool
    severity: str | None
    job: str
    run_id: str
    us: int

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Equal for results of one test."""
        return self.dataset, self.test, self.column

    @property
    def called(self) -> str:
        """The test in words: ``not_null(amount) of warehouse/features``."""
        test = f"{self.test}({self.column})" if self.column else self.test
        return f"{test} of {self.dataset}"


class Phase(NamedTuple):
    """From ``first_us`` to before ``end_us`` it was ``run`` that had fed a feature.

    Tests of the dataset count that were told from ``tests_us`` on, and before ``rewritten_us``:
    later ones are of what another run wrote. ``run`` is None where none is known, and ``doubtful``
    where it cannot have written the value.
    """

    first_us: int
    end_us: int
    run: Feeder | None = None
    doubtful: bool = False
    tests_us: int = BEFORE_US
    rewritten_us: int = AFTER_US


def failing(results: Iterable[Result]) -> list[Result]:
    """Of each test the last result, where it is a failure; of two at one time the failure counts.

    Args:
        results: in any order.
    """
    last: dict[tuple[str, str, str | None], Result] = {}
    for result in sorted(results, key=lambda one: (one.us, not one.success)):
        last[result.key] = result
    return [result for result in last.values() if not result.success]


def rewritten_us(snapshot: Snapshot, dataset: str, after_us: int) -> int:
    """When a run completed first, after a time, that wrote ``dataset``; :data:`AFTER_US` if none.

    Args:
        snapshot: the lake.
        dataset: ``namespace/name``; under its other names it is found too.
        after_us: microseconds since 1970.
    """
    paths = snapshot.paths(TABLE)
    if not paths:
        return AFTER_US
    names = sql.literal(sorted(names_of(snapshot, dataset)))
    query = f"""
        SELECT min(done) FROM (
            SELECT max(us) FILTER (WHERE event_type = 'COMPLETE') AS done
            FROM (SELECT job_namespace, job_name, run_id, event_type, writes,
                         epoch_us(occurred_at) AS us
                  FROM read_parquet({sql.literal(paths)}, union_by_name = true)
                  WHERE kind = 'run' AND (event_type IN {ENDED} OR len(writes) > 0))
            GROUP BY job_namespace, job_name, run_id
            HAVING bool_or(list_has_any(writes, {names}))
               AND arg_max(event_type, (us, list_position({sql.literal(ENDED)}, event_type)))
                   FILTER (WHERE event_type IN {ENDED}) = 'COMPLETE'
        ) WHERE done > {after_us}"""
    with sql.reading("The table of lineage events"):
        ((first,),) = snapshot.connection.execute(query).fetchall()
    return AFTER_US if first is None else int(first)


class Feeding:
    """The runs and tests of a lake by a time, read when they are asked for first.

    Args:
        snapshot: the lake.
        until_us: events from this time on are left out.
    """

    def __init__(self, snapshot: Snapshot, until_us: int) -> None:
        self._snapshot = snapshot
        self._paths = snapshot.paths(TABLE, last_us=None if until_us == AFTER_US else until_us)
        self._until = (
            "true" if until_us == AFTER_US else f"occurred_at < make_timestamptz({until_us})"
        )
        self._names: dict[str, frozenset[str]] = {}

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """What was said of tests, oldest first."""
        rows = self._asked("""
            SELECT said.namespace || '/' || said.name, coalesce(test.name, test.assertion),
                   test.column, test.success, test.severity,
                   concat_ws('/', job_namespace, job_name), run_id, us
            FROM (SELECT * EXCLUDE (said), said, unnest(said.assertions) AS test FROM (
                SELECT job_namespace, job_name, run_id, epoch_us(occurred_at) AS us,
                       unnest(list_concat(inputs, outputs)) AS said
                FROM {events} AND len(tested) > 0))
            WHERE test.success IS NOT NULL ORDER BY us, NOT test.success""")
        return tuple(Result(*row) for row in rows)

    @cached_property
    def runs(self) -> tuple[Feeder, ...]:
        """The runs, by when they ended."""
        rows = self._asked(f"""
            SELECT concat_ws('/', job_namespace, job_name) AS job, run_id,
                   arg_max(event_type, (us, list_position({sql.literal(ENDED)}, event_type)))
                       FILTER (WHERE event_type IN {ENDED}),
                   min(us), max(us), min(us) FILTER (WHERE event_type = 'START'),
                   max(us) FILTER (WHERE event_type IN {ENDED}) AS ended,
                   arg_max(code_version, us) FILTER (WHERE code_version IS NOT NULL),
                   list_distinct(flatten(list(writes)))
            FROM (SELECT *, epoch_us(occurred_at) AS us FROM {{events}})
            GROUP BY job_namespace, job_name, run_id ORDER BY ended, job, run_id""")
        return tuple(Feeder._make((*row[:-1], frozenset(row[-1] or ()))) for row in rows)

    def phases(self, dataset: str | None, job: str | None, run_id: str | None) -> list[Phase]:
        """What run had fed a feature when, as its decision and its declaration say.

        Args:
            dataset: the dataset that is named, if one is.
            job: the job.
            run_id: the run; where none is named, it is the last that had written the dataset.
        """
        if run_id:
            run = self._named(dataset, job, run_id)
            if run is not None:
                return list(self._of_run(run, dataset))
            return [Phase(BEFORE_US, AFTER_US)]
        if not dataset:
            return []
        found, first = [Phase(BEFORE_US, AFTER_US)], self.writers(dataset)
        for one in first:
            done = one.ended_us or 0
            if found[-1].run is not None and found[-1].first_us == done + 1:
                continue  # of those of one instant the first by name counts
            found[-1] = found[-1]._replace(end_us=done + 1)
            found.append(Phase(done + 1, AFTER_US, one, tests_us=done))
        return found

    def _named(self, dataset: str | None, job: str | None, run_id: str) -> Feeder | None:
        """The run of that id; of several jobs' runs the one that wrote the dataset."""
        mine = self._by_id.get(run_id, [])
        mine = [run for run in mine if dataset in run.writes] or mine
        mine = [run for run in mine if run.job == job] or mine
        mine = [run for run in mine if run.state == "COMPLETE"] or mine
        return max(mine, key=lambda run: run.last_us, default=None)

    def _of_run(self, run: Feeder, dataset: str | None) -> Iterator[Phase]:
        other = dataset is not None and bool(run.writes) and dataset not in run.writes
        yield Phase(BEFORE_US, run.first_us, run, doubtful=True, tests_us=AFTER_US)
        ended = AFTER_US if run.ended_us is None else run.ended_us
        started = BEFORE_US if run.started_us is None else run.started_us
        if run.first_us < ended:
            yield Phase(run.first_us, ended, run, doubtful=other, tests_us=started)
        if run.ended_us is None:
            return
        later = (one.ended_us for one in self.writers(dataset) if one.ended_us) if dataset else ()
        yield Phase(
            ended,
            AFTER_US,
            run,
            doubtful=other or run.state != "COMPLETE",
            tests_us=ended,
            rewritten_us=min((time for time in later if time > ended), default=AFTER_US),
        )

    def told(self, phase: Phase, dataset: str | None) -> list[Result]:
        """The results that count in a phase: of the dataset, and what its run itself said."""
        names = self._names_of(dataset) if dataset else frozenset()
        found = [
            result._replace(dataset=str(dataset))
            for name in names
            for result in self._by_dataset.get(name, ())
            if phase.tests_us <= result.us < phase.rewritten_us
        ]
        if phase.run is not None and not phase.doubtful:
            mine = self._by_run.get((phase.run.job, phase.run.run_id), ())
            found += [r._replace(dataset=str(dataset)) if r.dataset in names else r for r in mine]
        return found

    def code_since(self, run: Feeder, dataset: str | None) -> int | None:
        """When other code than before wrote first what ``run`` writes; None where none is known."""
        if run.ended_us is None:
            return None
        before = [
            one
            for one in (self.writers(dataset) if dataset else ())
            if (one.ended_us or 0) < run.ended_us and one.run_id != run.run_id
        ]
        if before and before[-1].code_version not in (None, run.code_version):
            return run.ended_us
        return self._since.get((run.job, run.run_id))

    def writers(self, dataset: str) -> list[Feeder]:
        """The completed runs that wrote a dataset, under any of its names, oldest first."""
        names = self._names_of(dataset)
        found = {run for name in names for run in self._by_written.get(name, ())}
        return sorted(found, key=lambda run: (run.ended_us or 0, run.job, run.run_id))

    @cached_property
    def _by_id(self) -> dict[str, list[Feeder]]:
        found: dict[str, list[Feeder]] = {}
        for run in self.runs:
            found.setdefault(run.run_id, []).append(run)
        return found

    @cached_property
    def _by_written(self) -> dict[str, list[Feeder]]:
        found: dict[str, list[Feeder]] = {}
        for run in self.runs:
            for name in run.writes if run.state == "COMPLETE" else ():
                found.setdefault(name, []).append(run)
        return found

    @cached_property
    def _by_dataset(self) -> dict[str, list[Result]]:
        found: dict[str, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.dataset, []).append(result)
        return found

    @cached_property
    def _by_run(self) -> dict[tuple[str, str], list[Result]]:
        found: dict[tuple[str, str], list[Result]] = {}
        for result in self.results:
            found.setdefault((result.job, result.run_id), []).append(result)
        return found

    @cached_property
    def _since(self) -> dict[tuple[str, str], int]:
        """For each run when its job's code became what it was in it, where another was before."""
        by_job: dict[str, list[Feeder]] = {}
        for run in self.runs:
            if run.state == "COMPLETE" and run.code_version:
                by_job.setdefault(run.job, []).append(run)
        found: dict[tuple[str, str], int] = {}
        for job, mine in by_job.items():
            for earlier, run in pairwise(sorted(mine, key=lambda one: (one.ended_us, one.run_id))):
                if run.code_version != earlier.code_version:
                    found[job, run.run_id] = run.ended_us or 0
                elif (job, earlier.run_id) in found:
                    found[job, run.run_id] = found[job, earlier.run_id]
        return found

    def _names_of(self, dataset: str) -> frozenset[str]:
        if dataset not in self._names:
            self._names[dataset] = frozenset(names_of(self._snapshot, dataset))
        return self._names[dataset]

    def _asked(self, query: str) -> Collection[tuple[Any, ...]]:
        if not self._paths:
            return ()
        events = (
            f"read_parquet({sql.literal(self._paths)}, union_by_name = true) "
            f"WHERE kind = 'run' AND {self._until}"
        )
        with sql.reading("The table of lineage events"):
            return self._snapshot.connection.execute(query.format(events=events)).fetchall()
