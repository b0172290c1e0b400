"""What the state says where things are not as simple as one version everywhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from changing import TakeIn, at, decisions, run_events, text, write_events

import forensics
from forensics.errors import UsageError
from forensics.lake.snapshot import take
from forensics.reconstruct.as_of import Evidence, as_of
from forensics.reconstruct.state import Live, State
from forensics.testing import change_record, override_record


def state(lake: Path, minute: float, **asked: Any) -> State:
    return forensics.open(lake).as_of(at(minute), **asked)


def models(found: State, environment: str = "production") -> dict[str | None, Live]:
    return {
        live.version: live
        for live in found.live
        if live.kind == "model" and live.environment == environment
    }


def test_versions_side_by_side_have_their_shares_in_a_stated_span(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(m for m in range(600) if m % 4),
        *decisions((m for m in range(600) if m % 4 == 0), model="v2"),
    ])  # fmt: skip
    found = models(state(lake, 300.5))
    assert {v: (live.share, live.status) for v, live in found.items()} == {
        "v1": (0.75, "live"), "v2": (0.25, "live"),
    }  # fmt: skip
    assert found["v1"].span is not None
    start, end = found["v1"].span
    assert start <= at(300.5) <= end
    assert sum(live.decisions for live in found.values()) == 596, "while both were in use"


def test_replicas_that_lag_behind_are_named(lake: Path, take_in: TakeIn) -> None:
    places = [("eu", "a"), ("eu", "b"), ("us", "c")]
    take_in([
        decision
        for n, (region, replica) in enumerate(places)
        for version, minutes in (
            ("v1", range(n, 300 if replica == "c" else 120, 3)),
            ("v2", range((300 if replica == "c" else 120) + n, 600, 3)),
        )
        for decision in decisions(minutes, model=version, region=region, replica=replica)
    ])  # fmt: skip
    found = models(state(lake, 200))
    assert set(found) == {"v1", "v2"}
    assert (found["v1"].regions, found["v1"].replicas) == (("us",), ("c",))
    assert (found["v2"].regions, found["v2"].replicas) == (("eu",), ("a", "b"))
    assert not found["v1"].everywhere
    (later,) = models(state(lake, 500)).values()
    assert (later.version, later.everywhere) == ("v2", True)
    assert later.replicas == ("a", "b", "c")


def test_a_rollback_within_the_hour_is_told_to_the_minute(lake: Path, take_in: TakeIn) -> None:
    """The hour's summary alone would have v1 in use all along."""

    def every(first: float, last: float, model: str) -> list[dict[str, Any]]:
        return decisions((first + n / 60 for n in range(int((last - first) * 60))), model=model)

    take_in([*every(0, 10, "v1"), *every(10, 25, "v2"), *every(25, 40, "v1")])
    told = {minute: set(models(state(lake, minute))) for minute in (5.5, 15.5, 20.5, 30.5)}
    assert told == {5.5: {"v1"}, 15.5: {"v2"}, 20.5: {"v2"}, 30.5: {"v1"}}


def test_what_changed_unannounced_between_two_decisions_was_last_seen(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([*decisions(range(60)), *decisions(range(70, 120), model="v2")])
    (line,) = models(state(lake, 65)).values()
    assert (line.version, line.status, line.last_used) == ("v1", "last_seen", at(59))
    assert line.to_dict()["evidence"] == "inferred"


def test_what_was_announced_for_later_is_not_in_force_yet(lake: Path, take_in: TakeIn) -> None:
    take_in([
        *decisions(range(60)),
        *decisions(range(70, 120), model="v2"),
        change_record(occurred_at=text(at(68)), recorded_at=text(at(50)), actor="bot"),
    ])  # fmt: skip
    (before,) = models(state(lake, 65)).values()
    assert (before.version, before.status) == ("v1", "live")
    after = models(state(lake, 69))
    assert {v: live.status for v, live in after.items()} == {"v2": "announced", "v1": "last_seen"}
    assert (after["v2"].since, after["v2"].next_used) == (at(68), at(70))
    assert after["v2"].announced is not None
    assert after["v2"].announced.actor == "bot"


def test_after_the_last_decision_the_state_says_when_it_was_seen(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([*decisions(range(60)), change_record(occurred_at=text(at(90)))])
    (line,) = models(state(lake, 80)).values()
    assert (line.version, line.status, line.last_used) == ("v1", "last_seen", at(59))
    later = models(state(lake, 100))
    assert {v: live.status for v, live in later.items()} == {"v2": "announced", "v1": "last_seen"}
    assert later["v2"].next_used is None


def test_an_environment_that_went_silent_while_others_went_on_has_ended(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(1_200)),
        *decisions(range(0, 300, 5), environment="canary", model="v2"),
        change_record(occurred_at=text(at(310)), environment="production", component="pd"),
    ])  # fmt: skip
    assert state(lake, 200).ended == ()
    (ended,) = state(lake, 900).ended
    assert (ended.environment, ended.last_used) == ("canary", at(295))
    assert not models(state(lake, 900), "canary")
    (until_then,) = models(state(lake, 305), "canary").values()
    assert until_then.status == "last_seen", "until its version was rolled out elsewhere"


