"""Times as people give them to the library."""

from __future__ import annotations

from datetime import UTC, datetime

from forensics.errors import UsageError


def instant(time: datetime | str) -> datetime:
    """A time with its zone; ISO 8601 text is read, and what names no zone is UTC.

    Raises:
        UsageError: when the text is no time.
    """
    try:
        read = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError as error:
        raise UsageError(f"{time!r} is no time.", "", "Use 2026-10-21T02:13Z.") from error
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


def instants(*times: datetime | str | None) -> tuple[datetime | None, ...]:
    """:func:`instant` of several; None, which stands for no end, stays."""
    return tuple(None if time is None else instant(time) for time in times)
