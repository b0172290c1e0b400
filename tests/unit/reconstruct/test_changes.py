"""Every change is told once: announced, seen, or both, with when it was true and when we knew."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from changing import TakeIn, at, decisions, run_events, text, write_events

import forensics
from forensics.errors import UsageError
from forensics.ingest.run import Report
from forensics.lake import summed
from forensics.lake.snapshot import take
from forensics.reconstruct.changes import Change, before, between
from forensics.reconstruct.changes.runs import differences, runs
from forensics.testing import change_record, declaration_record, override_record


def announced(minute: float, **fields: Any) -> dict[str, Any]:
    return change_record(
        occurred_at=text(at(minute)), recorded_at=text(at(minute) + timedelta(seconds=2)), **fields
    )


def told(lake: Path, **asked: Any) -> list[tuple[str, str | None]]:
    """What changed, oldest first, and whether it was announced and seen."""
    found = between(take(lake), **asked)
    return [(change.step, change.agreement) for change in reversed(found)]


def by_kind(lake: Path, kind: str) -> list[Change]:
    return [change for change in between(take(lake)) if change.kind == kind]


def test_a_deploy_that_decisions_confirm_is_told_once(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(60)), *decisions(range(63, 120), model="v2"), announced(61)])
    (change,) = between(take(lake))
    assert (change.step, change.agreement) == ("deploy pd v1 → v2", "confirmed")
    assert (change.occurred_at, change.seen_at) == (at(61), at(63))
    assert change.confirmation == "confirmed by decisions since 2026-10-01 01:03:00"
    assert change.known_at == at(61) + timedelta(seconds=2)
    assert (change.evidence, change.source) == ("recorded", "changes")


def test_what_nobody_announced_is_told_with_that(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(60)), *decisions(range(60, 120), model="v2")])
    (change,) = between(take(lake))
    assert change.step == "deploy pd v1 → v2 (nobody announced it)"
    assert (change.agreement, change.evidence, change.source) == (
        "unannounced", "inferred", "decisions",
    )  # fmt: skip
    assert change.occurred_at == at(60)
    assert change.known_at == at(60) + timedelta(milliseconds=5)


def test_what_was_announced_and_never_seen_is_told_with_that(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(120)), announced(60)])
    (change,) = between(take(lake))
    assert (change.step, change.agreement) == ("deploy pd v1 → v2", "unseen")
    assert change.confirmation == "announced, and no decision has used it"


def test_nobody_can_tell_whether_what_decisions_do_not_show_was_done(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(60)),
        announced(20, kind="flag", component="new_screens", from_version="off", to_version="on"),
        announced(99),  # after the last decision
    ])  # fmt: skip
    assert [change.agreement for change in between(take(lake))] == [None, None]


def test_a_rollback_without_a_word_is_not_covered_by_the_first_release(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(-120, 0)),
        *decisions(range(120), model="v2"),
        *decisions(range(120, 240)),
        announced(-500, from_version="v0", to_version="v1"),
        announced(0),
    ])  # fmt: skip
    assert told(lake) == [
        ("deploy pd v0 → v1", "confirmed"),
        ("deploy pd v1 → v2", "confirmed"),
        ("deploy pd v2 → v1 again (nobody announced it)", "unannounced"),
    ]


def test_an_announcement_after_the_fact_says_that_it_was_late(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(60)), *decisions(range(60, 240), model="v2"), announced(180)])
    (change,) = between(take(lake))
    assert change.true_from == at(60)
    assert change.confirmation is not None
    assert change.confirmation.endswith("before it was announced")
    assert [c.change_id for c in before(take(lake), at(61))] == [change.change_id]


def test_the_versions_that_the_evidence_begins_with_are_no_change(
    lake: Path, take_in: TakeIn
) -> None:
    take_in(decisions(range(60), config={"name": "c", "revision": "c1"}))
    assert between(take(lake)) == []


def test_a_version_that_chance_kept_away_for_hours_has_not_come_back(
    lake: Path, take_in: TakeIn
) -> None:
    """One decision in ten by v2, at random places: hours without it are no rollback."""
    rare = {7, 31, 44, 52, 190, 201, 233, 260, 391, 402, 433, 447, 480, 511, 530}
    take_in([
        *decisions(m for m in range(0, 540, 4) if m not in rare),
        *decisions(sorted(rare), model="v2"),
    ])  # fmt: skip
    assert told(lake) == [("deploy pd v2 beside v1 (nobody announced it)", "unannounced")]


def test_a_canary_announced_for_its_environment_is_confirmed_there(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(240)),
        *decisions(range(121, 240, 5), model="v2", environment="canary"),
        announced(120, environment="canary", traffic_share=0.2),
    ])  # fmt: skip
    (change,) = between(take(lake))
    assert (change.environment, change.agreement, change.seen_at) == (
        "canary",
        "confirmed",
        at(121),
    )


def test_a_deploy_announced_for_one_environment_does_not_cover_another(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(60)),
        *decisions(range(60, 120), model="v2"),
        *decisions(range(0, 120, 2), environment="staging"),
        announced(60, environment="staging"),
    ])  # fmt: skip
    assert sorted(told(lake)) == [
        ("deploy pd v1 → v2", "unseen"),
        ("deploy pd v1 → v2 (nobody announced it)", "unannounced"),
    ]


def test_another_digest_under_the_announced_version_is_not_what_was_announced(
    lake: Path, take_in: TakeIn
) -> None:
    a, b, other = ("sha256:" + letter * 64 for letter in "abc")

    def config(digest: str, revision: str) -> dict[str, Any]:
        return {"config": {"name": "limits", "revision": revision, "digest": digest}}

    take_in([
        *decisions(range(60), **config(a, "c1")),
        *decisions(range(60, 120), **config(other, "c2")),
        announced(60, kind="config", component="limits", from_version="c1", to_version="c2",
                  from_digest=a, to_digest=b),
    ])  # fmt: skip
    assert sorted(change.agreement or "" for change in between(take(lake))) == [
        "unannounced", "unseen",
    ]  # fmt: skip


def test_a_feature_that_appears_and_one_that_vanishes_are_changes_of_schema(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(0, 300, 2), features={"x": 1.0, "old": 2.0}),
        *decisions(range(300, 600, 2), features={"x": 1.0, "new": "a"}),
    ])  # fmt: skip
    assert told(lake) == [
        ("schema credit_line feature old last seen (nobody announced it)", "unannounced"),
        ("schema credit_line feature new first seen (nobody announced it)", "unannounced"),
    ]


def test_runs_tell_new_code_failed_tests_other_columns_and_failures(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    good, bad = {"not_null": True, "unique": True}, {"not_null": False, "unique": True}
    events = write_events(
        tmp_path / "events.jsonl",
        run_events("billing", 1, 10, code="88ac", columns=("a", "b"), tests=good),
        run_events("billing", 2, 20, code="88ac", columns=("a", "b"), tests=good),
        run_events("billing", 3, 30, code="3e1f", columns=("a", "c"), tests=bad),
        run_events("billing", 4, 40, state="FAIL", code="3e1f"),
        run_events("billing", 5, 50, state="FAIL", code="3e1f"),
        run_events("billing", 6, 60, code="3e1f", columns=("a", "c"), tests=good),
    )
    take_in(events)
    assert [change.occurred_at for change in reversed(between(take(lake)))] == [
        at(30), at(30), at(30), at(40), at(60),
    ]  # fmt: skip
    assert set(told(lake)) == {
        ("schema warehouse/features.billing column c appears, column b is gone "
         "(nobody announced it)", "unannounced"),
        ("pipeline billing test not_null(x) fails", None),
        ("pipeline billing 88ac → 3e1f (nobody announced it)", "unannounced"),
        ("pipeline billing run failed", None),
        ("pipeline billing test not_null(x) holds again", None),
    }  # fmt: skip
    change = next(c for c in between(take(lake)) if c.to_version == "3e1f")
    assert (change.occurred_at, change.source, change.evidence) == (at(30), "lineage", "inferred")
    assert change.known_at is not None
    assert change.known_at > change.occurred_at, "we knew when the event came in"


def test_runs_that_tell_nothing_can_be_left_unread(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    """Of all jobs only the runs that tell something are read; of named ones, all."""
    draw = random.Random(3)
    jobs = ("a", "b", "c")
    runs_of = [
        run_events(
            job, 100 * n + k, 10 * k + n,
            state="COMPLETE" if draw.random() < 0.8 else "FAIL",
            code=draw.choice(["c1", "c1", "c1", "c2", None]),
            columns=("x", "y") if draw.random() < 0.9 else ("x",),
            tests={"unique": draw.random() < 0.8},
        )
        for n, job in enumerate(jobs) for k in range(40)
    ]  # fmt: skip
    take_in(write_events(tmp_path / "events.jsonl", *runs_of))
    snapshot = take(lake)
    every = runs(snapshot, jobs=[f"jobs/{job}" for job in jobs])
    telling = runs(snapshot)
    assert len(telling) < len(every) == 120
    told = [{c.change_id: c for c in differences(snapshot, some)} for some in (telling, every)]
    assert told[0] == told[1]


def test_a_pipeline_change_is_one_whether_told_by_people_runs_or_decisions(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    def step(code: str) -> dict[str, Any]:
        return {"steps": [{"kind": "feature_fetch", "component": "billing", "version": code}]}

    take_in([*decisions(range(60), **step("88ac")), *decisions(range(65, 120), **step("3e1f"))])
    take_in(
        write_events(
            tmp_path / "events.jsonl",
            run_events("billing", 1, 5, code="88ac"),
            run_events("billing", 2, 62, code="3e1f"),
        )
    )
    (change,) = between(take(lake))
    assert (change.source, change.agreement, change.occurred_at) == (
        "lineage", "unannounced", at(62),
    )  # fmt: skip
    take_in([announced(62, kind="pipeline", component="billing", from_version="88ac",
                       to_version="3e1f")])  # fmt: skip
    (change,) = between(take(lake))
    assert (change.source, change.agreement, change.seen_at) == ("changes", "confirmed", at(65))


def test_only_the_pipelines_that_fed_a_decision_are_looked_at_for_it(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    take_in(decisions(range(60)))
    take_in(
        write_events(
            tmp_path / "events.jsonl",
            *(run_events(name, 10 * n + k, 5 + 10 * k + n, code=f"c{k}")
              for n, name in enumerate(("fed", "other")) for k in range(2)),
        )
    )  # fmt: skip
    snapshot = take(lake)
    assert before(snapshot, at(60), decision_point="credit_line") == []
    (change,) = before(snapshot, at(60), decision_point="credit_line", jobs=["jobs/fed"])
    assert change.component == "fed"


def test_a_control_that_expires_is_a_change_at_its_end_unless_it_was_replaced(
    lake: Path, take_in: TakeIn
) -> None:
    control = {"kind": "control", "component": "kill_switch", "from_version": None}
    take_in([
        announced(10, **control, to_version="on", expires_at=text(at(50)), actor="oncall",
                  detail={"authority": "CP-3"}),
        announced(60, **control, to_version="on", expires_at=text(at(90))),
        announced(70, **control, to_version="off"),
    ])  # fmt: skip
    found = between(take(lake))
    assert [(c.occurred_at, c.to_version) for c in reversed(found)] == [
        (at(10), "on"), (at(50), None), (at(60), "on"), (at(70), "off"),
    ]  # fmt: skip
    expiry = found[2]
    assert (expiry.evidence, expiry.authority) == ("inferred", "CP-3")
    assert expiry.step == "control kill_switch expired: on was to end here"
    assert expiry.known_at == at(10) + timedelta(seconds=2), "we knew that it would end"


def test_a_declaration_is_a_change_of_schema_that_says_what_it_declares_otherwise(
    lake: Path, take_in: TakeIn
) -> None:
    x, y = {"name": "x", "max_age_s": 60}, {"name": "y"}
    take_in([
        declaration_record(declaration_id="n1", occurred_at=text(at(0)), features=[x]),
        declaration_record(
            declaration_id="n2", occurred_at=text(at(10)), features=[{**x, "max_age_s": 9}, y],
            steps=["model"], actor="m.l",
        ),
    ])  # fmt: skip
    second, first = by_kind(lake, "schema")
    assert first.step == "schema credit_line declared: 1 feature"
    assert second.step == 'schema credit_line declared: new y, other x, steps null → ["model"]'
    assert (second.actor, second.source, second.from_version) == ("m.l", "declarations", "n1")


def test_overrides_are_changes_for_those_who_ask(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(3)), override_record(occurred_at=text(at(2)), authority="CP-7")])
    assert between(take(lake)) == []
    (change,) = between(take(lake), overrides=True)
    assert (change.kind, change.to_version, change.authority) == ("override", "APPROVE", "CP-7")


def test_what_we_learnt_later_was_not_known(lake: Path, take_in: TakeIn) -> None:
    take_in([
        *decisions(range(60)),
        *decisions(range(60, 120), model="v2"),
        change_record(occurred_at=text(at(60)), recorded_at=text(at(600))),
    ])  # fmt: skip
    assert told(lake, known_by=at(59.5)) == []
    assert told(lake, known_by=at(90)) == [
        ("deploy pd v1 → v2 (nobody announced it)", "unannounced")
    ]
    assert told(lake, known_by=at(601)) == [("deploy pd v1 → v2", "confirmed")]


def test_changes_that_were_recorded_without_a_time_of_knowing_were_known_when_received(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([change_record(occurred_at=text(at(60)))])
    (change,) = between(take(lake))
    assert change.known_at is not None
    assert change.known_at > at(60)
    assert between(take(lake), known_by=at(61)) == []


def test_a_window_holds_what_was_true_from_its_begin_and_before_its_end(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([announced(minute, component=f"c{minute}") for minute in (10, 20, 30)])
    snapshot = take(lake)
    inside = between(snapshot, at(20), at(30))
    assert [change.component for change in inside] == ["c20"]
    assert between(snapshot, at(21), at(29)) == []


def test_changes_of_points_that_never_decided_are_told_too(lake: Path, take_in: TakeIn) -> None:
    take_in([*decisions(range(3)), announced(1, decision_point="elsewhere")])
    asked = forensics.open(lake)
    assert len(asked.changes()) == 1
    assert asked.changes(decision_point="credit_line") == []
    with pytest.raises(UsageError, match="No decision point 'nowhere'"):
        asked.changes(decision_point="nowhere")


def test_usage_of_older_lakes_without_the_time_of_knowing_is_read(
    lake: Path, take_in: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    take_in([*decisions(range(60)), *decisions(range(60, 120), model="v2")])
    for path in (lake / "index").glob("usage-*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["known_us"]), path)
    # The names of older lakes' files say no digest.
    monkeypatch.setattr(summed, "_digest", lambda path: path.stem.rpartition("-s")[2])
    (change,) = between(take(lake))
    assert change.known_at == change.occurred_at == at(60)
    assert [c.to_version for c in between(take(lake), known_by=at(61))] == ["v2"]


def test_neither_later_changes_nor_many_hide_what_a_decision_ran_on(
    lake: Path, take_in: TakeIn
) -> None:
    digest = "sha256:" + "1" * 64
    flags = [
        announced(minute, kind="flag", component=f"f{number}", from_version="off", to_version="on")
        for number, minute in enumerate([*range(100, 160), *range(1000, 1600)])
    ]
    take_in([*decisions([500]), announced(1, to_digest=digest), *flags])
    found = before(take(lake), at(500), decision_point="credit_line", digests=[digest], limit=20)
    assert [change.component for change in found[:20]] == [f"f{n}" for n in range(59, 39, -1)]
    assert [change.to_digest for change in found[20:]] == [digest]


def test_a_digest_that_the_log_begins_to_tell_is_first_seen_and_no_change(
    lake: Path, take_in: TakeIn
) -> None:
    def with_digest(minutes: range, letter: str) -> list[dict[str, Any]]:
        digest = "sha256:" + 64 * letter
        return [{**one, "model": {**one["model"], "digest": digest}} for one in decisions(minutes)]

    take_in([
        *decisions(range(120)),
        *with_digest(range(120, 240), "a"),
        *decisions(range(240, 360)),  # a writer that does not tell it is no other version
        *with_digest(range(360, 480), "b"),
    ])  # fmt: skip
    assert told(lake) == [
        ("deploy pd v1 digest aaaaaaaa first seen", None),
        ("deploy pd aaaaaaaa → bbbbbbbb (nobody announced it)", "unannounced"),
    ]


def test_a_kind_of_component_that_the_log_begins_to_tell_is_first_seen(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        *decisions(range(120)),
        *decisions(range(120, 240), config={"name": "c", "revision": "c1"}),
        *decisions(range(240, 400), config={"name": "d", "revision": "d1"}),
    ])  # fmt: skip
    assert told(lake) == [
        ("config c version c1 first seen", None),
        ("config d d1 (nobody announced it)", "unannounced"),
    ]
