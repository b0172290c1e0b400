"""What differs between two states: what is different, and nothing that only looks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from changing import TakeIn, at, decisions, text

from forensics.lake.snapshot import take
from forensics.reconstruct.as_of import Evidence, State, as_of
from forensics.reconstruct.moved import Moved, moved
from forensics.reconstruct.state import Live
from forensics.report import state as report
from forensics.report.spans import plain
from forensics.testing import change_record

JUMP = datetime(2026, 10, 21, 2, 13, 4, tzinfo=UTC)


@pytest.fixture
def evidence(sample_lake: Path) -> Evidence:
    return Evidence(take(sample_lake))


def state(evidence: Evidence, time: datetime) -> State:
    return as_of(evidence.snapshot, time, evidence=evidence)


def said(found: list[Moved]) -> list[tuple[str, str | None, str | None]]:
    return [(one.what, one.before, one.after) for one in found]


def test_a_state_differs_in_nothing_from_itself_nor_from_a_quiet_second_later(
    evidence: Evidence,
) -> None:
    here = state(evidence, JUMP - timedelta(hours=1))
    assert moved(here, here) == []
    later = state(evidence, JUMP - timedelta(hours=1) + timedelta(seconds=1))
    assert later.live != here.live  # what was counted around the time is never the same
    assert moved(here, later) == []


def test_the_change_at_0213_is_seen_in_what_is_fetched_and_in_the_pipeline(
    evidence: Evidence,
) -> None:
    before = state(evidence, JUMP - timedelta(seconds=1))
    after = state(evidence, JUMP)
    found = moved(before, after)
    assert said(found) == [
        ("fetch billing_features · production", "88ac", "88ac, 3e1f announced"),
        ("fetch billing_features · canary", "88ac", "88ac, 3e1f announced"),
        (
            "pipeline credit_platform/billing_features",
            "code 88ac, run 4de4216c",
            "code 3e1f, run 89e582bf",
        ),
        ("change", None, "pipeline billing_features 88ac → 3e1f"),
    ]
    back = moved(after, before)
    assert said(back)[:3] == [(what, b, a) for what, a, b in said(found)[:3]]
    assert len(back) == 3, "what has not come yet is no new change"


def test_what_differs_is_marked_in_the_margin_and_nothing_else(evidence: Evidence) -> None:
    before, after = state(evidence, JUMP - timedelta(seconds=1)), state(evidence, JUMP)
    parts = [part for one in moved(before, after) for part in one.now]
    for width in (60, 80, 120, 200):
        unmarked = [plain(line) for line in report.screen(after, width)]
        marked = [plain(line) for line in report.screen(after, width, parts)]
        assert [line.replace("≠", " ") for line in marked] == unmarked
        with_sign = [line.split()[1:3] for line in marked if "≠" in line]
        assert ["fetch", "billing_features"] in with_sign
        assert len(with_sign) == 3
        headless = [plain(line) for line in report.screen(after, width, parts, headed=False)]
        assert headless == marked[2:]


def test_every_change_of_a_month_is_a_difference_across_it(evidence: Evidence) -> None:
    (point,) = evidence.snapshot.points()
    for change in evidence.account(point).changes:
        if change.agreement == "unseen" or change.true_from.month != 10:
            continue
        before = state(evidence, change.true_from - timedelta(microseconds=1))
        after = state(evidence, change.true_from)
        words = [one.after for one in moved(before, after) if one.kind == "change"]
        assert change.step in words


def test_flags_environments_and_overrides_that_come_and_go_are_told(
    lake: Path, take_in: TakeIn
) -> None:
    take_in(decisions(range(600), environment="production"))
    take_in(decisions([m + 0.5 for m in range(200)], environment="canary"))
    take_in(
        [
            change_record(
                change_id="f1", occurred_at=text(at(100)), recorded_at=text(at(100)), kind="flag",
                component="new_screens", from_version="off", to_version="on",
                expires_at=text(at(300)),
            ),
        ]
    )  # fmt: skip
    evidence = Evidence(take(lake))
    begin, middle, end = (state(evidence, at(minute)) for minute in (50, 150, 400))
    first = moved(begin, middle)
    assert ("flag new_screens", None, "on") in [
        (one.what.split(" · ")[0], one.before, one.after) for one in first if one.kind == "control"
    ]
    second = moved(middle, end)
    kinds = {one.kind for one in second}
    assert "control" in kinds
    assert "environment" in kinds
    (ended,) = (one for one in second if one.kind == "environment")
    assert ended.what.startswith("environment canary")
    assert (ended.before, ended.after, ended.now) == ("decides", "ended", ())
    assert not [one for one in second if "canary" in one.what and one is not ended]
    (begun,) = (one for one in moved(end, middle) if one.kind == "environment")
    assert (begun.before, begun.after) == ("ended", "decides")
    assert {live.environment for live in begun.now if isinstance(live, Live)} == {"canary"}
    (gone,) = (one for one in second if one.kind == "control")
    assert (gone.before, gone.after, gone.now) == ("on", None, ())


def test_what_we_learnt_later_is_the_difference_between_then_and_now(
    lake: Path, take_in: TakeIn
) -> None:
    take_in(decisions(range(600)))
    take_in(
        [
            change_record(
                change_id="late", occurred_at=text(at(100)), recorded_at=text(at(500)), kind="flag",
                component="f", from_version="off", to_version="on",
            )
        ]
    )  # fmt: skip
    then = as_of(take(lake), at(200), known_by=at(200))
    now = as_of(take(lake), at(200))
    (flag,) = (one for one in moved(then, now) if one.kind == "control")
    assert (flag.before, flag.after) == (None, "on")
    (gone,) = (one for one in moved(now, then) if one.kind == "control")
    assert (gone.before, gone.after) == ("on", None)
