"""Events in the order of time, one a line, with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics_tui.events import Event
from forensics_tui.inert import fitted

_RIGHT_LEAST = 70
_STYLES = ("bold", "dim", "good", "bad", "warn", "accent")


class EventList(ScrollView):
    """Lines of events; where there is none, why."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"events--{style}" for style in _STYLES),
    }

    @dataclass
    class Picked(Message):
        """An event was clicked; ``again`` where the cursor was on it already."""

        at: int
        again: bool

    def __init__(self) -> None:
        super().__init__(id="events")
        self.can_focus = False
        self.events: Sequence[Event] = ()
        self.cursor = 0
        self._nothing = ""
        self._looked: dict[str, RichStyle] = {}

    def notify_style_update(self) -> None:
        """Forget what the style sheet said."""
        self._looked = {}
        super().notify_style_update()

    def show(self, events: Sequence[Event], cursor: int, nothing: str) -> None:
        """Show events, the cursor on one of them; ``nothing`` is said where there is none."""
        self.events, self._nothing = events, safe_text(nothing)
        self.cursor = max(0, min(cursor, len(events) - 1))
        self.virtual_size = Size(self.size.width, max(len(events), 1))
        self._into_sight()
        self.call_after_refresh(self._into_sight)  # where there was no room yet
        self.refresh()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._into_sight()

    def _into_sight(self) -> None:
        room, top = max(self.size.height, 1), self.scroll_offset.y
        near = min(2, (room - 1) // 2)
        if self.cursor < top + near or self.cursor > top + room - 1 - near:
            self.scroll_to(y=max(self.cursor - room // 2, 0), animate=False)

    def on_click(self, event: Click) -> None:
        """Tell which event was clicked."""
        offset = event.get_content_offset(self)
        at = self.scroll_offset.y + offset.y if offset is not None else -1
        if 0 <= at < len(self.events):
            self.post_message(self.Picked(at, at == self.cursor))

    def render_line(self, y: int) -> Strip:
        """One event."""
        # Beside the bar that tells where one is, whether it is there or not.
        width, at = max(self.size.width - 1, 1), self.scroll_offset.y + y
        base = self.rich_style
        if not self.events:
            words = fitted(self._nothing, width) if y == 0 else ""
            return Strip([Segment(words, base + self._style("dim"))]).crop_extend(0, width, base)
        if at >= len(self.events):
            return Strip.blank(width, base)
        event, here = self.events[at], at == self.cursor
        time = from_micros(event.at_us)
        when = f"{time:%m-%d %H:%M:%S}" if width < 110 else f"{time:%Y-%m-%d %H:%M:%S}"
        right = event.right if width >= _RIGHT_LEAST else ""
        room = max(width - len(when) - 5 - (cell_len(right) + 2 if right else 0), 1)
        words = fitted(safe_text(event.words, 500), room)
        over = RichStyle(reverse=True) if here else RichStyle.null()
        parts = [
            (">" if here else " ", "bold"), (f"{when} ", "dim"), (f" {event.sign} ", event.style),
            (words, event.style if event.style in ("bad", "warn") else ""),
            (f"  {right}" if right else "", event.style if event.is_jump else "dim"),
        ]  # fmt: skip
        segments = [
            Segment(text, base + (over if here else self._style(style))) for text, style in parts
        ]
        return Strip(segments).simplify().crop_extend(0, width, base + over)

    def _style(self, name: str) -> RichStyle:
        if not name:
            return RichStyle.null()
        if name not in self._looked:
            self._looked[name] = self.get_component_rich_style(f"events--{name}")
        return self._looked[name]
