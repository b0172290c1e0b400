"""The decisions of a window: how a rate moved on top, the rows below, a filter between."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.message import Message

from forensics.errors import ForensicsError
from forensics.lake import scan
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.window import POINT, TIME, Cancelled, Reader, Row, View
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics_tui.inert import said, time_words
from forensics_tui.kept import Kept
from forensics_tui.keys import ANYWHERE, DECISIONS, GO, TABLE, Key, bindings
from forensics_tui.looked import saw, saw_further
from forensics_tui.opening import AHEAD, Opened, first_columns
from forensics_tui.pacing import now_and_then
from forensics_tui.screens.rows import GoesThroughRows, WritesRows
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.filter_bar import FilterBar
from forensics_tui.widgets.histogram import Histogram
from forensics_tui.widgets.table import WindowTable

if TYPE_CHECKING:
    from forensics.incident.pins import Pinnable

_FOLLOW_EVERY_S = 2.0
_ZOOM_LEAST_US = 1_000_000


class DecisionsScreen(GoesThroughRows, WritesRows):
    """A window's decisions."""

    TITLE = "Decisions"
    KEYS: ClassVar[tuple[Key, ...]] = (*TABLE, *DECISIONS, *GO, *ANYWHERE)
    BINDINGS = bindings((*DECISIONS, *GO))

    @dataclass
    class _Looked(Message):
        """Rows were found; ``number`` is that of the look."""

        number: int
        view: View
        found: scan.Found
        rows: list[Row]
        place: int

    @dataclass
    class _Counted(Message):
        """Outcomes were counted, those of ``of``."""

        of: _Rated
        rates: scan.Rates
        changes: list[scan.Announced]

    @dataclass
    class _Failed(Message):
        number: int
        error: ForensicsError

    @dataclass
    class _Landed(Message):
        """The lake has other files than it had."""

        reader: Reader

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened, id="decisions")
        #: What is asked for, which may not have been found yet.
        self._view = opened.view
        self._number = 0
        self._counting: Reader | None = None
        self._rated: _Rated | None = None
        self._following = False

    def compose(self) -> ComposeResult:
        """Where one is, rates, filter, rows, keys."""
        yield Crumbs()
        yield Histogram()
        yield FilterBar(self._opened.names(), self._view.where)
        yield WindowTable()
        yield Hints((*TABLE[:1], *DECISIONS, *GO, *TABLE[1:], *ANYWHERE))

    def on_mount(self) -> None:
        """Show what is there, and look for the rest."""
        self.set_focus(self.table)
        self.table.marks = self.app.marks
        self.query_one(Histogram).outcome = self._opened.kept.outcome
        first, last = map(from_micros, self._opened.snapshot.window_us() or (0, 0))
        self.table.one_year = first.year == last.year
        found = self._opened.found
        if found is not None:
            self._show(self._view, found, self._opened.rows, 0)
        else:
            self._look(self._view)
        self._tell()
        if self._looking is None:
            self.call_after_refresh(self._count)
        self.set_interval(_FOLLOW_EVERY_S, self._follow)

    def on_screen_resume(self) -> None:
        """Marks may have been made elsewhere, and outcomes counted while this was not seen."""
        self.table.refresh()
        self.query_one(Histogram).refresh()
        self._count()  # a screen that is covered at once may not have come to it
        self._tell()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        self._writing = None
        for reader in (self._looking, self._counting):
            if reader is not None:
                reader.cancel()

    @property
    def time_us(self) -> int | None:
        """The time of the row under the cursor."""
        row = self.table.row
        return row[TIME] if row is not None else None

    @property
    def window_us(self) -> tuple[int, int] | None:
        """The window that the rows are limited to."""
        view, all_ = self._shown, self._opened.snapshot.window_us() or (0, 0)
        if view.since_us is None and view.until_us is None:
            return None
        since = view.since_us if view.since_us is not None else all_[0]
        return since, view.until_us if view.until_us is not None else all_[1] + 1

    @property
    def incident_us(self) -> tuple[int, int] | None:
        """The window that the rows are limited to."""
        return self.window_us

    @property
    def incident_point(self) -> str | None:
        """Where the row under the cursor was decided."""
        row = self.table.row
        return str(row[POINT]) if row is not None else self.point

    def pinnables(self) -> list[Pinnable]:
        """The row under the cursor, how many rows there are, and the rate over the window."""
        from forensics_tui.pinnables import of_rows

        histogram, table = self.query_one(Histogram), self.table
        same = self._rated is not None and self._rated.where == self._shown.where
        rates = histogram.rates if same else None
        return of_rows(table.row, self._shown, self._found, rates, histogram.shown)

    def marks_changed(self) -> None:
        """Draw the signs of marks anew."""
        self.table.refresh()
        self._tell()

    def remember(self) -> Kept:
        """Where one is, for the next session."""
        view, points = self._view, list(self._view.points)
        return Kept(
            since_us=view.since_us,
            until_us=view.until_us,
            where=view.where,
            order=view.order,
            descending=view.descending,
            columns=view.columns if view.columns != first_columns(points) else (),
            outcome=self.query_one(Histogram).outcome,
        )

    @property
    def view(self) -> View:
        """What is looked at, which may not have been found yet."""
        return self._view

    @property
    def bar(self) -> FilterBar:
        """The filter."""
        return self.query_one(FilterBar)

    def _look(self, view: View, place_us: int | None = None) -> None:
        """Look for the rows of a view; what was looked for before is no longer."""
        self._stop()
        self._number += 1
        self._view = view
        self._looking = self._opened.reader.another()
        self.bar.complain("")
        work = partial(self._search, self._looking, self._number, view, place_us)
        self.run_worker(work, thread=True, group="look", exit_on_error=False)
        self._tell()

    def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _search(self, reader: Reader, number: int, view: View, place_us: int | None) -> None:
        seen: tuple[int, list[Row]] | None = None
        try:
            for found in now_and_then(scan.look(reader, view)):
                place = found.pages.place(place_us) if place_us is not None else 0
                place = min(place or 0, max(found.pages.total - 1, 0))
                rows = found.pages.rows(max(place - AHEAD, 0), min(place, AHEAD) + AHEAD)
                if rows and (seen is None or (found.done >= 1 and seen != (found.matches, rows))):
                    saw(reader, view, found, rows)
                    seen = found.matches, rows
                self.post_message(self._Looked(number, view, found, rows, place))
        except Cancelled:
            return
        except ForensicsError as error:
            self.post_message(self._Failed(number, error))

    def on_decisions_screen__looked(self, message: _Looked) -> None:
        """Show what was found so far."""
        if message.number != self._number:
            return
        found = message.found
        if found.done >= 1:
            self._looking = None
            self.call_after_refresh(self._count)
        if self._shown is message.view and self.table.total and found.done < 1:
            self._found = found
            self.table.grow(found.pages)
        elif found.pages.total or found.done >= 1:
            at = self.table.cursor if self._shown is message.view else message.place
            whole = self._shown is message.view and self.table.total > 0
            if whole and found.done >= 1 and at > 0:
                self._found = found
                self.table.grow(found.pages)
            else:
                self._show(message.view, found, message.rows, message.place)
        else:
            self._found = found
        self._tell()

    def _show(self, view: View, found: scan.Found, rows: list[Row], place: int) -> None:
        self._shown, self._found = view, found
        self.table.sorted_by = view.order, view.descending
        self.table.ahead = partial(saw_further, self._opened.snapshot.root, view)
        self.table.show(found.pages, view.columns, rows, place)

    def on_decisions_screen__failed(self, message: _Failed) -> None:
        """Say what is wrong in its place; the rows stay."""
        if message.number == self._number:
            self._looking = None
            self.bar.complain(said(message.error))
            self._tell()

    def on_window_table_failed(self, message: WindowTable.Failed) -> None:
        """Say that rows cannot be read."""
        self.bar.complain(said(message.error))

    def _tell(self) -> None:
        """Everything that is said around the rows."""
        app, found = self.app, self._found
        view, window = self._view, self._opened.snapshot.window_us() or (0, 0)
        all_rows = sum(
            self._opened.snapshot.tables[f"decisions/{point}"].rows for point in view.points
        )
        since = from_micros(view.since_us if view.since_us is not None else window[0])
        until = from_micros(view.until_us if view.until_us is not None else window[1])
        part = view.since_us is not None or view.until_us is not None
        form = "%Y-%m-%d %H:%M" if part else "%Y-%m-%d"
        span = f"{since:{form}} to {until:{form}} · "
        state = " · following" if self._following else ""
        marks = f" · {len(app.marks)} marked" if app.marks else ""
        count = f"{'of ' if part else ''}{count_of(all_rows, 'decision')}"
        self.tell(f"{span}{count}{marks}{state}", f"{count}{marks}{state}")
        words = ""
        if found is not None:
            place = self.table.cursor + 1 if self.table.total else 0
            if found.pages.total < found.matches and found.done >= 1:
                words = f"{place:,} of the first {found.pages.total:,} of {found.matches:,}"
            else:
                words = f"{place:,} of {found.matches:,}"
        if self._writing is not None:
            words = f"writing {self._writing:.0%}, esc ends"
        elif self._looking is not None:
            done = found.done if found is not None and found.done < 1 else 0.0
            words += f" · {done:.0%}, esc ends"
        elif found is not None and found.done < 1:
            words += f" · ended at {found.done:.0%}"
        self.bar.say(words)

    def _count(self) -> None:
        """Count the outcomes of the rows, beside everything else."""
        wanted = _Rated.by(self._shown, self._opened.snapshot)
        if wanted == self._rated:
            return
        if self._counting is not None:
            if self._rated is not None and wanted == replace(self._rated, live=wanted.live):
                return  # what has landed meanwhile is counted after it, or it would never end
            self._counting.cancel()
        self._rated = wanted
        reader = self._counting = self._opened.patient.another(self._opened.snapshot)
        work = partial(self._rates, reader, self._shown, wanted)
        self.run_worker(work, thread=True, group="rates", exit_on_error=False)

    def _rates(self, reader: Reader, view: View, of: _Rated) -> None:
        try:
            changes = scan.announced(reader)
            for rates in now_and_then(scan.rates(reader, view)):
                self.post_message(self._Counted(of, rates.copy(), changes))
        except Cancelled:
            return
        except ForensicsError as error:
            self.post_message(self._Failed(self._number, error))

    def on_decisions_screen__counted(self, message: _Counted) -> None:
        """Draw the rates as far as they are counted."""
        if message.of != self._rated:
            return
        histogram = self.query_one(Histogram)
        histogram.changes = message.changes
        histogram.update(message.rates, "of all" if message.of.where is None else "of the matches")
        if message.rates.done >= 1:
            self._counting = None
            self._count()

    def on_window_table_moved(self, message: WindowTable.Moved) -> None:
        """The histogram shows where one is."""
        self.query_one(Histogram).point_at(message.row[TIME])
        self._tell()

    async def on_window_table_opened(self, message: WindowTable.Opened) -> None:
        """Open a decision."""
        await self.app.open_decision(message.row)

    def on_window_table_sort(self, message: WindowTable.Sort) -> None:
        """Sort by a column; the same again, the other way round."""
        name = message.name or "occurred_at"
        view = self._view
        descending = not view.descending if name == view.order and message.name else True
        self._look(replace(view, order=name, descending=descending))

    def on_window_table_marked(self, message: WindowTable.Marked) -> None:
        """Mark a row, or take its mark away."""
        self.app.mark(message.row)
        self.table.refresh()
        self._tell()

    def on_window_table_copied(self, message: WindowTable.Copied) -> None:
        """Copy what is under the cursor."""
        self.app.copy(message.text)

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Try another condition."""
        row = self.table.row if message.where is None else None
        self._look(replace(self._view, where=message.where), row[TIME] if row else None)

    def on_histogram_picked(self, message: Histogram.Picked) -> None:
        """Go to a time that was clicked on."""
        self.go_to(message.time_us)

    def action_filter(self) -> None:
        """Write a condition."""
        self.set_focus(self.bar.query_one("#condition"))

    async def action_jump(self) -> None:
        """Ask for a time, and go there."""
        from forensics_tui.screens.prompt import TimePrompt

        row = self.table.row
        near = row[TIME] if row is not None else (self._opened.snapshot.window_us() or (0, 0))[1]
        await self.app.push_screen(TimePrompt(near), self._jumped)

    def _jumped(self, time_us: int | None) -> None:
        if time_us is not None:
            self.go_to(time_us)

    async def action_columns(self) -> None:
        """Choose columns."""
        from forensics_tui.screens.columns import ColumnPicker

        picker = ColumnPicker(self._opened.names(), self._view.columns)
        await self.app.push_screen(picker, self._columns_chosen)

    def _columns_chosen(self, names: tuple[str, ...] | None) -> None:
        if names:
            row = self.table.row
            self._look(replace(self._view, columns=names), row[TIME] if row else None)

    def action_outcome(self) -> None:
        """Show the rate of the next outcome."""
        self.query_one(Histogram).next_outcome()

    def action_zoom(self, factor: float) -> None:
        """A window of another width around the row one looks at; the first one again where 0."""
        whole = self._opened.snapshot.window_us()
        row, view, asked = self.table.row, self._view, self._opened.asked
        if whole is None or (row is None and factor):
            return
        since = view.since_us if view.since_us is not None else whole[0]
        until = view.until_us if view.until_us is not None else whole[1] + 1
        low: int | None = asked.since_us
        high: int | None = asked.until_us
        if factor and row is not None:
            width = max(int((until - since) * factor), _ZOOM_LEAST_US)
            at = row[TIME]
            # The row keeps its place within the window, so that nothing seems to jump.
            before = int((at - since) * width / max(until - since, 1))
            since, until = at - before, at - before + width
            least = whole[0] if low is None else low
            most = whole[1] + 1 if high is None else high
            low = since if since > least else low
            high = until if until < most else high
        self._look(replace(view, since_us=low, until_us=high), row[TIME] if row else None)

    def action_follow(self) -> None:
        """Show decisions as they land, or no longer."""
        self._following = not self._following
        if self._following:
            self._look(replace(self._view, order="occurred_at", descending=True))
        self._tell()

    def _follow(self) -> None:
        if self._following and self._looking is None:
            self.run_worker(self._newer, thread=True, group="follow", exit_on_error=False)

    def _newer(self) -> None:
        try:
            snapshot = take(self._opened.asked.root)
        except ForensicsError as error:
            self.post_message(self._Failed(self._number, error))
            return
        if snapshot.live != self._opened.snapshot.live:
            self.post_message(self._Landed(self._opened.reader.another(snapshot)))

    def on_decisions_screen__landed(self, message: _Landed) -> None:
        """Show the newest decisions."""
        self._opened.reader = message.reader
        self._look(self._view)

    def action_copy_command(self) -> None:
        """Copy the command that gives these rows."""
        view, words = self._view, ["forensics", "find", "--lake", str(self._opened.asked.root)]
        if self._opened.asked.point is not None:
            words += ["--point", self._opened.asked.point]
        for option, us in (("--since", view.since_us), ("--until", view.until_us)):
            if us is not None:
                words += [option, time_words(us).replace(" ", "T") + "Z"]
        if view.where is not None:
            words += ["--where", view.where]
        self.app.copy(safe_text(shlex.join(words)))

    def action_back(self) -> None:
        """End what is running; else take the filter away; else go back."""
        if self._writing is not None:
            self.stop_writing()
        elif self._looking is not None:
            self._stop()
            self._view = self._shown
            self._tell()
        elif self._view.where is not None or self.bar.text:
            self.bar.complain("")
            self.bar.clear()
        else:
            self.app.back()


@dataclass(frozen=True, slots=True)
class _Rated:
    """Whose outcomes are counted, and in which files."""

    points: tuple[str, ...]
    where: str | None
    since_us: int | None
    until_us: int | None
    live: object

    @classmethod
    def by(cls, view: View, snapshot: Snapshot) -> _Rated:
        """Those of a view's rows."""
        return cls(view.points, view.where, view.since_us, view.until_us, snapshot.live)
