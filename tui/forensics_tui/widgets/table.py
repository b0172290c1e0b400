"""The windowed table: it holds the rows on the screen and some around them, of however many.

Textual's own table makes every row when it is filled; this one asks :class:`Pages` for what is in
sight, in a thread, and shows dots for what has not come yet.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.worker import Worker

from forensics.errors import ForensicsError
from forensics.lake.pages import Pages
from forensics.lake.window import DECISION, KEY, Cancelled, Row
from forensics.records.safe_text import safe_text
from forensics_tui.inert import cell, fitted
from forensics_tui.keys import TABLE, bindings
from forensics_tui.opening import AHEAD

if TYPE_CHECKING:
    from forensics_tui.app import ForensicsApp

_GUTTER = 2
_GAP = 2
_WIDTH_MAX = 32
_ROWS_KEPT = 4_000
_COPIED_MAX = 10_000
_TITLES = {
    "occurred_at": "time (UTC)",
    "request_id": "request",
    "decision_point": "point",
    "model_version": "version",
}


@dataclass(slots=True)
class Column:
    """A column on the screen: its name in the view, its title, how wide it has become."""

    name: str
    title: str
    width: int
    right: bool = False


class WindowTable(ScrollView, can_focus=True):
    """Rows of decisions with a cursor, of which only those in sight are read."""

    app: ForensicsApp
    BINDINGS = bindings(TABLE)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--head",
        "table--cursor",
        "table--cell",
        "table--mark",
        "table--dim",
    }

    cursor: reactive[int] = reactive(0, init=False, repaint=False)
    column: reactive[int] = reactive(0, init=False)

    @dataclass
    class Opened(Message):
        """A row is to be opened."""

        row: Row

    @dataclass
    class Moved(Message):
        """The cursor stands on another row, or on a row that has only now come."""

        row: Row
        place: int

    @dataclass
    class Sort(Message):
        """Rows are to be sorted by a column, or by time where it is empty."""

        name: str

    @dataclass
    class Marked(Message):
        """A row's mark is to be set or taken away."""

        row: Row

    @dataclass
    class Copied(Message):
        """Text is to be copied; it is inert."""

        text: str

    @dataclass
    class Failed(Message):
        """Rows cannot be read."""

        error: ForensicsError

    @dataclass
    class _Arrived(Message):
        pages: Pages | None
        first: int
        rows: list[Row]

    def __init__(self) -> None:
        super().__init__(id="table")
        self.columns: list[Column] = []
        self.marks: Container[str] = ()
        self.sorted_by = ("occurred_at", True)
        #: Whether all times are of one year.
        self.one_year = False
        #: Told of further rows, in a thread, before they are shown.
        self.ahead: Callable[[Sequence[Row]], None] | None = None
        self._pages: Pages | None = None
        self._rows: dict[int, Row] = {}
        self._fetching = False
        #: What was asked of rows that are still on their way, by their places.
        self._asked_of: list[tuple[int, Callable[[Row], Message]]] = []
        self._styles: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """Forget what the style sheet said."""
        self._styles = {}
        super().notify_style_update()

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            component = self.get_component_rich_style(f"table--{name}") if name else self.rich_style
            self._styles[name] = component
        return self._styles[name]

    @property
    def total(self) -> int:
        """How many rows there are."""
        return self._pages.total if self._pages is not None else 0

    @property
    def row(self) -> Row | None:
        """The row under the cursor; None where there is none or it has not come yet."""
        return self._rows.get(self.cursor)

    @property
    def in_sight(self) -> int:
        """How many rows the screen has room for."""
        return max(self.size.height - 1, 1)

    @property
    def _room(self) -> int:
        """How many columns of the terminal rows have, beside the scroll bar."""
        return int(self.scrollable_content_region.width)

    def show(self, pages: Pages, names: Sequence[str], rows: list[Row], place: int = 0) -> None:
        """Show other rows, the cursor at ``place``.

        Args:
            pages: where they come from.
            names: the columns that each row has after those of :data:`KEY`.
            rows: the first of those that are shown, so that nothing flickers.
            place: where the cursor goes.
        """
        if self._asked_of:
            self._asked_of = []
            self.app.say("Other rows have come meanwhile: press the key again.")
        self._pages = pages
        self._set_columns(names)
        first = max(place - AHEAD, 0)
        self._rows = dict(enumerate(rows, first))
        self._widen(rows)
        self._resized()
        self.set_reactive(WindowTable.cursor, max(0, min(place, self.total - 1)))
        self.scroll_to(y=max(self.cursor - self.in_sight // 2, 0), animate=False)
        self.refresh()
        self._need()
        self._tell()

    def grow(self, pages: Pages) -> None:
        """Further rows after those that are there."""
        self._pages = pages
        self._resized()
        self._need()

    def go(self, place: int) -> None:
        """Put the cursor on a row by its place."""
        self.cursor = max(0, min(place, self.total - 1))

    def jump(self, place: int) -> None:
        """Put the cursor on a row by its place, with what is around it in sight."""
        place = max(0, min(place, self.total - 1))
        if not self.scroll_offset.y <= place < self.scroll_offset.y + self.in_sight:
            self.scroll_to(y=max(place - self.in_sight // 2, 0), animate=False)
        self.go(place)

    def _set_columns(self, names: Sequence[str]) -> None:
        if [column.name for column in self.columns] == list(names):
            return
        self.columns = []
        for name in names:
            title = _TITLES.get(name) or safe_text(name.removeprefix("features."), _WIDTH_MAX)
            self.columns.append(Column(name, title, cell_len(title) + 2))
        self.column = min(self.column, max(len(self.columns) - 1, 0))

    def _widen(self, rows: Sequence[Row]) -> None:
        """Columns grow to what they hold and never shrink: nothing moves to and fro."""
        grown = False
        for at, column in enumerate(self.columns):
            values = [row[len(KEY) + at] for row in rows]
            widest = max((cell_len(self._text(column, value)) for value in values), default=0)
            widest = min(widest, _WIDTH_MAX)
            grown |= widest > column.width
            column.width = max(column.width, widest)
            numbers = [isinstance(value, int | float) for value in values if value is not None]
            column.right = column.name != "occurred_at" and bool(numbers) and all(numbers)
        if grown:
            self._resized()

    def _text(self, column: Column, value: object) -> str:
        text = cell(column.name, value, _WIDTH_MAX)
        # The crumbs say the year, where it is the same everywhere.
        return text[5:] if column.name == "occurred_at" and self.one_year else text

    def _resized(self) -> None:
        width = _GUTTER + sum(column.width + _GAP for column in self.columns)
        self.virtual_size = Size(width, self.total + 1)

    def on_resize(self, event: Resize) -> None:
        """Read what has come into sight."""
        self._into_sight()
        self._need()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The cursor stays in sight, and what comes into sight is read."""
        super().watch_scroll_y(old_value, new_value)
        top = self.scroll_offset.y
        if self.total and not top <= self.cursor < top + self.in_sight:
            self.cursor = max(top, min(self.cursor, top + self.in_sight - 1, self.total - 1))
        self._need()

    def watch_cursor(self, before: int, now: int) -> None:
        """Scroll to the cursor and draw what changed."""
        self._into_sight()
        self.refresh_lines(before + 1)
        self.refresh_lines(now + 1)
        self._tell()

    def watch_column(self, _before: int, _now: int) -> None:
        """Scroll the column under the cursor into sight."""
        left = _GUTTER + sum(column.width + _GAP for column in self.columns[: self.column])
        right = left + (self.columns[self.column].width if self.columns else 0)
        x = self.scroll_offset.x
        if self.column == 0:
            self.scroll_to(x=0, animate=False)
        elif left < x + _GUTTER:
            self.scroll_to(x=left - _GUTTER, animate=False)
        elif right > x + self._room:
            self.scroll_to(x=right - self._room, animate=False)
        self.refresh()

    def _into_sight(self) -> None:
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self.in_sight:
            self.scroll_to(y=self.cursor - self.in_sight + 1, animate=False)

    def _tell(self) -> None:
        row = self.row
        if row is not None:
            self.post_message(self.Moved(row, self.cursor))

    def _need(self) -> None:
        """Ask for rows in sight and around, unless they are there or on their way."""
        pages = self._pages
        if pages is None or self._fetching or not self.is_attached:
            return
        top, total = self.scroll_offset.y, self.total
        near = AHEAD // 2
        low, high = max(top - near, 0), min(top + self.in_sight + near, total)
        if low >= high or all(at in self._rows for at in range(low, high)):
            return
        first, end = max(top - AHEAD, 0), min(top + self.in_sight + AHEAD, total)
        while first < end and first in self._rows:
            first += 1
        while end > first and end - 1 in self._rows:
            end -= 1
        self._fetching = True
        work = partial(self._fetch, pages, first, end - first)
        self.run_worker(work, thread=True, group="rows", exit_on_error=False)

    def _fetch(self, pages: Pages, first: int, count: int) -> None:
        try:
            rows = pages.rows(first, count)
            if self.ahead is not None:
                self.ahead(rows)
        except Cancelled:
            self.post_message(self._Arrived(None, first, []))
        except ForensicsError as error:
            self.post_message(self.Failed(error))
        else:
            self.post_message(self._Arrived(pages, first, rows))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Nothing fails unsaid."""
        self.app.report(event)

    def on_window_table__arrived(self, message: _Arrived) -> None:
        """Show rows that were asked for, if they are still wanted."""
        message.stop()
        self._fetching = False
        if message.pages is self._pages and message.rows:
            if len(self._rows) > _ROWS_KEPT:
                top = self.scroll_offset.y
                near = range(top - 2 * AHEAD, top + self.in_sight + 2 * AHEAD)
                self._rows = {at: self._rows[at] for at in near if at in self._rows}
            had = self.row
            self._rows.update(enumerate(message.rows, message.first))
            self._widen(message.rows)
            self.refresh()
            self._do_asked()
            if had is None:
                self._tell()
        if message.rows or message.pages is not self._pages:
            self._need()

    def render_line(self, y: int) -> Strip:
        """One line of the screen: the head, or a row."""
        if y == 0:
            strip = self._head()
        else:
            place = self.scroll_offset.y + y - 1
            strip = self._line(place) if place < self.total else Strip.blank(self.size.width)
        x = self.scroll_offset.x
        return strip.crop_extend(x, x + self.size.width, self._style(""))

    def _fitted(self, text: str, column: Column, left: int) -> str:
        """A cell as wide as its column; one that the right edge cuts shows that it is."""
        room = self.scroll_offset.x + self._room - left
        if 0 < room < column.width:
            return fitted(fitted(text, room), column.width)
        return fitted(text, column.width, right=column.right)

    def _head(self) -> Strip:
        style = self._style("head")
        name, descending = self.sorted_by
        segments, left = [Segment(" " * _GUTTER, style)], _GUTTER
        for at, column in enumerate(self.columns):
            arrow = ("▼" if descending else "▲") if column.name == name else ""
            title = column.title + (f" {arrow}" if arrow else "")
            text = self._fitted(title, column, left)
            left += column.width + _GAP
            here = style + Style(underline=True) if at == self.column else style
            segments += [Segment(text, here), Segment(" " * _GAP, style)]
        return Strip(segments).simplify()

    def _line(self, place: int) -> Strip:
        base = self._style("")
        row = self._rows.get(place)
        if row is None:
            return Strip([Segment("  ·", self._style("dim"))])
        here = place == self.cursor
        style = self._style("cursor") if here else base
        marked = row[DECISION] in self.marks
        mark_style = self._style("mark") if marked and not here else style
        segments = [
            Segment(">" if here else " ", style),
            Segment("*" if marked else " ", mark_style),
        ]
        left = _GUTTER
        for at, column in enumerate(self.columns):
            text = self._fitted(self._text(column, row[len(KEY) + at]), column, left)
            left += column.width + _GAP
            under = here and at == self.column
            of = self._style("cell") if under else style
            segments += [Segment(text, of), Segment(" " * _GAP, style)]
        return Strip(segments).simplify()

    def _of_row(self, message: Callable[[Row], Message]) -> None:
        """Post what is to be done with the row under the cursor, or once that has come."""
        if self.row is not None:
            self.post_message(message(self.row))
        elif self.total:
            self._asked_of.append((self.cursor, message))
        else:
            self.app.say("There is no row here yet.")

    def _do_asked(self) -> None:
        """Post what was asked of rows that have come now."""
        waiting, self._asked_of = self._asked_of, []
        top = self.scroll_offset.y
        for place, message in waiting:
            row = self._rows.get(place)
            if row is not None:
                self.post_message(message(row))
            elif top - AHEAD <= place < top + self.in_sight + AHEAD:
                self._asked_of.append((place, message))
            else:
                self.app.say("The row of the last key has not come: go back to it.")

    def action_down(self) -> None:
        """Down one row."""
        self.go(self.cursor + 1)

    def action_up(self) -> None:
        """Up one row."""
        self.go(self.cursor - 1)

    def action_left(self) -> None:
        """One column to the left."""
        self.column = max(self.column - 1, 0)

    def action_right(self) -> None:
        """One column to the right."""
        self.column = min(self.column + 1, max(len(self.columns) - 1, 0))

    def action_page_down(self) -> None:
        """Down one page."""
        self.go(self.cursor + self.in_sight)

    def action_page_up(self) -> None:
        """Up one page."""
        self.go(self.cursor - self.in_sight)

    def action_half_down(self) -> None:
        """Down half a page."""
        self.go(self.cursor + self.in_sight // 2)

    def action_half_up(self) -> None:
        """Up half a page."""
        self.go(self.cursor - self.in_sight // 2)

    def action_first(self) -> None:
        """To the first row."""
        self.go(0)

    def action_last(self) -> None:
        """To the last row."""
        self.go(self.total - 1)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        self._of_row(self.Opened)

    def action_sort(self) -> None:
        """Sort by the column under the cursor."""
        if self.columns:
            self.post_message(self.Sort(self.columns[self.column].name))

    def action_by_time(self) -> None:
        """Sort by time."""
        self.post_message(self.Sort(""))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away."""
        self._of_row(self.Marked)

    def action_copy_cell(self) -> None:
        """Copy the cell under the cursor."""
        at, names = self.column, [column.name for column in self.columns]
        self._of_row(lambda row: self.Copied(cell(names[at], row[len(KEY) + at], _COPIED_MAX)))

    def action_copy_row(self) -> None:
        """Copy the row under the cursor, its cells parted by tabs."""
        names = [column.name for column in self.columns]

        def copied(row: Row) -> Message:
            values = zip(names, row[len(KEY) :], strict=True)
            return self.Copied("\t".join(cell(name, v, _COPIED_MAX) for name, v in values))

        self._of_row(copied)

    def on_click(self, event: Click) -> None:
        """Put the cursor where it was clicked; twice opens, and on the head sorts."""
        x = event.x + self.scroll_offset.x - _GUTTER
        for at, column in enumerate(self.columns):
            if x < column.width + _GAP:
                self.column = at
                break
            x -= column.width + _GAP
        if event.y == 0:
            self.action_sort()
            return
        place = self.scroll_offset.y + event.y - 1
        if place < self.total:
            self.go(place)
            if event.chain == 2:
                self.action_open()
