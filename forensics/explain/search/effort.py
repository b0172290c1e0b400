"""How much a search has done, counted, so that it ends at the same place on every machine.

What is counted are operations on arrays and the numbers that they handle. A clock has no part in
what is found: it may only end a search that has gone on for absurdly long, and that is said.
"""

from __future__ import annotations

from time import perf_counter

#: Units of work that a core of the machine of ``bench/README.md`` does in a second.
UNITS_PER_S = 1_000_000
#: What an operation costs before it handles any number, and how many numbers cost one unit.
_UNITS_A_CALL, _NUMBERS_A_UNIT = 2, 512
#: How many times as long as expected a search may take by the clock, and at least.
_GUARD_TIMES, _GUARD_LEAST_S = 20.0, 10.0


def units_of(seconds: float) -> int:
    """The work that takes about so long."""
    return round(seconds * UNITS_PER_S)


class Effort:
    """Work done so far, and how much there may be.

    Args:
        units: how much there may be; None for no end.
        guard_s: seconds after which the clock ends it; by default many times what the work takes.

    Attributes:
        units: how much there may be, infinite where there is no end.
        spent: how much it was so far.
        cut_short: whether the clock has ended it.
    """

    def __init__(self, units: int | None = None, guard_s: float | None = None) -> None:
        self.units = float("inf") if units is None else float(units)
        self.spent = 0
        self.cut_short = False
        if guard_s is None:
            guard_s = max(_GUARD_LEAST_S, _GUARD_TIMES * self.units / UNITS_PER_S)
        self._guard = perf_counter() + guard_s

    def spend(self, calls: int, numbers: int = 0) -> None:
        """Counts operations on arrays, and the numbers that they handle in all."""
        self.spent += self.takes(calls, numbers)

    def takes(self, calls: int, numbers: int = 0) -> int:
        """Units that so many operations on so many numbers are."""
        return _UNITS_A_CALL * calls + int(numbers) // _NUMBERS_A_UNIT

    def is_over(self, until: float) -> bool:
        """Whether so much has been spent, or the clock has had to end it."""
        if self.spent > until:
            return True
        if not self.cut_short and perf_counter() > self._guard:
            self.cut_short = True
        return self.cut_short
