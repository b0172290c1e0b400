"""The detector of new pipeline code, and what was written since a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import dropwhile
from typing import ClassVar, NamedTuple

from forensics.lake import sql
from forensics.lineage.feeding import Feeding
from forensics.lineage.provenance import Origin
from forensics.reconstruct import fed
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors.base import (
    SECOND_US,
    Detector,
    Said,
    Stretch,
    ago,
    has_features,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision
from forensics.records.plural import count_of
from forensics.records.times import to_micros


class NewPipelineCode(Detector):
    """Features were written by pipeline code that is hours old."""

    kind = "new_pipeline_code"
    checks = "No feature was written by pipeline code that is less than a day old."
    needs = (
        "`pipeline` changes that name the features they feed; or lineage of the runs that fed its "
        "features, with their code versions."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "new": Said("info", "features were written by pipeline code less than a day old"),
        "unrecorded": Said(
            "not_checkable",
            "no change of a pipeline that feeds its features is recorded, and no code version of a "
            "run that fed them",
        ),
    }
    RECENT = timedelta(hours=24)

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        for change in case.changes:
            age = decision.occurred_at - change.occurred_at
            if change.kind != "pipeline" or age < timedelta(0):
                continue
            names = [name for name in change.features if decision.features.get(name) is not None]
            if age > self.RECENT or not names or not served(decision, change, change.features):
                continue
            yield self.found(
                "new",
                f"{_features(names)} from {change.component} code {change.from_version} → "
                f"{change.to_version}, in force for {ago(age)}",
                {"change_id": change.change_id, "features": names},
            )
            return
        new, is_known = self._by_runs(case)
        if new:
            code = max(new, key=lambda one: one.since)
            yield self.found(
                "new",
                f"{_features(new[code])} from {code.name} code {code.before} → {code.now}, in "
                f"force for {ago(decision.occurred_at - code.since)}, as its runs tell",
                {"job": code.job, "code": [code.before, code.now], "features": new[code]},
                "inferred",
            )
        elif not is_known and has_features(case) and not self._is_told(case):
            yield self.unknown("unrecorded")

    def _by_runs(self, case: Case) -> tuple[dict[NewCode, list[str]], bool]:
        """The features that runs with new code wrote, and whether any run tells its code."""
        new: dict[NewCode, list[str]] = {}
        is_known = False
        for name, origin in case.origins.items():
            run = origin.run
            if case.decision.features.get(name) is None or run is None or origin.doubt:
                continue
            if run.state == "COMPLETE" and run.code_version:
                is_known = True
                code = code_of(case, origin)
                if code and timedelta(0) <= case.decision.occurred_at - code.since <= self.RECENT:
                    new.setdefault(code, []).append(name)
        return new, is_known

    def _is_told(self, case: Case) -> bool:
        """Whether changes are recorded of pipelines that feed the decision's features."""
        features = {name for name, value in case.decision.features.items() if value is not None}
        if any(
            change.kind == "pipeline"
            and change.source == "changes"
            and change.occurred_at <= case.decision.occurred_at
            and not features.isdisjoint(change.features)
            for change in case.changes
        ):
            return True
        return case.around is not None and case.around.has_pipeline_changes(features)

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return
        feeding = stretch.feeding
        spans = fed.spans(stretch, partial(self._told, feeding)) if feeding.runs else []
        new = [span for span in spans if span.about == "new"]
        known = [span for span in spans if span.about == "known"]
        queries = [*self._recorded(stretch)]
        if (by_runs := fed.of_decisions(stretch, "new_code", new)) is not None:
            queries.append(f"SELECT request_id, decision_id, t FROM ({by_runs})")
        if queries:
            yield f"SELECT DISTINCT *, 'new' AS about FROM ({' UNION ALL '.join(queries)})"
        first: dict[str, int] = {}
        for change in stretch.announced:
            for name in change.features if change.kind == "pipeline" else ():
                if name in stretch.features:
                    first[name] = min(first.get(name, 1 << 62), to_micros(change.occurred_at))
        told = " OR ".join(
            f"(t >= {us} AND features.{sql.identifier(name)} IS NOT NULL)"
            for name, us in first.items()
        )
        yield fed.without(stretch, "coded", known, "unrecorded", told or "false")

    def _told(self, feeding: Feeding, place: fed.Place) -> Iterator[tuple[str, int, int]]:
        """When a place was written by new code, and when by a run that tells its code at all."""
        day = self.RECENT // timedelta(microseconds=1)
        for phase in feeding.phases(*place):
            run = phase.run
            if run is None or phase.doubtful or not run.code_version:
                continue
            if run.ended_us is None or phase.first_us < run.ended_us:
                continue
            yield "known", phase.first_us, phase.end_us
            since = feeding.code_since(run, place.dataset)
            if since is not None:
                yield "new", max(since, phase.first_us), min(since + day + 1, phase.end_us)

    def _recorded(self, stretch: Stretch) -> Iterator[str]:
        """Queries for the decisions that recorded changes say were fed by new code."""
        day = self.RECENT // timedelta(microseconds=1)
        columns = "request_id, decision_id, occurred_at, environment, feature_sources, features"
        for change in stretch.changes:
            since = to_micros(change.occurred_at)
            fed_ = [name for name in change.features if name in stretch.features]
            first, end = max(since, stretch.first_us), min(since + day + 1, stretch.end_us)
            if change.kind != "pipeline" or not fed_ or first >= end:
                continue
            names = sql.literal(change.features)
            source = (
                "list_filter(feature_sources, lambda s: "
                f"coalesce(list_has_any(s.features, {names}), false))[1]"
            )
            run = f"source.run_id = {sql.literal(change.run_id)}" if change.run_id else "false"
            later = f"epoch_us(source.event_time) >= {since - 60 * SECOND_US}"
            there = " OR ".join(f"features.{sql.identifier(name)} IS NOT NULL" for name in fed_)
            yield (
                f"SELECT request_id, decision_id, t FROM (SELECT *, {source} AS source "
                f"FROM ({stretch.between(first, end, columns=columns)}) WHERE {there}) "
                f"WHERE coalesce({run}, false) OR coalesce({later}, true)"
            )