def test_the_decision_itself_is_in_force_at_its_very_microsecond(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([*decisions(range(60)), *decisions(range(60, 120), model="v2")])
    tick = timedelta(microseconds=1)
    asked = forensics.open(lake)
    assert set(models(asked.as_of(at(60)))) == {"v2"}
    assert {v: x.status for v, x in models(asked.as_of(at(60) - tick)).items()} == {
        "v1": "last_seen"
    }
    assert set(models(asked.as_of(at(59)))) == {"v1"}


def test_flags_and_controls_are_in_force_until_they_expire(lake: Path, take_in: TakeIn) -> None:
    control = {"kind": "control", "component": "stop", "from_version": None, "to_version": "on"}
    take_in([
        *decisions(range(60)),
        change_record(occurred_at=text(at(10)), expires_at=text(at(40)), **control),
        change_record(occurred_at=text(at(20)), kind="flag", component="f", to_version="on"),
        change_record(occurred_at=text(at(30)), kind="flag", component="f", to_version="off"),
    ])  # fmt: skip
    told = {
        minute: [(c.component, c.to_version) for c in state(lake, minute).controls]
        for minute in (5, 15, 25, 35, 40)
    }
    assert told == {
        5: [],
        15: [("stop", "on")],
        25: [("f", "on"), ("stop", "on")],
        35: [("f", "off"), ("stop", "on")],
        40: [("f", "off")],
    }


def test_overrides_stand_until_they_expire_and_wide_ones_are_named(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(60)),
        override_record(occurred_at=text(at(10)), scope="this decision"),
        override_record(occurred_at=text(at(20)), scope="all of client 7", expires_at=text(at(50))),
    ])  # fmt: skip
    assert state(lake, 5).overrides.standing == 0
    found = state(lake, 30).overrides
    assert (found.standing, found.last_at) == (2, at(20))
    assert [change.detail["scope"] for change in found.wide] == ["all of client 7"]
    after = state(lake, 50).overrides
    assert (after.standing, after.wide) == (1, ())


def test_a_pipeline_is_told_with_its_last_good_run_and_what_was_served(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    def fed(run: int) -> dict[str, Any]:
        return {"feature_sources": [
            {"job": "jobs/billing", "run_id": f"00000000-0000-4000-8000-{run:012d}"}
        ]}  # fmt: skip

    take_in([*decisions(range(25), **fed(1)), *decisions(range(25, 60), **fed(2))])
    take_in(
        write_events(
            tmp_path / "events.jsonl",
            run_events("billing", 1, -5, code="88ac"),
            run_events("billing", 2, 20, code="3e1f"),
            run_events("billing", 3, 30, state="FAIL"),
        )
    )
    (pipeline,) = state(lake, 40).pipelines
    assert (pipeline.code_version, pipeline.ended_at, pipeline.since) == ("3e1f", at(20), at(20))
    assert (pipeline.replaced_version, pipeline.failed_at) == ("88ac", at(30))
    assert pipeline.served == (pipeline.run_id,)
    (between,) = state(lake, 22).pipelines
    assert between.run_id is not None
    assert between.run_id.endswith("2")
    assert [run[-1] for run in between.served] == ["1"], "decisions were served the old values yet"


def test_a_run_that_was_taken_back_is_in_force_only_until_then(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    aborted = run_events("billing", 2, 30, state="ABORT")[1:]
    take_in(
        write_events(
            tmp_path / "runs.jsonl",
            run_events("billing", 1, 10, code="88ac"),
            run_events("billing", 2, 20, code="3e1f"),
            aborted,
        )
    )
    take_in(decisions(range(60)))

    def in_force(minute: float) -> tuple[str | None, str | None, str | None]:
        (pipeline,) = state(lake, minute).pipelines
        return (pipeline.run_id or "")[-1:], pipeline.code_version, pipeline.failed

    assert in_force(15) == ("1", "88ac", None)
    assert in_force(25) == ("2", "3e1f", None), "that it was aborted nobody could know"
    assert in_force(35) == ("1", "88ac", "ABORT")


def test_a_lake_of_changes_alone_has_a_state(lake: Path, take_in: TakeIn) -> None:
    take_in([change_record(occurred_at=text(at(10)), kind="flag", component="f")])
    found = state(lake, 20)
    assert found.live == ()
    assert [change.component for change in found.controls] == ["f"]
    assert [change.component for change in found.changes] == ["f"]


def test_an_unknown_decision_point_is_refused(lake: Path, take_in: TakeIn) -> None:
    take_in(decisions(range(3)))
    with pytest.raises(UsageError, match="It has: credit_line"):
        state(lake, 1, decision_point="nowhere")


def test_evidence_worked_out_once_gives_the_same_state_at_every_time(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([*decisions(range(60)), *decisions(range(60, 120), model="v2")])
    snapshot = take(lake)
    kept = Evidence(snapshot)
    for minute in (-10, 0, 30, 59.5, 60, 90, 500):
        assert as_of(snapshot, at(minute), evidence=kept) == as_of(snapshot, at(minute))


def test_a_state_is_plain_data_too(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(60)), change_record(occurred_at=text(at(-5)), to_version="v1")])
    found = state(lake, 30).to_dict()
    assert {"time", "live", "pipelines", "controls", "overrides", "ended", "changes"} <= set(found)
    (line,) = found["live"]
    assert (line["version"], line["status"], line["evidence"]) == ("v1", "live", "recorded")
    assert "<table" in state(lake, 30)._repr_html_()
