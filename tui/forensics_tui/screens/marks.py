"""The decisions that are marked."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from forensics.lake.window import POINT, REQUEST, TIME, Row
from forensics.records.safe_text import safe_text
from forensics_tui.inert import time_words
from forensics_tui.keys import Key, bindings
from forensics_tui.screens.choices import Choices

KEYS = (
    Key("marks-unmark", "m,delete", "unmark", "take the mark away"),
    Key("marks-none", "U", "unmark_all", "take all marks away"),
    Key("marks-back", "M,q", "back", "back"),
)
_ID_MAX = 48


class MarksScreen(Choices[Row]):
    """Marks in the order of time; the answer is a decision to open, if any.

    Args:
        marks: rows by their decisions' ids, which this takes marks from.
    """

    BINDINGS = bindings(KEYS)

    def __init__(self, marks: dict[str, Row]) -> None:
        super().__init__()
        self._marks = marks
        self._rows: list[tuple[str, Row]] = []

    def compose(self) -> ComposeResult:
        """The marks, and what can be done."""
        with Vertical(classes="box"):
            yield Static(Content("marks"), classes="box-title")
            yield OptionList(id="marks", compact=True)
            yield Static(
                Content("enter opens · m takes the mark away · U all of them · esc goes back")
            )

    def on_mount(self) -> None:
        """Show them all."""
        self._fill(0)
        self.set_focus(self.query_one(OptionList))

    def _fill(self, at: int) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        self._rows = sorted(self._marks.items(), key=lambda item: item[1][TIME])
        options.add_options(Option(_named(row)) for _, row in self._rows)
        if self._rows:
            options.highlighted = min(at, len(self._rows) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open it."""
        event.stop()
        self.dismiss(self._rows[event.option_index][1])

    def action_unmark(self) -> None:
        """Take away the mark under the cursor."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            del self._marks[self._rows[at][0]]
            self._fill(at)

    def action_unmark_all(self) -> None:
        """Take all marks away, and leave."""
        self._marks.clear()
        self.dismiss(None)


def _named(row: Row) -> Content:
    point, request = (safe_text(row[at], _ID_MAX) for at in (POINT, REQUEST))
    return Content(f"{time_words(row[TIME])}  {point}  {request}")
