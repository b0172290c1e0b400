"""What was usual for a feature in the days before: quantiles, and the range that was seen.

A faulty day must not hide the same fault from the days after it. The quantiles are medians over the
days, and of the range those days are left out that stand far outside what most of them saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from forensics.lake import sql, summed
from forensics.lake.snapshot import Snapshot, index_advice

#: A value this many times beyond everything seen is far.
FAR = 5.0
#: A value this small a part of what nearly all have is small.
SMALL = 1 / 50
#: So many days tell what most days saw; at most this share of them may be of the other sign.
_DAYS_MIN, _TURNED_MAX = 3, 1 / 3


class Usual(NamedTuple):
    """What was usual for a feature over some days."""

    days: int
    rows: int
    low: float
    q01: float
    median: float
    q99: float
    high: float


class _Days(NamedTuple):
    """What each of some days saw, a list for each measure."""

    lows: list[float]
    q01s: list[float]
    q99s: list[float]
    highs: list[float]


_COLUMNS = (
    "count(*), sum(rows), median(q01), median(q50), median(q99), "
    "list(low), list(q01), list(q99), list(high)"
)


def usual(snapshot: Snapshot, point: str, first_day: int, last_day: int) -> dict[str, Usual]:
    """What was usual for each numeric feature of ``point``, by name.

    The quantiles are medians of the days' own, so that one bad day does not move them.

    Args:
        snapshot: the lake.
        point: the decision point.
        first_day: days since 1970, included.
        last_day: days since 1970, included.
    """
    rows = _asked(
        snapshot,
        f"SELECT feature, {_COLUMNS} FROM ({{merged}}) WHERE point = {sql.literal(point)} "
        f"AND day BETWEEN {first_day} AND {last_day} GROUP BY feature",
    )
    return {row[0]: _usual(*row[1:]) for row in rows}


def usual_by_day(
    snapshot: Snapshot, point: str, first_day: int, last_day: int, days: int
) -> dict[int, dict[str, Usual]]:
    """:func:`usual` of the ``days`` days before each of some days (since 1970), by day."""
    rows = _asked(
        snapshot,
        f"SELECT d.day, feature, {_COLUMNS} FROM range({first_day}, {last_day + 1}) AS d(day) "
        f"JOIN ({{merged}}) AS p ON p.day BETWEEN d.day - {days} AND d.day - 1 "
        f"WHERE point = {sql.literal(point)} GROUP BY d.day, feature",
    )
    found: dict[int, dict[str, Usual]] = {}
    for day, feature, *values in rows:
        found.setdefault(day, {})[feature] = _usual(*values)
    return found


def _asked(snapshot: Snapshot, query: str) -> list[tuple[Any, ...]]:
    advice = index_advice(snapshot.root)
    paths = summed.paths(snapshot.root / "index", snapshot.known.profiles, advice)
    if not paths:
        return []
    merged = sql.query("profile_merge", files=sql.literal(paths))
    with sql.reading("The summary of usual values", advice):
        return snapshot.connection.execute(query.format(merged=merged)).fetchall()


def _usual(
    days: int, rows: int, q01: float, median: float, q99: float, *seen: list[float]
) -> Usual:
    low, high = _range(_Days(*seen), q01, q99)
    return Usual(days, rows, low, q01, median, q99, high)


def _range(days: _Days, q01: float, q99: float) -> tuple[float, float]:
    """The least and the greatest value seen, without days far outside what most days saw.

    Args:
        days: what each saw.
        q01: the median of their 1 % quantiles.
        q99: that of their 99 % quantiles.
    """
    if len(days.lows) < _DAYS_MIN:
        return min(days.lows), max(days.highs)
    lows, highs = days.lows, days.highs
    turned = len(lows) * _TURNED_MAX
    if q01 >= 0 and 0 < sum(one < 0 for one in days.q01s) <= turned:
        lows = [low for low, one in zip(lows, days.q01s, strict=True) if one >= 0]
    if q99 <= 0 and 0 < sum(one > 0 for one in days.q99s) <= turned:
        highs = [high for high, one in zip(highs, days.q99s, strict=True) if one <= 0]
    low, high = sorted(lows)[len(lows) // 2], sorted(highs)[(len(highs) - 1) // 2]
    size = max(abs(low), abs(high))
    for value in sorted((*lows, *highs), key=abs):
        if abs(value) > FAR * size:
            break
        size = max(size, abs(value))
    low = min(value for value in lows if abs(value) <= size)
    high = max(value for value in highs if abs(value) <= size)
    if low > 0:
        return _inmost(lows, q01 * SMALL), high
    if high < 0:
        return low, -_inmost([-value for value in highs], -q99 * SMALL)
    return low, high


def _inmost(values: Sequence[float], small: float) -> float:
    """The least of some sizes, without those that are small and far below most of the others."""
    ordered = sorted(values, reverse=True)
    least = ordered[(len(ordered) - 1) // 2]
    for value in ordered:
        if value < least / FAR and value < small:
            break
        least = min(least, value)
    return least
