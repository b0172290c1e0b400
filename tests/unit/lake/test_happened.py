"""Runs and overrides on an axis: each in one place, counted as often as it is listed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from forensics.lake import happened
from forensics.lake.snapshot import take
from forensics.lake.window import Cancelled, Reader
from forensics.reconstruct.changes.declared import overrides
from forensics.testing import override_record

_HOUR_US = 3_600_000_000


@pytest.fixture
def reader(sample_lake: Path) -> Reader:
    return Reader(take(sample_lake))


def whole(reader: Reader) -> tuple[int, int]:
    window = reader.snapshot.window_us()
    assert window is not None
    return window[0] - 86_400_000_000, window[1] + 86_400_000_000


def test_every_run_is_listed_once_at_its_end(reader: Reader) -> None:
    runs = happened.runs(reader, *whole(reader), 10_000)
    assert runs is not None
    assert len({(run.name, run.run_id) for run in runs}) == len(runs)
    assert Counter(run.name for run in runs) == {
        "billing_features": 242, "bureau_features": 121, "pd_training": 2,
    }  # fmt: skip
    assert runs == sorted(runs, key=lambda run: (run.at_us, run.run_id))
    assert all(run.at_us == run.ended_us and run.began_us <= run.at_us for run in runs)
    (failed,) = (run for run in runs if run.failed)
    assert failed.name == "bureau_features"
    assert "timed out" in str(failed.error)


def test_a_window_holds_the_runs_that_ended_in_it_wherever_they_began(reader: Reader) -> None:
    since, until = whole(reader)
    runs = happened.runs(reader, since, until, 10_000)
    assert runs is not None
    for run in runs[::37]:
        assert happened.runs(reader, run.at_us, run.at_us + 1, 100) == [
            one for one in runs if one.at_us == run.at_us
        ]
        assert run not in (happened.runs(reader, run.at_us + 1, until, 10_000) or ())


def test_counts_and_lists_agree_and_too_many_are_not_listed(reader: Reader) -> None:
    since, until = whole(reader)
    runs = happened.runs(reader, since, until, 10_000)
    assert runs is not None
    tallies = happened.run_tallies(reader, since, until, 6 * _HOUR_US)
    counts = Counter((run.at_us - since) // (6 * _HOUR_US) for run in runs)
    assert {tally.number: tally.total for tally in tallies} == counts
    assert sum(tally.bad for tally in tallies) == 1
    assert happened.runs(reader, since, until, len(runs) - 1) is None
    assert happened.runs(reader, since, until, len(runs)) == runs


def test_overrides_are_counted_where_they_were_made(reader: Reader) -> None:
    since, until = whole(reader)
    tallies = happened.override_tallies(reader, "credit_line", since, until, _HOUR_US)
    listed = overrides(reader.snapshot, decision_point="credit_line")
    assert sum(tally.total for tally in tallies) == len(listed) == 1_626
    assert not happened.override_tallies(reader, "credit_line", until, until + 1, 1)


def test_overrides_of_another_point_are_not_counted(lake: Path, take_in: Any) -> None:
    take_in(
        [
            override_record(override_id="a", decision_point="p"),
            override_record(override_id="b", decision_point="q"),
            override_record(override_id="c", decision_point=None),
        ]
    )
    reader = Reader(take(lake))
    tallies = happened.override_tallies(reader, "p", 0, 2**53, 2**53)
    assert [tally.total for tally in tallies] == [2]


def test_a_lake_without_runs_has_none(lake: Path) -> None:
    reader = Reader(take(lake))
    assert happened.runs(reader, 0, 2**53, 10) == []
    assert happened.run_tallies(reader, 0, 2**53, 1) == []
    assert happened.override_tallies(reader, "p", 0, 2**53, 1) == []


def test_a_cancelled_question_ends(reader: Reader) -> None:
    reader.cancel()
    with pytest.raises(Cancelled):
        happened.runs(reader, 0, 2**53, 10)
