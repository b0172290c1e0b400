"""The rate of an outcome over a window, with the changes that were announced marked on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.events import Click
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from forensics.lake.scan import Announced, Rates
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics_tui.inert import fitted
from forensics_tui.period import Period
from forensics_tui.ticks import ticks

_BARS = " ▁▂▃▄▅▆▇█"
_ROWS = 2


class Histogram(Widget):
    """Two rows of bars under a title, above an axis of time; a click on it jumps there."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "histogram--bar",
        "histogram--dim",
        "histogram--here",
        "histogram--change",
    }

    @dataclass
    class Picked(Message):
        """A time was clicked."""

        time_us: int

    def __init__(self) -> None:
        super().__init__(id="histogram")
        self.rates: Rates | None = None
        self.changes: Sequence[Announced] = ()
        #: The outcome that somebody chose.
        self.outcome: str | None = None
        #: Of what the rates are, in words.
        self.of = "of all"
        self._first: str | None = None
        self._here_us: int | None = None
        self._counted: tuple[tuple[int, str, int], list[tuple[int, int]]] | None = None

    def update(self, rates: Rates, of: str = "of all") -> None:
        """Show newer counts; of the outcome that stands out most, until another is chosen.

        Args:
            rates: the counts.
            of: of what they are, in words.
        """
        self.rates, self._counted, self.of = rates, None, of
        if rates.done >= 1 and self._first not in rates.counts:
            self._first = rates.outcomes()[0] if rates.counts else None
        self.refresh()

    def point_at(self, time_us: int) -> None:
        """Show where a time is."""
        before = self._column_of(self._here_us), self._nearest_change()
        self._here_us = time_us
        if before != (self._column_of(time_us), self._nearest_change()):
            self.refresh()

    def next_outcome(self) -> None:
        """Show the rate of the next outcome."""
        outcomes = self.rates.outcomes() if self.rates is not None else []
        if outcomes:
            at = outcomes.index(self.shown) + 1 if self.shown in outcomes else 0
            self.outcome = outcomes[at % len(outcomes)]
            self.refresh()

    @property
    def shown(self) -> str | None:
        """The outcome whose rate is shown."""
        if self.rates is None or not self.rates.counts:
            return None
        known = (name for name in (self.outcome, self._first) if name in self.rates.counts)
        return next(known, None) or self.rates.outcomes()[0]

    def on_click(self, event: Click) -> None:
        """Tell the time that was clicked on."""
        if self.rates is not None and self.size.width:
            span = self.rates.end_us - self.rates.first_us
            self.post_message(self.Picked(self.rates.first_us + event.x * span // self.size.width))

    def render_line(self, y: int) -> Strip:
        """One of the lines: title, bars, axis."""
        width = self.size.width
        dim = self.get_component_rich_style("histogram--dim")
        rates, outcome = self.rates, self.shown
        if rates is None or outcome is None:
            text = "counting outcomes …" if y == 0 and rates is None else ""
            return Strip([Segment(fitted(text, width), dim)])
        columns = self._columns(rates, outcome, width)
        top = _ceiling(columns)
        if y == 0:
            return self._title(outcome, columns, top, width)
        if y <= _ROWS:
            return self._bars(columns, top, y)
        return self._axis(width)

    def _columns(self, rates: Rates, outcome: str, width: int) -> list[tuple[int, int]]:
        key = id(rates), outcome, width  # every update brings counts of its own
        if self._counted is None or self._counted[0] != key:
            self._counted = key, rates.columns(outcome, max(width, 1))
        return self._counted[1]

    def _title(self, outcome: str, columns: list[tuple[int, int]], top: float, width: int) -> Strip:
        assert self.rates is not None
        hits, decisions = (sum(part) for part in zip(*columns, strict=True))
        words = f"{safe_text(outcome, 20)} {_percent(hits / max(decisions, 1))} {self.of}"
        words += f" · bars up to {_percent(top)}"
        if self.rates.done < 1:
            words += f" · {self.rates.done:.0%} counted"
        change = self._nearest_change()
        if change:
            room = width - cell_len(words) - 3
            words += f"   {fitted(change, room).rstrip()}" if room > 12 else ""
        return Strip([Segment(fitted(words, width), self.rich_style)])

    def _nearest_change(self) -> str:
        """The last change before the row that one looks at."""
        if self._here_us is None:
            return ""
        before = [change for change in self.changes if change.occurred_us <= self._here_us]
        if not before:
            return ""
        time = from_micros(before[-1].occurred_us)
        return f"▲ {time:%m-%d %H:%M} {safe_text(before[-1].words)}"

    def _bars(self, columns: list[tuple[int, int]], top: float, y: int) -> Strip:
        bar = self.get_component_rich_style("histogram--bar")
        dim = self.get_component_rich_style("histogram--dim")
        here = self.get_component_rich_style("histogram--here")
        marked = self._column_of(self._here_us)
        segments = []
        for at, (hits, decisions) in enumerate(columns):
            eighths = round(hits / decisions / top * 8 * _ROWS) if decisions else 0
            if decisions and y == _ROWS:
                eighths = max(eighths, 1)  # no hits is not the same as no decisions
            level = min(max(eighths - 8 * (_ROWS - y), 0), 8)
            counted = self.rates is not None and self.rates.done >= 1
            text = _BARS[level] if decisions else "·" if counted and y == _ROWS else " "
            style = here if at == marked else bar if decisions else dim
            segments.append(Segment(text, style))
        return Strip(segments).simplify()

    def _axis(self, width: int) -> Strip:
        assert self.rates is not None
        first, end = self.rates.first_us, self.rates.end_us
        dim = self.get_component_rich_style("histogram--dim")
        line, styles = [" "] * width, [dim] * width
        for change in self.changes:
            place = self._column_of(change.occurred_us)
            if place is not None:
                line[place] = "▲"
                styles[place] = self.get_component_rich_style("histogram--change")
        for place, label in ticks(Period(first, end, (first, end)), width):
            if line[place : place + len(label)] == [" "] * len(label):
                line[place : place + len(label)] = label
        marked = self._column_of(self._here_us)
        if marked is not None:
            line[marked] = "^" if line[marked] != "▲" else "▲"
            styles[marked] = self.get_component_rich_style("histogram--here")
        segments = [Segment(text, style) for text, style in zip(line, styles, strict=True)]
        return Strip(segments).simplify()

    def _column_of(self, time_us: int | None) -> int | None:
        rates = self.rates
        if time_us is None or rates is None or not rates.first_us <= time_us < rates.end_us:
            return None
        return (time_us - rates.first_us) * self.size.width // (rates.end_us - rates.first_us)


def _ceiling(columns: list[tuple[int, int]]) -> float:
    """The rate that a full bar stands for: the highest, of columns that are not nearly empty."""
    enough = max((decisions for _, decisions in columns), default=0) // 10
    rates = [hits / decisions for hits, decisions in columns if decisions and decisions >= enough]
    return max(rates, default=0.0) or 1.0


def _percent(rate: float) -> str:
    return f"{rate:.0%}" if rate >= 0.1 or rate == 0 else f"{rate:.1%}"
