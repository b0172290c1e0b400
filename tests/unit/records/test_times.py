"""Times as microseconds: exact, whatever the zone and however far away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from forensics.records.times import DAY_US, from_micros, to_micros

FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


@given(st.integers(to_micros(FIRST), to_micros(LAST)))
def test_microseconds_survive_being_a_time(micros: int) -> None:
    assert to_micros(from_micros(micros)) == micros


@given(
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)),
    st.integers(-23 * 60, 23 * 60),
)
def test_a_time_in_any_zone_is_the_same_instant(naive: datetime, minutes: int) -> None:
    time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert from_micros(to_micros(time)) == time


def test_days_are_counted_from_1970() -> None:
    assert from_micros(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert to_micros(datetime(1970, 1, 2, tzinfo=UTC)) == DAY_US
    assert to_micros(datetime(1969, 12, 31, tzinfo=UTC)) == -DAY_US
