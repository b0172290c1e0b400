"""The window form of every detector says of each decision what its form for one decision says."""

from __future__ import annotations

import itertools
import json
import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from forms import KINDS, differences, single, window

from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout, read
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Location, Snapshot, take
from forensics.lake.usual import usual as usual_of
from forensics.lineage import runs
from forensics.lineage.declared import declarations
from forensics.lineage.provenance import Origin
from forensics.reconstruct import changes
from forensics.reconstruct.around import Mate
from forensics.reconstruct.case import Case
from forensics.reconstruct.config_values import config_values
from forensics.reconstruct.findings import findings
from forensics.records.decision import Decision
from forensics.records.times import to_micros

DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def many(sample_lake: Path) -> dict[tuple[str, str], frozenset[str]]:
    return window(sample_lake)


@pytest.mark.parametrize("traces", [64, pytest.param(800, marks=pytest.mark.torture)])
def test_traces_of_the_sample_find_what_the_window_finds(
    sample_lake: Path,
    many: dict[tuple[str, str], frozenset[str]],
    truth: dict[str, Any],
    traces: int,
) -> None:
    ids = sorted({request_id for request_id, _ in many})
    chosen = random.Random(20261120).sample(ids, traces // 2)
    for incident in truth["incidents"]:
        touched = incident["request_ids"]
        chosen += random.Random(7).sample(touched, min(traces // 8, len(touched)))
    alone = single(sample_lake, chosen)
    assert alone == {key: many[key] for key in alone}, differences(
        alone, {key: many[key] for key in alone}
    )


@pytest.mark.parametrize("one_in", [16, pytest.param(1, marks=pytest.mark.torture)])
def test_all_decisions_of_the_sample_are_judged_alike_by_both_forms(
    sample_lake: Path,
    many: dict[tuple[str, str], frozenset[str]],
    truth: dict[str, Any],
    one_in: int,
) -> None:
    """Those that a fault touched, and of the others one in so many."""
    snapshot = take(sample_lake)
    decisions = all_decisions(snapshot, "credit_line")
    touched = {request for incident in truth["incidents"] for request in incident["request_ids"]}
    chosen = [
        decision
        for at, decision in enumerate(decisions)
        if at % one_in == 0 or decision.request_id in touched
    ]
    alone = {
        (case.decision.request_id, case.decision.decision_id): frozenset(
            f"{finding.kind}|{finding.detail['about']}"
            for finding in findings(case)
            if finding.kind in KINDS
        )
        for case in cases(snapshot, decisions, chosen)
    }
    assert len(decisions) == len(many) == 30_000
    assert len(alone) >= len(many) // one_in
    there = {key: many[key] for key in alone}
    assert alone == there, differences(alone, there)


def test_how_a_window_is_cut_does_not_matter(
    sample_lake: Path, many: dict[tuple[str, str], frozenset[str]]
) -> None:
    assert window(sample_lake, rows_max=9_000) == many


@pytest.mark.parametrize(
    "days", ["2026-10-2[0-2]", pytest.param("2026-10-2.", marks=pytest.mark.torture)]
)
def test_small_files_in_disorder_and_overlapping_are_judged_as_one(
    tmp_path: Path, sample_lake: Path, days: str
) -> None:
    evidence = sample_lake.with_name(f"{sample_lake.name}-evidence")
    lines = (evidence / "decisions.jsonl").read_bytes().splitlines()
    # Days with the one before the fault in the usual values.
    wanted = re.compile(f'"occurred_at":"{days}T'.encode())
    some = [line for line in lines if wanted.search(line)]
    lake = tmp_path / "lake"
    layout.create(lake)
    store = ArtifactStore(lake)
    for artifact in sorted((evidence / "artifacts").iterdir()):
        store.put(artifact.read_bytes())
    for name in ("changes", "overrides", "declarations"):
        ingest(lake, open_source(evidence / f"{name}.jsonl"))
    random.Random(1).shuffle(some)
    for at in range(3):
        part = tmp_path / f"part-{at}.jsonl"
        part.write_bytes(b"\n".join(some[at::3]) + b"\n")
        ingest(lake, open_source(part))
    found = window(lake, rows_max=len(some) // 5)
    assert len(found) == len(some)
    chosen = [json.loads(line)["request_id"] for line in some[:25]]
    alone = single(lake, chosen)
    assert alone == {key: found[key] for key in alone}


def all_decisions(snapshot: Snapshot, point: str) -> list[Decision]:
    """Every decision of a point, from its received bytes, oldest first."""
    table = f"decisions/{point}"
    types = snapshot.tables[table].features
    found = [
        read.decision(kept, types)
        for file in snapshot.files(table)
        for kept in read.records(
            snapshot, (Location(table, file.name, row) for row in range(file.rows))
        )
    ]
    return sorted(found, key=lambda decision: decision.occurred_at)


def cases(snapshot: Snapshot, decisions: list[Decision], chosen: list[Decision]) -> Iterator[Case]:
    """A case for each of some decisions, as a trace without replay makes it, of all at hand."""
    artifacts = ArtifactStore(snapshot.root)
    point, last = decisions[0].decision_point, decisions[-1].occurred_at
    all_changes = changes.before(snapshot, last, decision_point=point, limit=None)
    jobs = {s["job"] for one in decisions for s in one.feature_sources if s.get("job")}
    _, ran = changes.with_runs(
        snapshot, last, jobs=jobs, runs_from=decisions[0].occurred_at, limit=None
    )
    declared = declarations(snapshot, point)
    overrides = latest_overrides(snapshot)
    usual = cache(lambda day: usual_of(snapshot, point, day - 30, day - 1))
    run = cache(lambda run_id: next(iter(runs.by_id(snapshot, run_id)), None))
    values = cache(lambda digest: config_values(artifacts, digest))
    everyone = Everyone(snapshot, decisions)
    for decision in chosen:
        at = decision.occurred_at
        digests = {group.get("digest") for group in (decision.model, decision.config)}
        yield Case(
            decision=decision,
            changes=tuple(
                change
                for change in all_changes
                if change.true_from <= at
                and (
                    change.environment in (None, decision.environment)
                    or change.kind == "pipeline"
                    or change.to_digest in digests
                )
            ),
            usual=usual(to_micros(at) // DAY_US),
            override=overrides.get(decision.decision_id),
            config_values=values,
            what_if=None,
            declaration=next((one for one in declared if one.occurred_at <= at), None),
            origins={
                name: Origin(
                    dataset=source.get("dataset"),
                    column=name,
                    run_id=source["run_id"],
                    run=run(source["run_id"]),
                    evidence="recorded",
                )
                for source in decision.feature_sources
                if source.get("run_id")
                for name in source["features"]
            },
            runs=ran,
            around=everyone.around(decision),  # type: ignore[arg-type]
        )


def latest_overrides(snapshot: Snapshot) -> dict[str, Mapping[str, Any]]:
    places = (
        Location("overrides", file.name, row)
        for file in snapshot.files("overrides")
        for row in range(file.rows)
    )
    kept = sorted(
        (one.record for one in read.records(snapshot, places)), key=lambda r: r["occurred_at"]
    )
    return {str(record["decision_id"]): record for record in kept}


class Everyone:
    """All decisions of a point in memory: what is around each, told without SQL."""

    def __init__(self, snapshot: Snapshot, decisions: list[Decision]) -> None:
        self.snapshot = snapshot
        self.decisions = decisions
        self.times = [to_micros(decision.occurred_at) for decision in decisions]
        self.writers = cache(
            lambda dataset, time: runs.writers(snapshot, dataset, before=time, limit=20)
        )

    def around(self, decision: Decision) -> Near:
        return Near(self, decision)

    def within(self, first_us: int, last_us: int) -> list[Decision]:
        low, high = bisect_left(self.times, first_us), bisect_right(self.times, last_us)
        return self.decisions[low:high]


class Near:
    """The decisions around one, as :class:`forensics.reconstruct.around.Around` tells them."""

    def __init__(self, everyone: Everyone, decision: Decision) -> None:
        self.everyone, self.decision = everyone, decision
        self.at = to_micros(decision.occurred_at)

    def _others(self, first_us: int, last_us: int) -> Iterator[Decision]:
        for other in self.everyone.within(first_us, last_us):
            if other.environment == self.decision.environment and other is not self.decision:
                yield other

    def request_mates(self) -> list[Mate]:
        minutes = 600_000_000
        return [
            Mate(part, mine, theirs, other.decision_id)
            for other in self._others(self.at - minutes, self.at + minutes)
            if other.request_id == self.decision.request_id
            for part, mine, theirs in differing(self.decision, other)
        ]

    def other_replicas(self) -> list[Mate]:
        start = self.at // 60_000_000 * 60_000_000
        spans: dict[tuple[str, str, str, str], list[int]] = {}
        for other in self._others(start, start + 59_999_999):
            replica = other.other.get("replica")
            if replica not in (None, self.decision.other.get("replica")):
                for part, mine, theirs in differing(self.decision, other):
                    times = spans.setdefault((part, mine, theirs, replica), [])
                    times.append(to_micros(other.occurred_at))
        return [Mate(*key) for key, times in spans.items() if min(times) <= self.at <= max(times)]

    def repeats(self) -> list[str]:
        subject, seconds = self.decision.subject.get("id"), 10_000_000
        return [
            other.decision_id
            for other in self._others(self.at - seconds, self.at + seconds)
            if subject is not None
            and other.subject.get("id") == subject
            and dict(other.features) == dict(self.decision.features)
        ]

    def usual_kinds(self) -> list[str] | None:
        for size in (3_600_000_000, DAY_US):
            start = self.at // size * size
            seen = [
                {step.get("kind") for step in other.steps} - {None}
                for other in self.everyone.within(start, start + size - 1)
                if other.environment == self.decision.environment and not other.cache.get("hit")
            ]
            if len(seen) >= 20:
                kinds = set(itertools.chain(*seen))
                return sorted(k for k in kinds if sum(k in s for s in seen) >= 0.98 * len(seen))
        return None

    def last_change(self, component: str) -> None:
        """Nothing but words comes of it."""

    def runs_before(self, dataset: str, time: datetime) -> Any:
        return self.everyone.writers(dataset, time)


def differing(mine: Decision, other: Decision) -> Iterator[tuple[str, str, str]]:
    for part, name, keys in (
        ("model", "name", ("digest", "version")),
        ("config", "name", ("digest", "revision")),
    ):
        a, b = getattr(mine, part), getattr(other, part)
        ours, theirs = (next((g[k] for k in keys if g.get(k)), None) for g in (a, b))
        if a.get(name) == b.get(name) and ours and theirs and ours != theirs:
            yield part, ours, theirs
