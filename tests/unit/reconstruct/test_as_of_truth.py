"""The state at a second is the sample's own truth: what its plan says was in force then.

The truth is worked out here from the plan of the sample (deployments, configurations, canary,
software, pipeline runs) and from the decisions as they lie in the lake, and from nothing that the
tool derives. Between a deploy and the first decision that used it the plan says what was in force,
and the decisions say that nobody had used it: the state has to tell both.
"""

from __future__ import annotations

import bisect
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import forensics
from forensics.lake import sql
from forensics.lake.snapshot import take
from forensics.reconstruct.state import Live, State
from sample_data import plan, policy, views

SEED = 7
IN_THE_SUITE, TORTURE, PIECES = 200, 1_000, 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def micros_of(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


class Truth(NamedTuple):
    """What the plan says was in force: versions by component, in each environment."""

    production: dict[tuple[str, str], str]
    canary: dict[tuple[str, str], str]
    share: float
    runs: dict[str, views.Run]
    failed: dict[str, views.Run]


RUNS = views.schedule(SEED)


def truth_at(moment: int) -> Truth:
    def of(times: list[int], versions: tuple[str, ...]) -> str:
        return versions[bisect.bisect_right(times, moment)]

    config = [c for c in plan.CONFIGS if c.published_at <= moment][-1]
    service = of([plan.CACHE_KEY_MENDED], plan.SERVICE_VERSIONS)
    runs, failed = {}, {}
    for view in ("bureau_features", "billing_features"):
        done = [r for r in RUNS if r.view == view and r.written <= moment]
        runs[view] = [r for r in done if not r.failed][-1]
        if done[-1].failed:
            failed[view] = done[-1]
    common = {
        ("config", plan.POINT): config.revision,
        ("rules", "credit_line_rules"): "r7",
        ("code", "credit_line_service"): service,
        ("cache", "decision_cache"): service,
        ("consumer", plan.CONSUMER): of(
            [plan.CONSUMER_BROKEN, plan.CONSUMER_MENDED], plan.CONSUMER_VERSIONS
        ),
        **{("feature_fetch", view): run.code for view, run in runs.items()},
    }
    model = of([plan.V2_DEPLOYED, plan.V3_PROMOTED], ("v1", "v2", "v3"))
    in_canary = plan.V3_CANARY <= moment < plan.V3_PROMOTED
    return Truth(
        {("model", "pd"): model, **common},
        {("model", "pd"): "v3", **common} if in_canary else {},
        plan.CANARY_SHARE if in_canary else 0.0,
        runs,
        failed,
    )


class Decided(NamedTuple):
    """When decisions were made, by environment, and by component version there."""

    moments: dict[str, list[int]]
    uses: dict[tuple[str, str, str, str], list[int]]


@pytest.fixture(scope="module")
def decided(sample_lake: Path) -> Decided:
    snapshot = take(sample_lake)
    files = sql.literal(snapshot.paths(f"decisions/{plan.POINT}"))
    rows = snapshot.connection.execute(
        "SELECT environment, epoch_us(occurred_at), model.version, config.revision, "
        f"list_transform(steps, lambda s: [s.kind, s.component, s.version]) "
        f"FROM read_parquet({files}) ORDER BY occurred_at"
    ).fetchall()
    moments: dict[str, list[int]] = defaultdict(list)
    uses: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for environment, moment, model, config, steps in rows:
        moments[environment].append(moment)
        uses[environment, "model", "pd", model].append(moment)
        uses[environment, "config", plan.POINT, config].append(moment)
        for kind, component, version in steps:
            if kind != "model":
                uses[environment, kind, component, version].append(moment)
    return Decided(moments, uses)


CHANGES = sorted(
    {
        *(plan.V2_DEPLOYED, plan.V3_CANARY, plan.V3_PROMOTED, plan.CACHE_KEY_MENDED),
        *(config.published_at for config in plan.CONFIGS[1:]),
        *(plan.CONSUMER_BROKEN, plan.CONSUMER_MENDED, plan.BAD_WRITTEN, plan.ROLLBACK_WRITTEN),
        *(run.written for run in RUNS if run.failed),
        min(r.written for r in RUNS if r.view == "bureau_features" and r.code == "91be"),
    }
)


def seconds(count: int) -> list[int]:
    """Moments right before, at and after each change, and random whole seconds up to the count."""
    edges = [at + step for at in CHANGES for step in (-1_000_000, -1, 0, 1, 1_000_000)]
    draw = random.Random(SEED)
    # From the first decision on: before it there is no evidence of what nobody announced.
    first, last = plan.START + plan.HOUR, plan.END - plan.HOUR
    whole = [draw.randrange(first // 1_000_000, last // 1_000_000) for _ in range(count)]
    return [*edges, *(second * 1_000_000 for second in whole)][:count]


def in_force(state: State, environment: str) -> dict[tuple[str, str], set[str]]:
    """The versions that a reader takes to be in force: an announced one replaces the last seen."""
    lines: dict[tuple[str, str], list[Live]] = defaultdict(list)
    for live in state.live:
        if live.environment == environment:
            lines[live.kind, str(live.name)].append(live)
    return {
        component: {
            str(live.version)
            for live in found
            if live.status != "last_seen" or all(o.status == "last_seen" for o in found)
        }
        for component, found in lines.items()
    }


def check(state: State, moment: int, decided: Decided) -> None:
    truth = truth_at(moment)
    production = {component: {v} for component, v in truth.production.items()}
    assert in_force(state, "production") == production, time_of(moment)
    canary = in_force(state, "canary")
    seen = decided.moments["canary"]
    if not truth.canary or moment >= seen[0]:
        assert canary == {component: {v} for component, v in truth.canary.items()}, time_of(moment)
    else:  # announced, and no decision of its own tells what else it runs
        assert canary == {("model", "pd"): {"v3"}}
    for live in state.live:
        check_line(live, state, moment, decided)
    check_pipelines(state, truth)


def check_line(live: Live, state: State, moment: int, decided: Decided) -> None:
    """What the state says of a line is what the decisions around that moment show."""
    at = (live.environment, live.kind, str(live.name), str(live.version))
    if live.kind == "code":  # a field of the record, not one of its steps
        at = (live.environment, "cache", "decision_cache", str(live.version))
    uses = decided.uses[at]
    place = bisect.bisect_right(uses, moment)
    before, after = uses[:place], uses[place:]
    if live.status == "announced":
        assert live.announced is not None
        assert live.announced.occurred_at <= state.time
        assert live.last_used is None
        since = micros_of(live.announced.occurred_at)
        assert not [use for use in before if use >= since], "somebody had used it"
        assert live.next_used == time_of(after[0])
        return
    assert live.last_used == time_of(before[-1])
    if live.status == "last_seen":
        newer = decided.moments[live.environment]
        assert newer[bisect.bisect_right(newer, moment) - 1] == before[-1], "nothing came after it"
        return
    assert live.span is not None
    start, end = map(micros_of, live.span)
    assert start <= moment <= end
    within = {
        environment: sum(start <= use <= end for use in decided.uses[environment, *at[1:]])
        for environment in ("production", "canary")
    }
    assert live.decisions == within[live.environment]
    used = {
        version
        for (environment, kind, name, version), found in decided.uses.items()
        if (environment, kind, name) == at[:3] and any(start <= use <= end for use in found)
    }
    assert used <= in_force(state, live.environment)[live.kind, str(live.name)], "one state's span"
    if sum(within.values()):
        assert live.share is not None
        everyone = [
            use
            for (_, kind, name, _), found in decided.uses.items()
            if (kind, name) == at[1:3]
            for use in found
        ]
        assert live.share == pytest.approx(
            live.decisions / sum(start <= use <= end for use in everyone)
        )


def check_pipelines(state: State, truth: Truth) -> None:
    told = {pipeline.job: pipeline for pipeline in state.pipelines}
    for view, run in truth.runs.items():
        pipeline = told[f"{views.JOBS}/{view}"]
        assert (pipeline.code_version, pipeline.run_id) == (run.code, run.run_id)
        assert pipeline.ended_at == time_of(run.written)
        failed = truth.failed.get(view)
        assert (pipeline.failed_at is None) == (failed is None)
        if failed is not None:
            assert pipeline.failed_at == time_of(failed.written)


@pytest.mark.parametrize(
    "count",
    [IN_THE_SUITE, pytest.param(TORTURE, marks=pytest.mark.torture)],
)
@pytest.mark.parametrize("piece", range(PIECES))
def test_the_state_at_any_second_is_the_samples_own_truth(
    sample_lake: Path, decided: Decided, piece: int, count: int
) -> None:
    asked = forensics.open(sample_lake)
    for moment in seconds(count)[piece::PIECES]:
        check(asked.as_of(time_of(moment)), moment, decided)


def test_the_canary_has_its_share_of_the_traffic(sample_lake: Path) -> None:
    state = forensics.open(sample_lake).as_of("2026-10-23T12:00Z")
    shares = {v.environment: v.share for v in state.live if v.kind == "model"}
    assert shares["canary"] == pytest.approx(plan.CANARY_SHARE, abs=0.03)
    assert sum(share or 0 for share in shares.values()) == pytest.approx(1)


def test_a_configuration_is_told_with_its_values(sample_lake: Path) -> None:
    asked = forensics.open(sample_lake)
    for config in plan.CONFIGS:
        time = time_of(max(config.published_at, plan.START) + 2 * plan.DAY)
        (live,) = [v for v in asked.as_of(time).live if v.kind == "config"]
        assert live.values == config.values
        assert live.digest == policy.config_digest(config)
        assert live.since == time_of(config.published_at)


@pytest.mark.parametrize("at", [plan.V2_DEPLOYED, plan.C14_PUBLISHED, plan.V3_PROMOTED])
def test_what_was_not_known_yet_is_not_told(sample_lake: Path, decided: Decided, at: int) -> None:
    """The sample's changes are recorded two seconds after they are made."""
    asked = forensics.open(sample_lake)
    told: dict[int, Any] = {}
    for late in (1, 3):
        time = time_of(at + late * 1_000_000)
        told[late] = in_force(asked.as_of(time, known_by=time), "production")
    assert told[1] == {
        component: {version} for component, version in truth_at(at - 1).production.items()
    }
    assert told[3] == {
        component: {version} for component, version in truth_at(at).production.items()
    }


def test_lineage_that_came_in_later_was_not_known_then(sample_lake: Path) -> None:
    asked = forensics.open(sample_lake)
    time = "2026-10-21T02:41Z"
    assert {p.source for p in asked.as_of(time).pipelines} == {"lineage"}
    known = asked.as_of(time, known_by=time)
    assert {p.source for p in known.pipelines} == {"decisions"}
    assert {p.job for p in known.pipelines} == {
        f"{views.JOBS}/{view}" for view in ("bureau_features", "billing_features")
    }
