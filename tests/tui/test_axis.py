"""What an axis of time rests on: periods that stay in bounds, and counts that lose no decision."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual")

import itertools

from forensics.lake import scan
from forensics.lake.pages import known_spans
from forensics.lake.snapshot import take
from forensics.lake.window import Reader, View
from forensics.reconstruct.changes import between
from forensics.reconstruct.timeline import BINS, CELLS, moments, timeline
from forensics.records.times import from_micros
from forensics.testing import decision_record
from forensics_tui.counted import Counted
from forensics_tui.period import LEAST_US, Period

BOUNDS = (1_000_000_000, 1_000_000_000 + 30 * 86_400_000_000)


def counted(root: Path, point: str, **view: int) -> Counted:
    *_, last = scan.rates(Reader(take(root)), View((point,), (), **view), CELLS)
    return Counted.of(last)


def test_a_time_keeps_its_column_while_one_zooms() -> None:
    chance = random.Random(5)
    for _ in range(300):
        period = Period.whole(BOUNDS)
        time_us = chance.randrange(*BOUNDS)
        for _ in range(chance.randrange(1, 30)):
            period = period.zoomed(0.5, time_us)
            assert period.holds(time_us)
            assert BOUNDS[0] <= period.since_us < period.until_us <= BOUNDS[1]
            assert period.span_us >= LEAST_US
        column = period.column(time_us, 80)
        nearer = period.zoomed(0.5, time_us).column(time_us, 80)
        assert column is not None
        assert nearer is not None
        if period.span_us > 2 * LEAST_US:
            assert abs(column - nearer) <= 1
        for _ in range(40):
            period = period.zoomed(2.0, time_us)
        assert (period.since_us, period.until_us) == BOUNDS


def test_a_period_moves_as_far_as_its_bounds_and_shows_what_it_is_asked_to() -> None:
    chance = random.Random(6)
    for _ in range(300):
        span = chance.randrange(LEAST_US, BOUNDS[1] - BOUNDS[0])
        period = Period.around(chance.randrange(*BOUNDS), span, BOUNDS)
        assert period.span_us == span
        moved = period.moved(chance.randrange(-(2**50), 2**50))
        assert moved.span_us == span
        assert BOUNDS[0] <= moved.since_us < moved.until_us <= BOUNDS[1]
        time_us = chance.randrange(*BOUNDS)
        assert moved.showing(time_us).holds(time_us)
    assert period.clamped(0) == BOUNDS[0]
    assert period.clamped(2**62) == BOUNDS[1] - 1


def test_every_time_is_in_the_column_whose_edges_hold_it() -> None:
    chance = random.Random(7)
    for _ in range(200):
        span = chance.randrange(LEAST_US, BOUNDS[1] - BOUNDS[0])
        period = Period.around(chance.randrange(*BOUNDS), span, BOUNDS)
        columns = chance.randrange(10, 200)
        time_us = chance.randrange(period.since_us, period.until_us)
        column = period.column(time_us, columns)
        assert column is not None
        assert period.edge(column, columns) <= time_us < period.edge(column + 1, columns)
    assert period.column(period.until_us, 80) is None


def test_columns_part_all_decisions_and_each_is_told_within_its_own_ends(sample_lake: Path) -> None:
    found = counted(sample_lake, "credit_line")
    (point,) = take(sample_lake).points()
    assert found.total == take(sample_lake).tables[f"decisions/{point}"].rows
    lake = take(sample_lake)
    for columns in (10, 70, 189):
        period = Period.whole((found.first_us, found.end_us))
        edges = [period.edge(at, columns) for at in range(columns + 1)]
        parts = [found.stretch("DECLINE", *ends) for ends in itertools.pairwise(edges)]
        assert sum(part.decisions for part in parts) == found.total
        assert all(a.end == b.start for a, b in itertools.pairwise(parts))
        for part in parts[:: columns // 5]:
            alone = timeline(lake, part.start, part.end, outcome="DECLINE", bins=1).whole
            assert (alone.decisions, alone.hits) == (part.decisions, part.hits)


def test_what_the_changes_moved_is_what_the_command_tells(sample_lake: Path) -> None:
    lake = take(sample_lake)
    found = counted(sample_lake, "credit_line")
    ends = from_micros(found.first_us), from_micros(found.end_us)
    for outcome in ("DECLINE", "APPROVE"):
        mine = moments(
            found.of_outcome(outcome),
            between(lake, *ends, decision_point="credit_line"),
            origin_us=found.first_us,
            width_us=found.width_us,
            until_us=found.end_us,
        )
        asked = timeline(lake, outcome=outcome, bins=BINS)
        assert [one.to_dict() for one in mine] == [one.to_dict() for one in asked.moments]


def test_hours_of_the_summaries_count_the_same_decisions(sample_lake: Path) -> None:
    reader = Reader(take(sample_lake))
    spans = known_spans(reader, View(("credit_line",), ()))
    assert spans is not None
    hourly = Counted.hourly(spans)
    assert hourly is not None
    fine = counted(sample_lake, "credit_line")
    assert hourly.total == fine.total
    assert not hourly.has_outcomes
    day = 86_400_000_000
    since = hourly.first_us + day
    part = hourly.stretch(None, since, since + day)
    asked = timeline(reader.snapshot, part.start, part.end, bins=1, outcome="DECLINE").whole
    assert part.decisions == asked.decisions
    assert Counted.hourly([]) is None


def test_the_outcome_that_stands_out_at_some_time_comes_first(lake: Path, take_in: Any) -> None:
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    names = [
        "DECLINE" if 600 <= minute < 660 or minute % 10 == 0 else "REFER" if minute % 3 else "OK"
        for minute in range(3_000)
    ]
    take_in(
        decision_record(
            request_id=f"r{minute}",
            outcome=outcome,
            occurred_at=(begin + timedelta(minutes=minute)).isoformat(),
        )
        for minute, outcome in enumerate(names)
    )
    found = counted(lake, take(lake).points()[0])
    assert found.outcomes()[0] == "DECLINE"
    assert set(found.outcomes()) == set(names)
    for outcome, count in Counter(names).items():
        assert sum(cell.hits for cell in found.of_outcome(outcome)) == count
        assert found.knows(outcome)
    assert sum(cell.decisions for cell in found.of_outcome("no such")) == len(names)
