"""What decisions have in common: the values that stand out among them against the window."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from forensics.records.plural import share_words
from forensics.records.times import from_micros
from forensics.replay.bulk.census import Census
from forensics.replay.bulk.tally import OTHERS, Group, Tally, Values

#: A value is said where this share of the group has it, and so much more than of the window.
_SHARE_MIN = 0.5
_MORE_MIN = 0.1
_SAID_MAX = 5
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Common:
    """A value that ``count`` decisions of a group have, and ``in_window`` of all in the window."""

    attribute: str
    value: str
    count: int
    of: int
    in_window: int
    window: int

    @property
    def statement(self) -> str:
        """E.g. ``all 36: region eu-north-1 (67 % of the window)``."""
        who = f"all {self.of:,}" if self.count == self.of else f"{self.count:,} of {self.of:,}"
        if self.in_window == self.count:
            window = "no other in the window"
        else:
            window = f"{share_words(self.in_window, self.window)} of the window"
        return f"{who}: {self.attribute} {self.value} ({window})"

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "attribute": self.attribute,
            "value": self.value,
            "decisions": self.count,
            "share": self.count / self.of,
            "share_of_window": self.in_window / self.window,
            "statement": self.statement,
        }


def in_common(group: Group, window: Tally, census: Census) -> list[Common]:
    """What stands out most among the decisions of a group, clearest first.

    Of each attribute the value is taken whose share in the group exceeds that in the window most.
    """
    found = [_when(group, window.count, census)]
    for attribute, values in group.attributes.items():
        every: Values = (window.attributes | census.attributes).get(attribute, Counter())
        best = max(
            (
                Common(attribute, named(value, window), count, group.count, every.get(value, count),
                       window.count)
                for value, count in values.items()
                if value is not None and value != OTHERS
            ),
            key=_excess,
            default=None,
        )  # fmt: skip
        found.append(best)
    clear = [
        one
        for one in found
        if one is not None and one.count >= _SHARE_MIN * one.of and _excess(one) >= _MORE_MIN
    ]
    return sorted(clear, key=_excess, reverse=True)[:_SAID_MAX]


def named(value: str, window: Tally) -> str:
    """A value as people call it: a model or configuration by its name, with its digest's start."""
    if not value.startswith("sha256:"):
        return value
    short = value.removeprefix("sha256:")[:6]
    name = window.names.get(value)
    return f"{name} ({short})" if name else short


def _when(group: Group, window: int, census: Census) -> Common | None:
    """The time from the first to the last of a group, and how much of the window lies in it."""
    if group.count < 2:
        return None
    first, last = group.first_us // _HOUR_US, group.last_us // _HOUR_US
    inside = sum(count for hour, count in census.hours.items() if first <= hour <= last)
    since, until = from_micros(group.first_us), from_micros(group.last_us)
    words = f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
    inside = max(inside, group.count)
    return Common("time", words, group.count, group.count, inside, window)


def _excess(common: Common) -> float:
    return common.count / common.of - common.in_window / common.window
