"""An incident begins with the change before it, and ends with the next one of that component."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from forensics.incident.extent import AFTER, BEFORE, OTHERWISE, extent, extent_at
from forensics.lake.snapshot import take
from forensics.reconstruct.changes import Change
from forensics.testing import change_record, decision_record

NOON = datetime(2026, 9, 9, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def change(at: datetime, component: str = "rates", kind: str = "deploy") -> Change:
    return Change(f"{component}-{at}", at, kind, component, from_version="1", to_version="2")


def test_the_next_change_of_what_began_it_ends_it_and_others_do_not() -> None:
    begins, between = change(NOON - HOUR), change(NOON + HOUR, "quotes")
    ends, later = change(NOON + 4 * HOUR), change(NOON + 9 * HOUR)
    found = extent([later, between, ends, begins], NOON)
    assert (found.since, found.until) == (begins.occurred_at, ends.occurred_at)
    assert (found.begun_by, found.ended_by) == (begins, ends)
    assert found.words == ("It begins with deploy rates 1 → 2; it ends with deploy rates 1 → 2.")


def test_the_last_of_several_changes_before_begins_it() -> None:
    last = change(NOON)
    assert extent([change(NOON - HOUR, "quotes"), last], NOON).begun_by == last


def test_the_same_name_of_another_kind_ends_nothing() -> None:
    found = extent([change(NOON), change(NOON + HOUR, kind="flag")], NOON)
    assert found.ended_by is None


def test_where_nothing_ended_it_some_hours_are_taken_and_said() -> None:
    for changes in ([change(NOON - HOUR)], [change(NOON - HOUR), change(NOON + AFTER + HOUR)]):
        found = extent(changes, NOON)
        assert (found.since, found.until) == (NOON - HOUR, NOON + OTHERWISE)
        assert "No later change of rates within 7 days is known: 6 hours on." in found.words


def test_where_nothing_began_it_some_hours_are_taken_on_both_sides_and_said() -> None:
    for changes in ([], [change(NOON - BEFORE)], [change(NOON + HOUR)]):
        found = extent(changes, NOON)
        assert (found.since, found.until) == (NOON - OTHERWISE, NOON + OTHERWISE)
        assert found.words == "No change is known in the 12 hours before: 6 hours before and after."


def test_changes_of_another_decision_point_are_none_of_its(
    lake: Path, take_in: Callable[..., Any]
) -> None:
    def at(hours: int) -> str:
        return (NOON + hours * HOUR).isoformat()

    take_in([
        *(decision_record(decision_point=point, occurred_at=at(0)) for point in ("one", "two")),
        change_record(component="a", decision_point="one", occurred_at=at(-2)),
        change_record(component="b", decision_point="two", occurred_at=at(-1)),
        change_record(component="a", decision_point="one", occurred_at=at(3)),
    ])  # fmt: skip
    found = extent_at(take(lake), "one", NOON)
    assert (found.since, found.until) == (NOON - 2 * HOUR, NOON + 3 * HOUR)


def test_the_incident_of_the_sample_is_the_one_that_was_rolled_back(sample_lake: Path) -> None:
    night = datetime(2026, 10, 21, 2, 41, tzinfo=UTC)
    found = extent_at(take(sample_lake), "credit_line", night)
    assert f"{found.since:%d %H:%M:%S}" == "21 02:13:04"
    assert f"{found.until:%d %H:%M:%S}" == "21 05:40:05"
    assert "roll back 3e1f" in found.words
