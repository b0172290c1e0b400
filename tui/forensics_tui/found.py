"""What a check has found, what of it is unfolded, and the decisions that were read of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from forensics.lake import sql
from forensics.lake.window import Row
from forensics.reconstruct.check import Check, Noticed
from forensics.reconstruct.findings import RANK
from forensics.records.times import to_micros
from forensics_tui.checked_window import Window

_TRACK = 16


class Kind(NamedTuple):
    """A detector, in the group that stands under a heading."""

    kind: str
    group: str


class One(NamedTuple):
    """What a detector says of some decisions."""

    kind: str
    about: str


class Example(NamedTuple):
    """A decision of which that is said."""

    of: One
    row: Row


class Found:
    """What a check of a window has found.

    Args:
        check: what it told.
        window: which was checked.
    """

    def __init__(self, check: Check, window: Window) -> None:
        self.check, self.window = check, window
        everything = (*check.found, *check.not_checkable)
        self._noticed = {One(one.kind, one.about): one for one in everything}
        #: The first decisions of findings, as far as they were read.
        self.examples: dict[One, list[Row]] = {}
        grave = {one.kind for one in everything if RANK[one.severity] <= RANK["warning"]}
        self.unfolded: set[Hashable] = {Kind(kind, "wrong") for kind in grave}

    def one(self, data: Hashable) -> Noticed | None:
        """The finding that something stands for, or is part of."""
        if isinstance(data, Example):
            data = data.of
        return self._noticed.get(data) if isinstance(data, One) else None

    def fold_what_was_not_read(self) -> None:
        """Fold the findings whose decisions nobody reads any more."""
        self.unfolded -= {
            one for one in self.unfolded if isinstance(one, One) and one not in self.examples
        }

    def where(self, one: Noticed) -> str | None:
        """The condition that finds a finding's decisions; empty where all are, None if none."""
        if one.count == self.check.decisions:
            return ""
        if one.count > len(one.examples):
            return None
        ids = ", ".join(sql.literal(each) for each in dict.fromkeys(one.examples))
        return f"request_id IN ({ids})"

    def track(self, one: Noticed) -> str:
        """Where in the window it was found, from the first to the last."""
        since, until = self.window
        width = max(until - since, 1)
        first, last = (
            int((to_micros(time) - since) * _TRACK / width) for time in (one.first, one.last)
        )
        first = max(0, min(first, _TRACK - 1))
        last = max(first, min(last, _TRACK - 1))
        return "·" * first + "█" * (last - first + 1) + "·" * (_TRACK - 1 - last)
