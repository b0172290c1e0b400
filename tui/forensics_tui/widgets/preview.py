"""A postmortem as it reads: Markdown laid out, with what is to be told of each fenced block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from forensics.report.spans import Line
from forensics_tui.markdown_lines import Laid
from forensics_tui.widgets.lines import Lines


class Preview(Lines):
    """Lines that know the line of the source that each comes from."""

    @dataclass
    class Picked(Message):
        """A line was clicked; ``source`` is the number of its line in the source."""

        source: int

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._make: Callable[[int], list[Laid]] | None = None
        self._sources: list[int] = []

    def show(self, make: Callable[[int], list[Laid]]) -> None:
        """Show newer text, from where one has scrolled to."""
        self._make = make
        self.update(self._laid)

    def _laid(self, width: int) -> list[Line]:
        laid = self._make(width) if self._make is not None else []
        self._sources = [one.source for one in laid]
        return [one.line for one in laid]

    def scroll_to_source(self, source: int) -> None:
        """Bring what a line of the source became onto the screen, if it is not there."""
        at = max(bisect_right(self._sources, source) - 1, 0)
        while at and self._sources[at - 1] == self._sources[at]:
            at -= 1
        top, height = self.scroll_offset.y, self.size.height
        if not top <= at < top + max(height - 3, 1):
            self.scroll_to(y=max(at - height // 3, 0), animate=False)

    def on_click(self, event: Click) -> None:
        """Tell what was clicked."""
        at = self.scroll_offset.y + event.y
        if at < len(self._sources):
            self.post_message(self.Picked(self._sources[at]))
