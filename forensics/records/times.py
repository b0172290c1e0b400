"""Times as whole microseconds from 1970, UTC: as tables hold them and statistics compare them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_micros(micros: int) -> datetime:
    """The time ``micros`` microseconds after 1970, UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(time: datetime) -> int:
    """Microseconds from 1970 to ``time``, which has a zone; what is finer is cut off."""
    return (time - _EPOCH) // timedelta(microseconds=1)