class NewCode(NamedTuple):
    """NewCode of a job that became other than before."""

    job: str
    name: str
    before: str | None
    now: str
    since: datetime


def code_of(case: Case, origin: Origin) -> NewCode | None:
    """The code of the run that fed a feature, where runs tell that other code ran before."""
    run = origin.run
    if run is None or run.state != "COMPLETE" or not run.code_version or origin.doubt:
        return None
    previous = origin.previous
    if previous is not None and previous.code_version not in (None, run.code_version):
        since = run.ended_at or run.last_at
        return NewCode(run.job, run.job_name, previous.code_version, run.code_version, since)
    mine = [
        one
        for one in case.runs
        if one.job == run.job and one.state == "COMPLETE" and one.code_version
    ]
    mine.sort(key=lambda one: (one.ended_at, one.run_id), reverse=True)
    first: tuple[str, datetime] | None = None
    for one in dropwhile(lambda one: one.run_id != run.run_id, mine):
        if one.code_version != run.code_version:
            return NewCode(run.job, run.job_name, one.code_version, *first) if first else None
        first = (run.code_version, one.ended_at)
    return None


def _features(names: Sequence[str]) -> str:
    return f"{count_of(len(names), 'feature')} {'comes' if len(names) == 1 else 'come'}"


def served(decision: Decision, change: Change, features: Sequence[str]) -> bool:
    """Whether the values of ``features`` were written after ``change``."""
    for source in decision.feature_sources:
        if set(features).isdisjoint(source.get("features") or ()):
            continue
        if change.run_id is not None and source.get("run_id") == change.run_id:
            return True
        written = source.get("event_time")
        return written is None or written >= change.occurred_at - timedelta(minutes=1)
    return True
