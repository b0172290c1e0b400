"""One line of tabs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget


class TabBar(Widget):
    """Names of tabs, of which one is shown; narrow terminals see those around it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tabs--here", "tabs--other"}
    active: reactive[int] = reactive(0)

    @dataclass
    class Picked(Message):
        """A tab was clicked."""

        number: int

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(id="tabs")
        self._names = names

    def render_line(self, y: int) -> Strip:
        """The line."""
        segments, here = [], 0
        for at, name in enumerate(self._names):
            style = "tabs--here" if at == self.active else "tabs--other"
            text = f"[{name}]" if at == self.active else f" {name} "
            segments.append(Segment(text, self.get_component_rich_style(style)))
            if at <= self.active:
                here += len(text)
        left = max(0, here - self.size.width)
        return Strip(segments).simplify().crop_extend(left, left + self.size.width, self.rich_style)

    def on_click(self, event: Click) -> None:
        """Tell which tab was clicked."""
        x = event.x
        for at, name in enumerate(self._names):
            if x < len(name) + 2:
                self.post_message(self.Picked(at))
                return
            x -= len(name) + 2
