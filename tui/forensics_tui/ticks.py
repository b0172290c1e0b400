"""Round times on an axis, with the words that stand there."""

from __future__ import annotations

from collections.abc import Iterator

from forensics.records.times import from_micros
from forensics_tui.period import Period

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
#: Columns from one time to the next, at least.
_EVERY = 12
#: Times are multiples of these.
_TICKS_US = (
    10_000, 50_000, 100_000, 500_000,
    *(seconds * _SECOND_US for seconds in (
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
        86_400, 172_800, 432_000, 864_000, 2_592_000, 7_776_000, 31_536_000, 157_680_000,
    )),
)  # fmt: skip


def ticks(period: Period, columns: int) -> Iterator[tuple[int, str]]:
    """The columns at which round times are, each with its time in words.

    Args:
        period: what the axis shows.
        columns: how wide it is.
    """
    least = period.span_us * _EVERY // max(columns, 1)
    tick = next((us for us in _TICKS_US if us >= least), _TICKS_US[-1])
    for time_us in range(-(-period.since_us // tick) * tick, period.until_us, tick):
        at, text = period.column(time_us, columns), f"╵{_words(time_us, tick)}"
        if at is not None and at + len(text) <= columns:
            yield at, text


def _words(time_us: int, tick_us: int) -> str:
    """The day where one begins, else the time of day."""
    time = from_micros(time_us)
    if tick_us >= _DAY_US or time_us % _DAY_US == 0:
        return f"{time:%m-%d}"
    if tick_us >= 60 * _SECOND_US:
        return f"{time:%H:%M}"
    return f"{time:%H:%M:%S}" + (f".{time:%f}"[:3] if tick_us < _SECOND_US else "")
