"""How numbers, times, values and sentences are said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from forensics.records.decision import ExactNumber
from forensics.records.jsontext import dumps, number_text


def time_words(time: datetime) -> str:
    """``2026-10-21 02:41:07.318 UTC``."""
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d} UTC"


def age_words(age: timedelta | float) -> str:
    """An age in one unit, rounded: ``28 min``, ``3 days``."""
    seconds = age.total_seconds() if isinstance(age, timedelta) else age
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    for unit, size, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{sign}{seconds / size:.0f} {unit}"
    return f"{sign}{seconds / 86_400:.0f} days"


def number_words(value: float, digits: int = 4) -> str:
    """A number short enough to be read: thousands grouped, ``digits`` significant ones kept."""
    if isinstance(value, int):
        return f"{value:,}"
    if value != value or value in (float("inf"), float("-inf")):
        return number_text(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}g}"
    return f"{value:,.{digits}g}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def value_words(value: Any) -> str:
    """A recorded value: text bare, numbers short, the rest as JSON."""
    if value is None:
        return "null"
    if isinstance(value, ExactNumber):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_words(value)
    if isinstance(value, datetime):
        return time_words(value)
    return dumps(value)


def capital(sentence: str) -> str:
    """A sentence with its first letter as a capital."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def short_digest(digest: Any) -> str:
    """The first six digits of a digest."""
    return str(digest or "").removeprefix("sha256:")[:6]


def few(items: Sequence[str], most: int = 3) -> str:
    """The first of some statements as one, and how many more there are."""
    rest = len(items) - most
    return "; ".join(items[:most]) + (f"; and {rest:,} more" if rest > 0 else "")


def named(group: Mapping[str, Any], name: str, version: str) -> str:
    """``pd v2 (9c1e4a)`` from a group with a name, a version and a digest."""
    parts = [str(group[key]) for key in (name, version) if group.get(key)]
    if group.get("digest"):
        parts.append(f"({short_digest(group['digest'])})")
    return " ".join(parts)
