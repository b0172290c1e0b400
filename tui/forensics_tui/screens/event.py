"""One event of the timeline: what it changed, who did it, and the rates before and after."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult

from forensics.incident.pins import Pinnable
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics_tui import going
from forensics_tui.events import Event, node_of, page
from forensics_tui.inert import time_words
from forensics_tui.keys import ANYWHERE, EVENT, GO, LINES, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.screens.place import Place
from forensics_tui.screens.timeline import TimelineScreen
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.lines import Lines


class EventScreen(Place):
    """All that is known of an event.

    Args:
        opened: the lake.
        timeline: where it was opened.
        event: which.
        outcome: whose rate it may have moved.
    """

    TITLE = "Event"
    KEYS: ClassVar[tuple[Key, ...]] = (*EVENT, *GO, *LINES, *ANYWHERE)
    BINDINGS = bindings((*EVENT, *GO))

    def __init__(
        self, opened: Opened, timeline: TimelineScreen, event: Event, outcome: str
    ) -> None:
        super().__init__(opened, id="event")
        self._timeline = timeline
        self._event = event
        self._outcome = outcome

    def compose(self) -> ComposeResult:
        """Where one is, what is known, keys."""
        yield Crumbs()
        yield Lines(partial(page, self._event, self._outcome))
        yield Hints(self.KEYS)

    def on_mount(self) -> None:
        """Show it."""
        self.set_focus(self.query_one(Lines))
        self.tell(f"{time_words(self._event.at_us)} UTC")

    def on_screen_resume(self) -> None:
        """Crumbs may have changed."""
        self.tell(f"{time_words(self._event.at_us)} UTC")

    @property
    def crumb(self) -> str:
        """The time of the event."""
        return f"{from_micros(self._event.at_us):%m-%d %H:%M:%S}"

    @property
    def time_us(self) -> int | None:
        """When it happened."""
        return self._event.at_us

    @property
    def point(self) -> str | None:
        """The decision point whose rate is shown."""
        return self._timeline.point

    @property
    def window_us(self) -> tuple[int, int] | None:
        """What was in sight on the timeline."""
        return self._timeline.window_us

    @property
    def node(self) -> str | None:
        """The run that it tells of, as lineage names it."""
        return node_of(self._event)

    def pinnables(self) -> list[Pinnable]:
        """What can be pinned of it."""
        return self._timeline.pinnables_of(self._event)

    def action_decisions(self) -> None:
        """The decisions at its time."""
        timeline = self._timeline
        points = (timeline.point,) if timeline.point else self._opened.view.points
        period = timeline.period.showing(self._event.at_us)
        going.to_decisions(self, self._opened, points, period, self._event.at_us)

    def action_copy_event(self) -> None:
        """Copy it in words."""
        words = f"{time_words(self._event.at_us)} UTC {self._event.words} {self._event.right}"
        self.app.copy(safe_text(words.rstrip()))

    def action_copy_command(self) -> None:
        """Copy the command that tells of it."""
        pins = self.pinnables()
        if pins:
            self.app.copy(safe_text(pins[0].question.line(self._opened.asked.root)))
        else:
            self._timeline.action_copy_command()
