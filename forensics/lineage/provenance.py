"""Where each feature of a decision came from: dataset, column, run, tests, and its history.

What the record says goes first. A run that it names is looked up; where it names only a dataset, or
its decision point declares one, the run is the last that had written the dataset by then, and is
said to be inferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from forensics.errors import ForensicsError
from forensics.lineage.declared import Declaration, DeclaredFeature, History

if TYPE_CHECKING:
    from forensics.lake.snapshot import Snapshot
    from forensics.lineage.runs import Run, Test
    from forensics.records.decision import Decision


@dataclass(frozen=True, slots=True)
class Looked:
    """What a feature's history says; ``reason`` says why it says nothing."""

    value: Any = None
    true_from: datetime | None = None
    written_at: datetime | None = None
    agrees: bool | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one feature came from.

    ``evidence`` is that of the run: ``recorded`` where the decision names it, ``inferred`` where it
    is the last that wrote the dataset before, ``missing`` with a reason. ``run`` is None too where
    the decision names a run of which the lake has no lineage event; it is given as it was at the
    decision's time. ``doubt`` says why a named run cannot have written the value, if it cannot.
    ``previous`` is the completed run before it of the same dataset. ``history`` is None where none
    is declared.
    """

    dataset: str | None = None
    column: str | None = None
    status: str | None = None
    event_time: datetime | None = None
    job: str | None = None
    run_id: str | None = None
    run: Run | None = None
    previous: Run | None = None
    tests: tuple[Test, ...] = ()
    evidence: Literal["recorded", "inferred", "missing"] = "missing"
    reason: str | None = None
    doubt: str | None = None
    history: Looked | None = None

    @property
    def written_at(self) -> datetime | None:
        """When the value was written, or else from when it was true."""
        ended = self.run.ended_at if self.run is not None else None
        return ended or self.event_time

    def metrics(self, run: Run | None) -> Mapping[str, Any]:
        """The measures that ``run`` took of the column, as the facet dataQualityMetrics has them.

        Empty where it took none.
        """
        if run is None or self.column is None:
            return {}
        for output in run.outputs:
            if f"{output.namespace}/{output.name}" == self.dataset:
                facet = output.facets.get("dataQualityMetrics") or {}
                return (facet.get("columnMetrics") or {}).get(self.column) or {}
        return {}


def origins(
    snapshot: Snapshot, decision: Decision, declared: Declaration | None = None
) -> dict[str, Origin]:
    """Where each feature of ``decision`` came from, by name; those that nothing is known of lack.

    Args:
        snapshot: the lake.
        decision: as recorded.
        declared: what its decision point declared, where it did.
    """
    by_feature = dict(declared.features) if declared else {}
    sources = {
        name: source for source in decision.feature_sources for name in source.get("features") or ()
    }
    known: dict[tuple[str | None, ...], Origin] = {}
    found: dict[str, Origin] = {}
    for name in decision.feature_types:
        source, said = sources.get(name, {}), by_feature.get(name)
        if not source and (said is None or not (said.dataset or said.job)):
            continue
        dataset = source.get("dataset") or (said.dataset if said else None)
        job = source.get("job") or (said.job if said else None)
        place = (dataset, job, source.get("run_id"), str(source.get("event_time")))
        if place not in known:
            known[place] = _origin(snapshot, decision, dataset, job, source)
        column = said.column if said and said.column else name
        found[name] = replace(known[place], column=column if dataset else None)
    return found | _with_history(snapshot, decision, by_feature, found)


def _origin(
    snapshot: Snapshot,
    decision: Decision,
    dataset: str | None,
    job: str | None,
    source: Mapping[str, Any],
) -> Origin:
    origin = Origin(
        dataset=dataset,
        status=source.get("status"),
        event_time=source.get("event_time"),
        job=job,
        run_id=source.get("run_id"),
    )
    if not (origin.run_id or dataset):
        return replace(origin, reason="neither run nor dataset were recorded or declared")
    if "lineage" not in snapshot.tables:
        reason = "no lineage events are in the lake"
        evidence: Literal["recorded", "missing"] = "recorded" if origin.run_id else "missing"
        return replace(origin, reason=reason, evidence=evidence)
    from forensics.lineage import runs

    run = None
    if origin.run_id:
        mine = runs.by_id(snapshot, origin.run_id, until=decision.occurred_at)
        late = [] if mine else runs.by_id(snapshot, origin.run_id)
        # One id may be that of several jobs' runs; the dataset tells which wrote this.
        mine = [one for one in mine or late if dataset in _written(one)] or mine or late
        mine = [one for one in mine if job == _job(one)] or mine
        completed = [one for one in mine if one.state == "COMPLETE"] or mine
        run = max(completed, key=lambda one: one.last_at, default=None)
        origin = replace(
            origin,
            run=run,
            evidence="recorded",
            reason=None if run else "no lineage event of that run is in the lake",
            doubt=_doubt(run, dataset, late=bool(late)) if run else None,
        )
    else:
        assert dataset is not None
        # A value is no older than the run that wrote it, whatever time it was true for.
        last = runs.writers(snapshot, dataset, before=decision.occurred_at)
        run = last[0] if last else None
        origin = replace(
            origin,
            run=run,
            run_id=run.run_id if run else None,
            job=_job(run) if run else job,
            evidence="inferred" if run else "missing",
            reason="the last run that had written the dataset by then"
            if run
            else f"no run in the lake wrote {dataset} before the decision",
        )
    if run is None or dataset is None:
        return origin
    ended = run.ended_at or run.started_at
    before = runs.writers(snapshot, dataset, before=ended, limit=2) if ended else []
    previous = next((one for one in before if one.run_id != run.run_id), None)
    tests = runs.tests(snapshot, dataset, after=ended, before=decision.occurred_at)
    return replace(origin, previous=previous, tests=tuple(tests))


def _doubt(run: Run, dataset: str | None, *, late: bool) -> str | None:
    """Why a run that the decision names cannot have written what it was served, if it cannot."""
    if late:
        return f"its first event is of {run.first_at:%Y-%m-%d %H:%M:%S}, after the decision"
    if run.state in ("FAIL", "ABORT"):
        return f"it had ended in {run.state}"
    if dataset is not None and run.outputs and dataset not in _written(run):
        return f"it wrote {', '.join(sorted(_written(run)))} and not {dataset}"
    return None


def _written(run: Run) -> set[str]:
    return {f"{output.namespace}/{output.name}" for output in run.outputs}


def _job(run: Run) -> str:
    return f"{run.job_namespace}/{run.job_name}"


def _with_history(
    snapshot: Snapshot,
    decision: Decision,
    declared: Mapping[str, DeclaredFeature],
    found: Mapping[str, Origin],
) -> dict[str, Origin]:
    """The origins of features that have a declared history, with what it says."""
    by_history: dict[History, list[DeclaredFeature]] = {}
    for feature in declared.values():
        if feature.history is not None and feature.name in decision.feature_types:
            by_history.setdefault(feature.history, []).append(feature)
    return {
        name: replace(found.get(name, Origin(reason="nothing was recorded")), history=looked)
        for history, features in by_history.items()
        for name, looked in _looked(snapshot, decision, history, features).items()
    }


def _looked(
    snapshot: Snapshot, decision: Decision, history: History, features: list[DeclaredFeature]
) -> dict[str, Looked]:
    from forensics.lake.history import as_of

    subject = decision.subject.get("id")
    columns = {feature.name: feature.column or feature.name for feature in features}
    if subject is None:
        return dict.fromkeys(columns, Looked(reason="the decision names no subject to look up"))
    try:
        past = as_of(
            snapshot.root,
            history.path,
            key=history.key,
            time=history.time,
            written=history.written,
            columns=list(dict.fromkeys(columns.values())),
            subject=str(subject),
            at=decision.occurred_at,
        )
    except ForensicsError as error:
        return dict.fromkeys(columns, Looked(reason=str(error)))
    if past is None:
        return dict.fromkeys(columns, Looked(reason=f"it knew nothing of {subject} by then"))
    return {
        name: Looked(
            value=past.values[column],
            true_from=past.true_from,
            written_at=past.written,
            agrees=_same(decision.features.get(name), past.values[column]),
        )
        for name, column in columns.items()
    }


def _same(served: Any, looked: Any) -> bool:
    """Whether the value that was served is the one in the history; numbers of any width."""
    if isinstance(served, bool) or isinstance(looked, bool):
        return bool(served == looked)
    if isinstance(served, int | float) or isinstance(looked, int | float):
        try:
            a, b = float(served), float(looked)
        except (TypeError, ValueError):
            return False
        return (
            a == b or (a != a and b != b) or _single(a) == b
        )  # histories may keep single precision
    return bool(served == looked)


def _single(value: float) -> float:
    """``value`` in single precision."""
    from array import array

    try:
        return array("f", [value])[0]
    except OverflowError:
        return value
