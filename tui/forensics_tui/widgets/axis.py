"""Lanes on one axis of time: a rate with its numbers, the traffic, and rows of signs.

It draws what it is given; :mod:`forensics_tui.screens.timeline` knows what is on the lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from forensics.lake.happened import Tally
from forensics.reconstruct.jumps import Stretch
from forensics.report.spans import Line, Style
from forensics.report.timeline import ceiling, percent, short_count
from forensics_tui.counted import Counted
from forensics_tui.events import Event
from forensics_tui.period import Period
from forensics_tui.ticks import ticks

#: Left of every lane: its name.
MARGIN = 9
_BARS = " ▁▂▃▄▅▆▇█"
#: A rate of fewer decisions tells little, and is drawn fainter.
_FEW = 10
_STYLES = ("bold", "dim", "good", "bad", "warn", "accent")


class Mark(NamedTuple):
    """A sign at a time; of several in one place that of the lowest rank is shown."""

    at_us: int
    sign: str
    style: Style
    rank: int


def marks_of(events: Iterable[Event]) -> dict[str, list[Mark]]:
    """The signs of events, by lane."""
    found: dict[str, list[Mark]] = {}
    for event in events:
        mark = Mark(event.at_us, event.sign, event.style, event.rank)
        found.setdefault(event.lane, []).append(mark)
    return found


class Stay(NamedTuple):
    """Something that lasted, or of which only the first and the last time are known."""

    since_us: int
    until_us: int
    style: Style


@dataclass(frozen=True, slots=True)
class Density:
    """How often something happened, in stretches of ``width_us`` from ``since_us`` on."""

    since_us: int
    width_us: int
    tallies: Sequence[Tally]


@dataclass(frozen=True, slots=True)
class Lane:
    """One row below the chart."""

    name: str
    marks: Sequence[Mark] = ()
    stays: Sequence[Stay] = ()
    density: Density | None = None
    #: What is known of it only there; elsewhere nobody looked.
    known: tuple[int, int] | None = None
    #: Said where there is nothing to draw.
    words: str = ""


class Label(NamedTuple):
    """Words that belong to a time; they are inert."""

    at_us: int
    text: str
    style: Style


@dataclass(slots=True)
class Drawn:
    """All that an axis shows."""

    period: Period
    cursor_us: int
    counted: Counted | None = None
    outcome: str | None = None
    head: Sequence[Line] = ()
    lanes: Sequence[Lane] = ()
    labels: Sequence[Label] = ()
    label_rows: int = 0
    #: Whether there is a chart of the rate, or lanes alone.
    chart: bool = True
    #: After which lane the labels stand.
    labelled: str = "changes"


@dataclass(slots=True)
class _Row:
    """Cells of one row right of the margin, with their styles."""

    name: str
    cells: list[str]
    styles: list[Style] = field(default_factory=list)
    name_style: Style = "dim"
    #: Whether the cursor's column is marked in it.
    marked: bool = True


class Axis(Widget):
    """Lanes over a period, with a cursor in time."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "axis--here",
        "axis--here-bar",
        *(f"axis--{style}" for style in _STYLES),
    }

    @dataclass
    class Picked(Message):
        """A time was clicked."""

        time_us: int

    @dataclass
    class Turned(Message):
        """The wheel was turned at a time: nearer, or further away."""

        time_us: int
        nearer: bool

    def __init__(self) -> None:
        super().__init__(id="axis")
        self._drawn: Drawn | None = None
        self._rows: list[_Row | Line] | None = None
        self._looked: dict[str, RichStyle] = {}

    def show(self, drawn: Drawn) -> None:
        """Draw something else."""
        self._drawn, self._rows = drawn, None
        self.refresh()

    def notify_style_update(self) -> None:
        """Forget what the style sheet said."""
        self._looked = {}
        super().notify_style_update()

    @property
    def columns(self) -> int:
        """How many columns of time there is room for."""
        return max(self.size.width - MARGIN - 1, 10)

    def on_resize(self) -> None:
        """Lay out anew."""
        self._rows = None

    def on_click(self, event: Click) -> None:
        """Tell the time that was clicked on."""
        time_us = self._time_at(event.x)
        if time_us is not None:
            self.post_message(self.Picked(time_us))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Nearer to the time under the pointer."""
        self._turned(event.x, nearer=True)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Further away from the time under the pointer."""
        self._turned(event.x, nearer=False)

    def _turned(self, x: int, *, nearer: bool) -> None:
        time_us = self._time_at(x)
        if time_us is not None:
            self.post_message(self.Turned(time_us, nearer))

    def _time_at(self, x: int) -> int | None:
        if self._drawn is None or not MARGIN <= x < MARGIN + self.columns:
            return None
        return self._drawn.period.edge(x - MARGIN, self.columns)

    def render_line(self, y: int) -> Strip:
        """One row."""
        width = self.size.width
        if self._drawn is None:
            return Strip.blank(width, self.rich_style)
        if self._rows is None:
            self._rows = list(self._laid_out(self._drawn))
        row = self._rows[y] if y < len(self._rows) else []
        base = self.rich_style
        if isinstance(row, list):
            segments = [Segment(part.text, base + self._style(part.style)) for part in row]
            return Strip(segments).simplify().crop_extend(0, width, base)
        segments = [Segment(f"{row.name:>{MARGIN - 1}} ", base + self._style(row.name_style))]
        here = self._drawn.period.column(self._drawn.cursor_us, self.columns)
        for at, (text, style) in enumerate(zip(row.cells, row.styles, strict=True)):
            if at == here and row.marked:
                over = "here-bar" if text in _BARS and text != " " else "here"
                segments.append(Segment("│" if text == " " else text, base + self._style(over)))
            else:
                segments.append(Segment(text, base + self._style(style)))
        return Strip(segments).simplify().crop_extend(0, width, base)

    def _style(self, name: str) -> RichStyle:
        if not name:
            return RichStyle.null()
        if name not in self._looked:
            self._looked[name] = self.get_component_rich_style(f"axis--{name}")
        return self._looked[name]

    def _laid_out(self, drawn: Drawn) -> Iterator[_Row | Line]:
        """All rows from top to bottom; the bars take what is left."""
        yield from (list(line) for line in drawn.head)
        fixed = len(drawn.head) + len(drawn.lanes) + 1 + (drawn.label_rows if drawn.lanes else 0)
        if drawn.chart:
            yield from self._chart(drawn, max(self.size.height - fixed - 1, 2))
        for lane in drawn.lanes:
            yield self._lane(drawn, lane)
            if lane.name == drawn.labelled:
                yield from self._labels(drawn)
        yield self._times(drawn.period)

    def _chart(self, drawn: Drawn, rows: int) -> Iterator[_Row]:
        """Bars of the rate with their scale, and how many decisions they stand for."""
        columns, counted = self.columns, drawn.counted
        stretches: list[Stretch] = []
        if counted is not None:
            edges = [drawn.period.edge(at, columns) for at in range(columns + 1)]
            stretches = [counted.stretch(drawn.outcome, low, high) for low, high in pairwise(edges)]
        rated = stretches if counted is not None and counted.has_outcomes else []
        top = ceiling(rated)
        styles: list[Style] = ["accent" if item.decisions >= _FEW else "dim" for item in rated]
        styles = styles or ["dim"] * columns
        for row in range(rows, 0, -1):
            named = row == rows or 2 * row == rows
            name = percent(top * row / rows) if rated and named else ""
            cells = [_part(item, top, row, rows) for item in rated] or [" "] * columns
            yield _Row(name, cells, styles)
        most = max((item.decisions for item in stretches), default=0)
        done = counted is not None and counted.done >= 1
        traffic = [_level(item.decisions, most, "·" if done else " ") for item in stretches]
        traffic = traffic or [" "] * columns
        yield _Row(f"n {short_count(most)}" if most else "n", traffic, ["dim"] * columns)

    def _lane(self, drawn: Drawn, lane: Lane) -> _Row:
        columns, period = self.columns, drawn.period
        row = _Row(lane.name, [" "] * columns, ["dim"] * columns)
        if lane.density is not None:
            self._density(row, period, lane.density)
        for stay in lane.stays:
            low = period.column(max(stay.since_us, period.since_us), columns)
            high = period.column(min(stay.until_us, period.until_us - 1), columns)
            if low is not None and high is not None:
                line = "━" if stay.style == "bad" else "─"
                for at in range(low, high + 1):
                    row.cells[at], row.styles[at] = line, stay.style
        best: dict[int, Mark] = {}
        for mark in lane.marks:
            place = period.column(mark.at_us, columns)
            if place is not None and (place not in best or mark.rank < best[place].rank):
                best[place] = mark
        for at, mark in best.items():
            row.cells[at], row.styles[at] = mark.sign, mark.style
        if lane.known is not None:
            for at in range(columns):
                out = not lane.known[0] <= period.edge(at, columns) < lane.known[1]
                if out and row.cells[at] == " ":
                    row.cells[at] = "?"
        if lane.words and not best and not lane.stays:
            row.cells = list(set_cell_size(lane.words, columns))
            row.styles = ["dim"] * len(row.cells)
            row.marked = False
        return row

    def _density(self, row: _Row, period: Period, density: Density) -> None:
        columns = self.columns
        counts, bad = [0] * columns, [0] * columns
        for tally in density.tallies:
            middle = density.since_us + tally.number * density.width_us + density.width_us // 2
            at = period.column(middle, columns)
            if at is not None:
                counts[at] += tally.total
                bad[at] += tally.bad
        most = max(counts, default=0)
        for at, count in enumerate(counts):
            row.cells[at] = "✗" if bad[at] else _level(count, most, " ")
            row.styles[at] = "bad" if bad[at] else "dim"

    def _labels(self, drawn: Drawn) -> Iterator[_Row]:
        """Words below the signs that they belong to, the one that came first uppermost."""
        columns = self.columns
        shown = [one for one in drawn.labels if drawn.period.holds(one.at_us)][: drawn.label_rows]
        for label in sorted(shown):
            at = drawn.period.column(label.at_us, columns)
            assert at is not None
            right, left = f"╰ {label.text}", f"{label.text} ╯"
            if cell_len(right) <= columns - at or columns - at > at:
                text, start = set_cell_size(right, min(cell_len(right), columns - at)), at
            elif cell_len(left) <= at + 1:
                text, start = left, at + 1 - cell_len(left)
            else:
                text, start = f"{set_cell_size(label.text, at - 2)}… ╯", 0
            cells = [" "] * start + list(text)
            # A character that takes two columns is one of the row's: less of them follow it.
            cells += [" "] * max(columns - start - cell_len(text), 0)
            styles: list[Style] = [""] * len(cells)
            styles[start : start + len(text)] = [label.style] * len(text)
            yield _Row("", cells, styles, marked=False)
        for _ in range(drawn.label_rows - len(shown)):
            yield _Row("", [" "] * columns, [""] * columns)

    def _times(self, period: Period) -> _Row:
        columns = self.columns
        cells = [" "] * columns
        for at, text in ticks(period, columns):
            cells[at : at + len(text)] = text
        here = period.column(self._drawn.cursor_us, columns) if self._drawn else None
        styles: list[Style] = ["dim"] * columns
        if here is not None:
            cells[here] = "^"
            styles[here] = "bold"
        return _Row("", cells, styles)


def _part(item: Stretch, top: float, row: int, rows: int) -> str:
    """What one row of a chart shows of a column; some decisions without a hit are not none."""
    if item.rate is None:
        return " "
    eighths = round(item.rate / top * 8 * rows)
    if row == 1 and item.decisions:
        eighths = max(eighths, 1)
    return _BARS[min(max(eighths - 8 * (row - 1), 0), 8)]


def _level(count: int, most: int, nothing: str) -> str:
    return _BARS[max(1, round(count / most * 8))] if count else nothing
