"""What stands around every screen: where one is, and the keys that help there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from forensics.records.safe_text import safe_text
from forensics_tui.keys import Key, shown


class Crumbs(Static):
    """The way here, and on the right what is true of the whole screen."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="crumbs")
        self._way: Sequence[str] = ()
        self._rights: Sequence[str] = ()
        self._shown = ""

    def set(self, way: Sequence[str], *rights: str) -> None:
        """Show the way here, and on the right the first of some texts that there is room for."""
        self._way, self._rights = (
            [safe_text(part, 48) for part in way],
            list(map(safe_text, rights)),
        )
        self._draw()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._draw()

    def _draw(self) -> None:
        text = left = " › ".join(self._way)
        for right in self._rights:
            gap = self.size.width - cell_len(left) - cell_len(right)
            if gap > 1:
                text = left + " " * gap + right
                break
        if text != self._shown:
            self._shown = text
            self.update(Content(text), layout=False)


class Hints(Static):
    """One line of keys: the most useful of this place, as many as there is room for."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__("", markup=False, id="hints")
        self._keys = [key for key in keys if key.hint]
        self._message = ""
        self._timer: Timer | None = None

    def offer(self, keys: Iterable[Key]) -> None:
        """Show other keys: those of another mode."""
        self._keys = [key for key in keys if key.hint]
        self._draw()

    def say(self, message: str, seconds: float) -> None:
        """Show a message in place of the keys for a while, or until there is another."""
        if self._timer is not None:
            self._timer.stop()
        self._message = safe_text(message)
        self._timer = self.set_timer(seconds, self._over) if message else None
        self._draw()

    def _over(self) -> None:
        self._message = ""
        self._draw()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._draw()

    def _draw(self) -> None:
        if self._message:
            self.update(Content(self._message), layout=False)
            return
        room, parts = self.size.width, list[str]()
        for key in self._keys:
            first = shown(key.keys).split(" ", 1)[0]
            part = f"{first} {key.hint}"
            if cell_len(part) + 3 > room:
                break
            parts.append(part)
            room -= cell_len(part) + 3
        self.update(Content(" · ".join(parts)), layout=False)
