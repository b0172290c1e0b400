"""What one does with rows, however many there are: go to one of them, write them to a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from textual.message import Message

from forensics.errors import ForensicsError
from forensics.lake.scan import Found
from forensics.lake.window import TIME, Cancelled, Reader, View
from forensics.records.plural import count_of
from forensics_tui.among import at_or_after, next_mark
from forensics_tui.inert import said, time_words
from forensics_tui.opening import Opened
from forensics_tui.screens.place import Place
from forensics_tui.widgets.histogram import Histogram
from forensics_tui.widgets.table import WindowTable

_TELL_EVERY_S = 0.2
_RESULT_S = 10.0


class HasRows(Place):
    """A place with rows of a view, as far as they have been found.

    Args:
        opened: the lake.
        id: of the place.
    """

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(opened, id=id)
        #: What is shown, and its rows.
        self._shown = opened.view
        self._found: Found | None = opened.found
        #: Asks for rows that are not there yet.
        self._looking: Reader | None = None

    @property
    def table(self) -> WindowTable:
        """The rows."""
        return self.query_one(WindowTable)


class GoesThroughRows(HasRows):
    """Goes to a time, from change to change and from mark to mark."""

    #: The change that one went to last, and the place of the row that one came to.
    _at_change: tuple[int, int] | None = None

    def go_to(self, time_us: int) -> None:
        """Put the cursor on the earliest row at a time or later; where there is none, say so."""
        view, is_late = self._shown, False

        def place(found: Found) -> int | None:
            nonlocal is_late
            at = at_or_after(found.pages, view, time_us) if found.pages.total else None
            is_late = at is not None and any(row[TIME] < time_us for row in found.pages.rows(at, 1))
            return at

        def go(at: int) -> None:
            self.table.jump(at)
            if is_late:
                self.app.say(f"No row is as late as {time_words(time_us)}: this is the last.")

        if self._is_in_time():
            self._seek(place, go)

    def _is_in_time(self) -> bool:
        if self._found is not None and self._shown.in_time:
            return True
        self.app.say("Rows are not in order of time: T sorts by time again.")
        return False

    def _seek(
        self, place: Callable[[Found], int | None], then: Callable[[int], None], word: str = ""
    ) -> None:
        """Find a place among the rows in a thread, and go there; where there is none, say so."""
        if self._found is not None:
            work = partial(self._find_place, self._found, place, then, word)
            self.run_worker(work, thread=True, group="place", exclusive=True, exit_on_error=False)

    def _find_place(
        self,
        found: Found,
        wanted: Callable[[Found], int | None],
        then: Callable[[int], None],
        word: str,
    ) -> None:
        try:
            place = wanted(found)
        except (Cancelled, ForensicsError):
            return
        if found is self._found:
            if place is not None:
                self.app.call_from_thread(then, place)
            elif word:
                self.app.call_from_thread(self.app.say, word)

    def action_change(self, step: int) -> None:
        """To the first row after the next change on the axis, or after the one before."""
        histogram, row = self.query_one(Histogram), self.table.row
        if row is None or histogram.rates is None or not self._is_in_time():
            return
        here = row[TIME]
        if self._at_change is not None and self._at_change[1] == self.table.cursor:
            here = self._at_change[0]
        first, end = histogram.rates.first_us, histogram.rates.end_us
        times = {
            one.occurred_us: one for one in histogram.changes if first <= one.occurred_us < end
        }
        beyond = [us for us in times if (us > here if step > 0 else us < here)]
        if not beyond:
            which = "later" if step > 0 else "earlier"
            self.app.say(f"There is no {which} change in this window.")
            return
        time_us = min(beyond) if step > 0 else max(beyond)
        view = self._shown

        def go(place: int) -> None:
            self.table.jump(place)
            self._at_change = time_us, self.table.cursor
            self.app.say(f"▲ {time_words(time_us)} {times[time_us].words}")

        self._seek(lambda found: at_or_after(found.pages, view, time_us), go)

    def action_mark_step(self, step: int) -> None:
        """Down to the next marked row, or up."""
        row, place, view = self.table.row, self.table.cursor, self._shown
        marks = list(self.app.marks.values())
        if row is None or not marks:
            self.app.say("Nothing is marked: m marks." if not marks else "")
            return
        self._seek(
            lambda found: next_mark(found.pages, view, marks, row, place, step),
            self.table.jump,
            f"There is no further mark {'below' if step > 0 else 'above'}, among these rows.",
        )


class WritesRows(HasRows):
    """Writes the rows to a file, beside everything else."""

    #: The share that is written; None where nothing is.
    _writing: float | None = None

    @dataclass
    class _Written(Message):
        """Rows are on their way to a file: the share, at the end how many, or what is wrong."""

        path: Path
        share: float
        count: int | None = None
        error: ForensicsError | None = None

    def _tell(self) -> None:
        """Say how far it is."""
        raise NotImplementedError

    async def action_export(self) -> None:
        """Ask for a file, and write the rows to it."""
        from forensics.lake.export import SUFFIXES
        from forensics_tui.screens.prompt import FilePrompt

        found = self._found
        if found is None or self._looking is not None or found.done < 1:
            self.app.say("The rows have not all been found yet.")
        elif self._writing is not None:
            self.app.say("Rows are being written already.")
        else:
            count = _rows_words(found.pages.total)
            if found.pages.total < found.matches:
                count = f"the first {found.pages.total:,} of {count_of(found.matches, 'row')}"
            title = f"write {count}, the columns that are shown, to"
            await self.app.push_screen(
                FilePrompt(title, Path("decisions.csv"), SUFFIXES), partial(self._write, found)
            )

    def _write(self, found: Found, path: Path | None) -> None:
        if path is None:
            return
        self._writing = 0.0
        work = partial(self._write_rows, self._opened.reader.another(), self._shown, found, path)
        self.run_worker(work, thread=True, group="write", exit_on_error=False)
        self._tell()

    def _write_rows(self, reader: Reader, view: View, found: Found, path: Path) -> None:
        from forensics_tui.rows_file import write

        told = 0.0

        def tell(share: float) -> bool:
            nonlocal told
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self.post_message(self._Written(path, share))
            return self._writing is not None

        try:
            count = write(reader, view, found.pages, path, tell)
        except Cancelled:
            count = None
        except ForensicsError as error:
            self.post_message(self._Written(path, 1.0, error=error))
            return
        self.post_message(self._Written(path, 1.0, count))

    def on_writes_rows__written(self, message: _Written) -> None:
        """Say how far it is, and what has become of it."""
        if message.error is not None:
            self._writing = None
            self.app.say(said(message.error), _RESULT_S)
        elif message.share >= 1:
            self._writing = None
            if message.count is not None:
                self.app.say(f"{_rows_words(message.count)} in {message.path}", _RESULT_S)
        elif self._writing is not None:
            self._writing = message.share
        self._tell()

    def stop_writing(self) -> None:
        """End it, which leaves no file."""
        self._writing = None
        self.app.say("ended: no file was written", _RESULT_S)
        self._tell()


def _rows_words(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"
