"""Where each feature of a decision came from: dataset, column, run, tests, and its history.

What the record says goes first. A run that it names is looked up; where it names only a dataset, or
its decision point declares one, the run is the last that had written the dataset by then, and is
said to be inferred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from forensics.errors import ForensicsError
from forensics.lineage.declared import Declaration, DeclaredFeature, History

if TYPE_CHECKING:
    from forensics.lake.snapshot import Snapshot
    from forensics.lineage.run import Run
    from forensics.lineage.runs import Test
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
    places: dict[str, _Place] = {}
    for name in decision.feature_types:
        source, said = sources.get(name, {}), by_feature.get(name)
        if source or (said is not None and (said.dataset or said.job)):
            places[name] = _Place(
                source.get("dataset") or (said.dataset if said else None),
                source.get("job") or (said.job if said else None),
                source.get("run_id"),
                source.get("status"),
                source.get("event_time"),
            )
    known = _looked_up(snapshot, decision, list(dict.fromkeys(places.values())))
    found = {}
    for name, place in places.items():
        said = by_feature.get(name)
        column = said.column if said and said.column else name
        found[name] = replace(known[place], column=column if place.dataset else None)
    return found | _with_history(snapshot, decision, by_feature, found)


class _Place(NamedTuple):
    """What the record and the declaration say of where a feature came from."""

    dataset: str | None
    job: str | None
    run_id: str | None
    status: str | None
    event_time: datetime | None


def _looked_up(
    snapshot: Snapshot, decision: Decision, places: Collection[_Place]
) -> dict[_Place, Origin]:
    """The origin of each place. What lineage says of them all is read together."""
    found = {place: Origin(**place._asdict()) for place in places}
    if "lineage" not in snapshot.tables:
        reason = "no lineage events are in the lake"
        return {place: _unknown(origin, reason) for place, origin in found.items()}
    from forensics.lineage import runs

    time = decision.occurred_at
    named = runs.by_ids(snapshot, [one.run_id for one in places if one.run_id], until=time)
    # A value is no older than the run that wrote it, whatever time it was true for.
    unnamed = sorted({one.dataset for one in places if one.dataset and not one.run_id})
    last = runs.writers_of(snapshot, [runs.Asked(dataset, time) for dataset in unnamed])
    inferred = dict(zip(unnamed, last, strict=True))
    for place, origin in found.items():
        if place.run_id:
            found[place] = _recorded(snapshot, origin, named[place.run_id])
        elif place.dataset:
            found[place] = _inferred(origin, inferred[place.dataset])
        else:
            found[place] = _unknown(origin)
    return _with_tests(snapshot, found, time)


def _unknown(origin: Origin, reason: str = "") -> Origin:
    if not (origin.run_id or origin.dataset):
        reason = "neither run nor dataset were recorded or declared"
    return replace(origin, reason=reason, evidence="recorded" if origin.run_id else "missing")


def _recorded(snapshot: Snapshot, origin: Origin, mine: list[Run]) -> Origin:
    """The origin of features whose run the decision names; ``mine`` are those that bear its id."""
    from forensics.lineage import runs

    assert origin.run_id is not None
    late = [] if mine else runs.by_id(snapshot, origin.run_id)
    # One id may be that of several jobs' runs; the dataset tells which wrote this.
    mine = [one for one in mine or late if origin.dataset in _written(one)] or mine or late
    mine = [one for one in mine if origin.job == _job(one)] or mine
    completed = [one for one in mine if one.state == "COMPLETE"] or mine
    run = max(completed, key=lambda one: one.last_at, default=None)
    return replace(
        origin,
        run=run,
        evidence="recorded",
        reason=None if run else "no lineage event of that run is in the lake",
        doubt=_doubt(run, origin.dataset, late=bool(late)) if run else None,
    )


def _inferred(origin: Origin, last: list[Run]) -> Origin:
    """The origin of features of which only the dataset is known; ``last`` wrote it last."""
    run = last[0] if last else None
    return replace(
        origin,
        run=run,
        run_id=run.run_id if run else None,
        job=_job(run) if run else origin.job,
        evidence="inferred" if run else "missing",
        reason="the last run that had written the dataset by then"
        if run
        else f"no run in the lake wrote {origin.dataset} before the decision",
    )


def _with_tests(
    snapshot: Snapshot, found: Mapping[_Place, Origin], time: datetime
) -> dict[_Place, Origin]:
    """The origins with the run before theirs, and the tests of their datasets up to ``time``."""
    from forensics.lineage import runs

    spans: dict[_Place, runs.Span] = {}
    for place, origin in found.items():
        if origin.dataset is not None:
            run = origin.run
            ended = (run.ended_at or run.started_at) if run is not None else None
            spans[place] = runs.Span(origin.dataset, ended, time)
    asked = {span: runs.Asked(span.dataset, span.after, 2) for span in spans.values() if span.after}
    earlier = dict(zip(asked, runs.writers_of(snapshot, list(asked.values())), strict=True))
    different = list(dict.fromkeys(spans.values()))
    tests = dict(zip(different, runs.tests_of(snapshot, different), strict=True))
    result = dict(found)
    for place, span in spans.items():
        before = [one for one in earlier.get(span, ()) if one.run_id != found[place].run_id]
        result[place] = replace(
            found[place], previous=next(iter(before), None), tests=tuple(tests[span])
        )
    return result


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
