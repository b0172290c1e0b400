"""Lines with a cursor, each of which stands for something that can be opened, folded or pinned."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from forensics.report.spans import Line
from forensics_tui.keys import OUTLINE, bindings

_GUTTER = 2
_STYLES = ("bold", "dim", "good", "bad", "warn", "accent", "cursor")


class Item(NamedTuple):
    """A line, and what it stands for: None where the cursor passes it by."""

    line: Line
    data: Hashable = None


class Laid(NamedTuple):
    """What an outline shows: lines on top that stay, and items that one scrolls through."""

    head: list[Line]
    items: list[Item]


#: Makes what is shown for a width.
Layout = Callable[[int], Laid]


class Outline(ScrollView, can_focus=True):
    """Items with a cursor; when they are laid out anew it stays on what it stood on."""

    BINDINGS = bindings(OUTLINE)
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"outline--{style}" for style in _STYLES}

    @dataclass
    class Moved(Message):
        """The cursor stands on something else."""

        data: Hashable

    @dataclass
    class Opened(Message):
        """Something is to be opened."""

        data: Hashable

    @dataclass
    class Sideways(Message):
        """A key to the left (-1) or to the right (1)."""

        data: Hashable
        step: int

    @dataclass
    class Clicked(Message):
        """A line was clicked at a column of it."""

        data: Hashable
        x: int

    def __init__(self) -> None:
        super().__init__(id="outline")
        self._layout_items: Layout | None = None
        self._laid = Laid([], [])
        self._cursor = -1
        #: Whether somebody has put the cursor where it is; else it stands on the first item.
        self.is_chosen = False

    @property
    def data(self) -> Hashable:
        """What the cursor stands on; None where there is nothing."""
        at = self._cursor
        return self._laid.items[at].data if 0 <= at < len(self._laid.items) else None

    @property
    def text(self) -> list[str]:
        """All lines without their styles."""
        lines = [*self._laid.head, *(item.line for item in self._laid.items)]
        return ["".join(part.text for part in line) for line in lines]

    def update(self, layout: Layout) -> None:
        """Show other items."""
        self._layout_items = layout
        self._relay()

    def point_at(self, data: Hashable) -> None:
        """Put the cursor on the item that stands for something, if there is one."""
        places = [at for at, item in enumerate(self._laid.items) if item.data == data]
        if places:
            self._go(places[0])

    def on_resize(self, event: Resize) -> None:
        """Lay out anew."""
        self._relay()

    @property
    def _room(self) -> int:
        """How many items there is room for."""
        return max(int(self.size.height) - len(self._laid.head), 1)

    def _relay(self) -> None:
        width = self.size.width
        if self._layout_items is None or width < 1:
            return
        had, at = self.data, self._cursor
        self._laid = self._layout_items(max(width - _GUTTER - 1, 20))
        self.virtual_size = Size(width, len(self._laid.items) + len(self._laid.head))
        same = [place for place, item in enumerate(self._laid.items) if item.data == had]
        self._cursor = same[0] if same and had is not None else self._nearest(max(at, 0), 1)
        self._into_sight()
        self.refresh()
        if self.data != had:
            self.post_message(self.Moved(self.data))

    def _nearest(self, at: int, step: int) -> int:
        """The item that the cursor can stand on at a place or beyond, else before; -1 if none."""
        items = self._laid.items
        places = [place for place, item in enumerate(items) if item.data is not None]
        if not places:
            return -1
        if step > 0:
            return next((place for place in places if place >= at), places[-1])
        return next((place for place in reversed(places) if place <= at), places[0])

    def _go(self, at: int) -> None:
        step = 1 if at >= self._cursor else -1
        place = self._nearest(at, step)
        if place != self._cursor:
            self._cursor, self.is_chosen = place, True
            self.post_message(self.Moved(self.data))
        self._into_sight()
        self.refresh()

    def _into_sight(self) -> None:
        """Scroll to the cursor, and to what stands above the first item or below the last."""
        top, room, items = self.scroll_offset.y, self._room, self._laid.items
        low = high = max(self._cursor, 0)
        if all(item.data is None for item in items[:low]):
            low = 0
        if all(item.data is None for item in items[high + 1 :]) and high - top < room - 1:
            high = max(high, min(len(items) - 1, low + room - 1))
        if low < top:
            self.scroll_to(y=low, animate=False)
        elif high >= top + room:
            self.scroll_to(y=high - room + 1, animate=False)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        base, head = self.rich_style, self._laid.head
        if y < len(head):
            return self._strip(" " * _GUTTER, head[y], base)
        at = self.scroll_offset.y + y - len(head)
        if at >= len(self._laid.items):
            return Strip.blank(self.size.width, base)
        line = self._laid.items[at].line
        if at != self._cursor:
            return self._strip(" " * _GUTTER, line, base)
        # Without their colours, which would be patches in a line that is shown reversed.
        text = "> " + "".join(part.text for part in line)
        style = base + self._style("cursor")
        return Strip([Segment(text, style)]).crop_extend(0, self.size.width, style)

    def _strip(self, lead: str, line: Line, base: RichStyle) -> Strip:
        parts = [Segment(part.text, base + self._style(part.style)) for part in line]
        strip = Strip([Segment(lead, base), *parts]).simplify()
        return strip.crop_extend(0, self.size.width, base)

    def _style(self, name: str) -> RichStyle:
        if not name:
            return RichStyle.null()
        return self.get_component_rich_style(f"outline--{name}")

    def action_down(self) -> None:
        """To the next item."""
        self._go(self._cursor + 1)

    def action_up(self) -> None:
        """To the item before."""
        self._go(max(self._cursor - 1, 0))

    def action_left(self) -> None:
        """To the left."""
        self.post_message(self.Sideways(self.data, -1))

    def action_right(self) -> None:
        """To the right."""
        self.post_message(self.Sideways(self.data, 1))

    def action_page_down(self) -> None:
        """Down one page."""
        self._go(self._cursor + self._room)

    def action_page_up(self) -> None:
        """Up one page."""
        self._go(max(self._cursor - self._room, 0))

    def action_half_down(self) -> None:
        """Down half a page."""
        self._go(self._cursor + self._room // 2)

    def action_half_up(self) -> None:
        """Up half a page."""
        self._go(max(self._cursor - self._room // 2, 0))

    def action_first(self) -> None:
        """To the first item."""
        self._go(0)

    def action_last(self) -> None:
        """To the last item."""
        self._go(len(self._laid.items) - 1)

    def action_open(self) -> None:
        """Open what is under the cursor."""
        self.is_chosen = True
        if self.data is not None:
            self.post_message(self.Opened(self.data))

    def on_click(self, event: Click) -> None:
        """Put the cursor where it was clicked; twice opens."""
        at = self.scroll_offset.y + event.y - len(self._laid.head)
        if event.y < len(self._laid.head) or not 0 <= at < len(self._laid.items):
            return
        if self._laid.items[at].data is None:
            return
        self._go(at)
        self.post_message(self.Clicked(self.data, event.x - _GUTTER))
        if event.chain == 2:
            self.action_open()
