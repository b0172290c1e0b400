"""The detector of new pipeline code, and what was written since a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from forensics.lake import sql
from forensics.lake.read import to_micros
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors.base import (
    SECOND_US,
    Detector,
    Said,
    Stretch,
    ago,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision


class NewPipelineCode(Detector):
    """Features were written by pipeline code that is hours old."""

    kind = "new_pipeline_code"
    checks = "No feature was written by pipeline code that is less than a day old."
    needs = "`pipeline` changes that name the features they feed, and feature sources."
    says: ClassVar[Mapping[str, Said]] = {
        "new": Said("info", "features were written by pipeline code less than a day old")
    }
    RECENT = timedelta(hours=24)

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        for change in case.changes:
            age = decision.occurred_at - change.occurred_at
            if change.kind != "pipeline" or age < timedelta(0):
                continue
            fed = [name for name in change.features if decision.features.get(name) is not None]
            if age > self.RECENT or not fed or not served(decision, change, change.features):
                continue
            yield self.found(
                "new",
                f"{len(fed)} features come from {change.component} code {change.from_version} → "
                f"{change.to_version}, in force for {ago(age)}",
                {"change_id": change.change_id, "features": fed},
            )
            return

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        day = self.RECENT // timedelta(microseconds=1)
        columns = "request_id, decision_id, occurred_at, environment, feature_sources" + (
            ", features" if stretch.features else ""
        )
        queries = []
        for change in stretch.changes:
            since = to_micros(change.occurred_at)
            fed = [name for name in change.features if name in stretch.features]
            first, end = max(since, stretch.first_us), min(since + day + 1, stretch.end_us)
            if change.kind != "pipeline" or not fed or first >= end:
                continue
            names = sql.literal(change.features)
            source = (
                "list_filter(feature_sources, lambda s: "
                f"coalesce(list_has_any(s.features, {names}), false))[1]"
            )
            run = f"source.run_id = {sql.literal(change.run_id)}" if change.run_id else "false"
            later = f"epoch_us(source.event_time) >= {since - 60 * SECOND_US}"
            there = " OR ".join(f"features.{sql.identifier(name)} IS NOT NULL" for name in fed)
            queries.append(
                f"SELECT request_id, decision_id, t FROM (SELECT *, {source} AS source "
                f"FROM ({stretch.between(first, end, columns=columns)}) WHERE {there}) "
                f"WHERE coalesce({run}, false) OR coalesce({later}, true)"
            )
        if queries:
            yield f"SELECT DISTINCT *, 'new' AS about FROM ({' UNION ALL '.join(queries)})"


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
