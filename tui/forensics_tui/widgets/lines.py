"""A report's lines, laid out to the width there is, which one can scroll through."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from forensics.report.spans import Line
from forensics_tui.keys import LINES, bindings

Layout = Callable[[int], list[Line]]
_STYLES = ("bold", "dim", "good", "bad", "warn", "accent")


class Lines(ScrollView, can_focus=True):
    """Lines that a function makes for the width of the screen."""

    BINDINGS = bindings(LINES)
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{style}" for style in _STYLES}

    def __init__(self, layout: Layout | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._layout_lines = layout
        self._lines: list[Line] = []

    def update(self, layout: Layout) -> None:
        """Show newer lines, from where one has scrolled to."""
        self._layout_lines = layout
        self._relay()

    def on_resize(self, event: Resize) -> None:
        """Lay out anew."""
        self._relay()

    @property
    def text(self) -> list[str]:
        """The lines without their styles."""
        return ["".join(part.text for part in line) for line in self._lines]

    def _relay(self) -> None:
        width = self.size.width
        if self._layout_lines is None or width < 1:
            return
        self._lines = self._layout_lines(max(width - 1, 20))
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        at = self.scroll_offset.y + y
        base = self.rich_style
        line = self._lines[at] if at < len(self._lines) else []
        segments = [Segment(part.text, base + self._style(part.style)) for part in line]
        return Strip(segments).simplify().crop_extend(0, self.size.width, base)

    def _style(self, name: str) -> RichStyle:
        if not name:
            return RichStyle.null()
        return self.get_component_rich_style(f"lines--{name}")

    def action_down(self) -> None:
        """Down one line."""
        self.scroll_relative(y=1, animate=False)

    def action_up(self) -> None:
        """Up one line."""
        self.scroll_relative(y=-1, animate=False)

    def action_page_down(self) -> None:
        """Down one page."""
        self.scroll_relative(y=self.size.height - 1, animate=False)

    def action_page_up(self) -> None:
        """Up one page."""
        self.scroll_relative(y=1 - self.size.height, animate=False)

    def action_half_down(self) -> None:
        """Down half a page."""
        self.scroll_relative(y=self.size.height // 2, animate=False)

    def action_half_up(self) -> None:
        """Up half a page."""
        self.scroll_relative(y=-(self.size.height // 2), animate=False)

    def action_first(self) -> None:
        """To the first line."""
        self.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        """To the last line."""
        self.scroll_to(y=self.max_scroll_y, animate=False)
