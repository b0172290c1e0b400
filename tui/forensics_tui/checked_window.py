"""The window that is checked: around a time, within another, and about how much is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from forensics.lake.snapshot import Snapshot
from forensics.records.times import from_micros

MINUTE_US = 60_000_000
#: Widths of a window to begin with, in minutes.
_WIDTHS = (43_200, 20_160, 10_080, 4_320, 1_440, 720, 360, 180, 60, 30, 15, 5, 1)


class Window(NamedTuple):
    """A window in microseconds, to before ``until_us``."""

    since_us: int
    until_us: int

    @property
    def words(self) -> str:
        """The window as people read it."""
        since, until = from_micros(self.since_us), from_micros(self.until_us)
        whole = self.since_us % MINUTE_US == 0 and self.until_us % MINUTE_US == 0
        form = "%H:%M" if whole else "%H:%M:%S"
        day = "" if since.date() == until.date() else "%Y-%m-%d "
        return f"{since:%Y-%m-%d {form}} to {until:{day}{form}}"


def around(time_us: int, width_us: int) -> Window:
    """A window around a time, which begins and ends at whole minutes."""
    since = (time_us - width_us // 2) // MINUTE_US * MINUTE_US
    until = -(-(time_us + width_us // 2) // MINUTE_US) * MINUTE_US
    return Window(since, until)


def within(window: Window, whole: Window) -> Window:
    """A window moved into another, and cut where it is wider."""
    width = min(window.until_us - window.since_us, whole.until_us - whole.since_us)
    since = max(whole.since_us, min(window.since_us, whole.until_us - width))
    return Window(since, since + width)


def first_window(
    snapshot: Snapshot, points: Sequence[str], whole: Window, at_us: int | None, rows_max: int
) -> Window:
    """A window, or as much of it around a time as has no more decisions than ``rows_max``."""
    if rows_in(snapshot, points, whole) <= rows_max:
        return whole
    at = at_us if at_us is not None else whole.until_us
    for minutes in _WIDTHS:
        window = within(around(at, minutes * MINUTE_US), whole)
        if rows_in(snapshot, points, window) <= rows_max:
            break
    return window


def rows_in(snapshot: Snapshot, points: Sequence[str], window: Window) -> int:
    """About how many decisions a window has, as far as the catalog of files tells."""
    rows = 0.0
    for point in points:
        for file in snapshot.files(f"decisions/{point}", window.since_us, window.until_us - 1):
            end = file.last_us + 1
            inside = min(end, window.until_us) - max(file.first_us, window.since_us)
            rows += file.rows * max(inside, 0) / max(end - file.first_us, 1)
    return round(rows)
