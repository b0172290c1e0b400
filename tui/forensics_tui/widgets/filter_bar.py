"""The filter bar: a condition that is checked while it is typed, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.timer import Timer
from textual.widgets import Input, Static

from forensics.records.safe_text import safe_text
from forensics_tui.keys import Key, bindings

#: How long nobody has to have typed before a condition is tried.
_PAUSE_S = 0.25
_WORD = re.compile(r"[A-Za-z_][\w.]*$")

INPUT = (
    Key("filter-done", "escape,enter,down", "done", "back to the rows"),
    Key("filter-complete", "tab", "complete", "take the name that is offered"),
)


class Names(Suggester):
    """Offers the names of fields and features for the word that is being typed."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.names = names

    async def get_suggestion(self, value: str) -> str | None:
        """The value with its last word completed, None where nothing begins so."""
        found = _WORD.search(value)
        if found is None or value.count("'") % 2:
            return None
        word = found[0].casefold()
        for name in self.names:
            if name.casefold().startswith(word) and len(name) > len(word):
                return value[: found.start()] + found[0] + name[len(word) :]
        return None


class ConditionInput(Input):
    """One line of SQL."""

    BINDINGS = bindings(INPUT)

    async def action_done(self) -> None:
        """Try the condition now, and back to the rows."""
        await self.action_submit()
        self.screen.set_focus(self.screen.query_one("#table"))

    def action_complete(self) -> None:
        """Take what is offered."""
        self.action_cursor_right()


class FilterBar(Vertical):
    """A condition, how many rows it matches, and under it what is wrong with it."""

    @dataclass
    class Changed(Message):
        """Another condition is to be tried; None for all rows."""

        where: str | None

    def __init__(self, names: Sequence[str], where: str | None = None) -> None:
        super().__init__(id="filter")
        self._suggester = Names(_offered(names))
        self._tried = where or ""
        self._timer: Timer | None = None
        self._count = ""
        self._room = 0

    def compose(self) -> ComposeResult:
        """The line and the error under it."""
        with Horizontal(id="filter-line"):
            yield Static("filter", id="filter-label", markup=False)
            yield ConditionInput(
                self._tried,
                placeholder="/ for a condition over fields and features, as score > 0.6",
                suggester=self._suggester,
                compact=True,
                id="condition",
            )
            yield Static("", id="filter-count", markup=False)
        yield Static("", id="filter-error", markup=False)

    @property
    def text(self) -> str:
        """The condition as it stands."""
        return self.query_one(ConditionInput).value

    def say(self, count: str) -> None:
        """How many rows there are."""
        text = safe_text(count)
        if text == self._count:
            return
        # A new layout of the screen is only worth what cannot be said in the room there is.
        grows = cell_len(text) > self._room
        self._count, self._room = text, max(self._room, cell_len(text))
        line = self.query_one("#filter-count", Static)
        line.update(Content(text.rjust(self._room)), layout=grows)

    def complain(self, error: str) -> None:
        """What is wrong with the condition; nothing where empty."""
        line = self.query_one("#filter-error", Static)
        if error or line.display:
            line.update(Content(safe_text(error)))
            line.display = bool(error)

    def clear(self) -> None:
        """Take the condition away."""
        self.query_one(ConditionInput).value = ""

    def on_input_changed(self, event: Input.Changed) -> None:
        """Try the condition once nobody types."""
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_PAUSE_S, self._try)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Try it at once."""
        event.stop()
        self._try()

    def _try(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        text = self.text.strip()
        if text != self._tried:
            self._tried = text
            self.post_message(self.Changed(text or None))


def _offered(names: Sequence[str]) -> list[str]:
    plain = [name.removeprefix("features.") for name in names]
    return list(dict.fromkeys([*plain, *names]))
