"""The rate over time and the changes beside it: every decision counted once, jumps told fairly."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from changing import TakeIn, at, decisions, text

import forensics
from forensics.errors import NotFoundError, UsageError
from forensics.reconstruct.jumps import LEAST
from forensics.reconstruct.timeline import Timeline
from forensics.report import timeline as report
from forensics.report.spans import plain
from forensics.testing import change_record

WIDTHS = (60, 80, 120, 200)


def draw(minutes: Iterable[float], share: float, seed: int = 1) -> list[dict[str, Any]]:
    """Decisions of which about ``share`` are declined."""
    chance = random.Random(seed)
    return [
        {**decision, "outcome": "DECLINE" if chance.random() < share else "APPROVE"}
        for decision in decisions(minutes)
    ]


def asked(lake: Path, **question: Any) -> Timeline:
    return forensics.open(lake).timeline(**question)


def flag(minute: float, name: str = "f") -> dict[str, Any]:
    return change_record(
        occurred_at=text(at(minute)), recorded_at=text(at(minute)), kind="flag", component=name,
        from_version="off", to_version="on",
    )  # fmt: skip


def screens(found: Timeline) -> list[list[str]]:
    drawn = []
    for width in WIDTHS:
        for ascii_only in (False, True):
            lines = [plain(line) for line in report.screen(found, width, ascii_only=ascii_only)]
            assert max(map(len, lines)) <= width
            if ascii_only:
                assert "".join(lines).isascii()
            drawn.append(lines)
    return drawn


def test_every_decision_is_in_one_bin_and_bins_leave_no_gap(lake: Path, take_in: TakeIn) -> None:
    made = draw([m * 1.37 for m in range(900)], 0.3)
    take_in(made)
    declined = sum(decision["outcome"] == "DECLINE" for decision in made)
    for bins in (None, 1, 7, 60, 1_000):
        found = asked(lake, outcome="DECLINE", bins=bins)
        assert (found.whole.decisions, found.whole.hits) == (len(made), declined)
        assert found.bins[0].start == found.since
        assert found.bins[-1].end == found.until
        ends = [item.end for item in found.bins[:-1]]
        assert ends == [item.start for item in found.bins[1:]]
        if bins is not None:
            assert len(found.bins) == bins
        for item in found.bins:
            start, end = text(item.start), text(item.end)
            inside = [d for d in made if start <= d["occurred_at"] < end]
            assert len(inside) == item.decisions
        screens(found)


def test_bins_are_of_a_round_length_where_nobody_says_how_many(lake: Path, take_in: TakeIn) -> None:
    take_in(draw(range(0, 6_000, 7), 0.5))
    found = asked(lake, since=at(30), until=at(5_000))
    assert len(found.bins) <= 60
    inner = found.bins[1:-1]
    assert {item.end - item.start for item in inner} == {timedelta(hours=2)}
    assert all(item.start.minute == 0 and item.start.hour % 2 == 0 for item in inner)


def test_a_jump_is_told_with_the_change_that_it_coincides_with(lake: Path, take_in: TakeIn) -> None:
    take_in([
        *draw(range(1_500), 0.1),
        *draw(range(1_500, 3_000), 0.4, seed=2),
        flag(500, "quiet"), flag(1_500, "guilty"), flag(2_300, "late"),
    ])  # fmt: skip
    found = asked(lake, outcome="DECLINE")
    assert (found.moments[0].changes[0].component, found.moments[0].jump) == ("guilty", True)
    assert [moment.jump for moment in found.moments[1:]] == [False, False]
    moment = found.moments[0]
    assert moment.difference == pytest.approx(0.3, abs=0.06)
    assert moment.interval is not None
    assert moment.interval[0] < 0.3 < moment.interval[1]
    assert moment.before.end <= at(1_500) <= moment.after.start
    assert moment.before.start > at(500), "no other change lies in the stretch before"
    assert moment.after.end <= at(2_300)
    for lines in screens(found):
        assert any("coincides with" in line for line in lines)
        assert any("flag guilty" in line for line in lines)


def test_noise_and_the_usual_ups_and_downs_are_no_jump(lake: Path, take_in: TakeIn) -> None:
    """The rate swings between day and night; a change at dusk did not do that."""
    made = []
    for hour in range(96):
        share = 0.6 if hour % 24 < 12 else 0.2
        made += draw((hour * 60 + m * 1.5 for m in range(40)), share, seed=hour)
    # Many changes, so that the stretches beside the one at dusk are hours, not days.
    take_in([*made, flag(12 * 60 + 24 * 60), flag(6 * 60 + 24 * 60, "b"), flag(18 * 60 + 24 * 60)])
    found = asked(lake, outcome="DECLINE")
    at_dusk = next(m for m in found.moments if m.at == at(36 * 60))
    assert at_dusk.z is not None
    assert at_dusk.usual is not None
    assert abs(at_dusk.z) > 3.29, "by itself the test would cry wolf"
    assert not at_dusk.jump


def test_too_few_decisions_are_told_as_such(lake: Path, take_in: TakeIn) -> None:
    take_in([*draw(range(100), 0.0), *draw(range(100, 100 + LEAST - 5), 1.0), flag(99.5)])
    (moment,) = asked(lake, outcome="DECLINE").moments
    assert (moment.difference, moment.jump) == (None, False)
    assert moment.reason is not None
    assert "too few to tell" in moment.reason


def test_changes_within_a_minute_cannot_be_told_apart(lake: Path, take_in: TakeIn) -> None:
    take_in([*draw(range(300), 0.5), flag(100, "a"), flag(100.4, "b"), flag(200, "c")])
    found = asked(lake)
    groups = sorted([c.component for c in moment.changes] for moment in found.moments)
    assert groups == [["a", "b"], ["c"]]


def test_the_difference_and_its_interval_are_those_of_the_textbook() -> None:
    """Newcombe 1998, table II (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    from forensics.reconstruct.jumps import Stretch, _newcombe, _z

    before, after = Stretch(at(0), at(1), 80, 48), Stretch(at(1), at(2), 70, 56)
    assert _newcombe(before, after) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert _z(before, after) == pytest.approx(2.6502, abs=5e-4)
    assert _z(Stretch(at(0), at(1), 50, 0), Stretch(at(1), at(2), 50, 0)) == 0


@pytest.mark.parametrize("minutes", [[5], [5, 5], [0, 1e-4], [0, 400_000]])
def test_windows_of_one_decision_of_microseconds_and_of_months_are_drawn(
    lake: Path, take_in: TakeIn, minutes: list[float]
) -> None:
    take_in(draw(minutes, 1.0))
    for bins in (None, 5):
        found = asked(lake, bins=bins)
        assert found.whole.decisions == len(minutes)
        assert found.outcome == "DECLINE"
        for lines in screens(found):
            assert "No change is known in this window." in lines


def test_a_window_without_decisions_is_an_answer(lake: Path, take_in: TakeIn) -> None:
    take_in([*draw(range(60), 0.5), flag(600)])
    found = asked(lake, since=at(500), until=at(700))
    assert {item.rate for item in found.bins} == {None}
    assert [moment.jump for moment in found.moments] == [False]
    assert found.to_dict()["rate"] is None
    screens(found)


def test_more_changes_than_letters_are_all_told(lake: Path, take_in: TakeIn) -> None:
    take_in([*draw(range(2_000), 0.5), *(flag(m * 20, f"f{m}") for m in range(80))])
    found = asked(lake)
    assert len(found.moments) == 80
    for lines in screens(found):
        assert sum("earlier ones" in line for line in lines) == 1


def test_without_a_name_the_second_most_frequent_outcome_is_taken_and_said(
    lake: Path, take_in: TakeIn
) -> None:
    named = ["APPROVE"] * 6 + ["DECLINE"] * 3 + ["REFER"]
    take_in([
        {**decision, "outcome": named[n % 10]} for n, decision in enumerate(decisions(range(100)))
    ])  # fmt: skip
    found = asked(lake)
    assert (found.outcome, found.outcomes["REFER"]) == ("DECLINE", 10)
    assert any("APPROVE 60, REFER 10" in line for line in screens(found)[2])


def test_questions_that_cannot_be_asked_say_why(lake: Path, take_in: TakeIn) -> None:
    with pytest.raises(NotFoundError, match="no decisions yet"):
        asked(lake)
    take_in(draw(range(10), 0.5))
    with pytest.raises(UsageError, match="No decision point 'nowhere'"):
        asked(lake, decision_point="nowhere")
    with pytest.raises(UsageError, match="has decisions from 2026-10-01 00:00"):
        asked(lake, since=at(20), until=at(10))
    take_in([{**decision, "decision_point": "other"} for decision in draw(range(3), 0.5)])
    with pytest.raises(UsageError, match="Name one decision point"):
        asked(lake)
    assert asked(lake, decision_point="other").whole.decisions == 3


def test_the_samples_bad_pipeline_is_what_its_jump_coincides_with(sample_lake: Path) -> None:
    found = asked(sample_lake, outcome="DECLINE")
    jumps = {
        (change.component, change.to_version)
        for moment in found.moments
        if moment.jump
        for change in moment.changes
    }
    assert jumps == {("billing_features", "3e1f"), ("billing_features", "88ac")}
