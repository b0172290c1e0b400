"""A stretch of time that one looks at: zoomed around a time, moved, and never out of its bounds."""

from __future__ import annotations

from dataclasses import dataclass

#: Nothing is to be seen in less.
LEAST_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since_us`` to before ``until_us``, within ``bounds``."""

    since_us: int
    until_us: int
    bounds: tuple[int, int]

    @classmethod
    def whole(cls, bounds: tuple[int, int]) -> Period:
        """All there is."""
        return cls(*bounds, bounds)

    @classmethod
    def around(cls, time_us: int, span_us: int, bounds: tuple[int, int]) -> Period:
        """So much of the time around ``time_us`` as there is."""
        span_us = min(span_us, bounds[1] - bounds[0])
        return cls.whole(bounds)._at(time_us - span_us // 2, span_us)

    @property
    def span_us(self) -> int:
        """How long it is."""
        return self.until_us - self.since_us

    def holds(self, time_us: int) -> bool:
        """Whether a time lies in it."""
        return self.since_us <= time_us < self.until_us

    def clamped(self, time_us: int) -> int:
        """The time nearest to ``time_us`` that is in bounds."""
        return max(self.bounds[0], min(time_us, self.bounds[1] - 1))

    def zoomed(self, factor: float, at_us: int) -> Period:
        """So many times as long; a time keeps its place in it, so that nothing seems to jump."""
        low, high = self.bounds
        most = high - low
        span = max(min(int(self.span_us * factor), most), min(LEAST_US, most))
        before = int((at_us - self.since_us) * span / max(self.span_us, 1))
        return self._at(at_us - before, span)

    def moved(self, by_us: int) -> Period:
        """As long, later or earlier."""
        return self._at(self.since_us + by_us, self.span_us)

    def showing(self, time_us: int) -> Period:
        """Moved so that a time is well within it: in its middle where it was out of it."""
        if not self.holds(time_us):
            return Period.around(time_us, self.span_us, self.bounds)
        margin = self.span_us // 8
        if time_us < self.since_us + margin:
            return self.moved(time_us - margin - self.since_us)
        if time_us >= self.until_us - margin:
            return self.moved(time_us + margin + 1 - self.until_us)
        return self

    def column(self, time_us: int, columns: int) -> int | None:
        """Which of so many equal columns a time is in; None where it is in none."""
        if not self.holds(time_us) or columns < 1:
            return None
        return (time_us - self.since_us) * columns // self.span_us

    def edge(self, column: int, columns: int) -> int:
        """When a column begins."""
        return self.since_us + -(-column * self.span_us // max(columns, 1))

    def _at(self, since_us: int, span_us: int) -> Period:
        low, high = self.bounds
        since_us = max(low, min(since_us, high - span_us))
        return Period(since_us, since_us + span_us, self.bounds)
