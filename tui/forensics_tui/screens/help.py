"""The keys of a place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from forensics.report.spans import Line, Span, span, wrapped
from forensics_tui.keys import Key, bindings, shown
from forensics_tui.widgets.lines import Lines

KEYS = (Key("help-back", "escape,less_than_sign,question_mark,q,enter", "back", "back"),)


class HelpScreen(ModalScreen[None]):
    """What every key of the screen below does."""

    BINDINGS = bindings(KEYS)

    def __init__(self, place: str, keys: Iterable[Key], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._place = place
        self._keys = list(keys)
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """The keys, which one can scroll through."""
        with Vertical(classes="box tall"):
            yield Static(Content(f"keys · {self._place} · esc goes back"), classes="box-title")
            yield Lines(self._lines)

    def on_mount(self) -> None:
        """Arrow keys scroll."""
        self.set_focus(self.query_one(Lines))

    def _lines(self, width: int) -> list[Line]:
        found: list[Line] = []
        for key in self._keys:
            keys = shown(self._keymap.get(key.id, key.keys))
            for part in wrapped(span(key.words).text, max(width - 19, 20)):
                found.append([Span(f"{keys:<18} ", "accent"), Span(part)])
                keys = ""
        return found

    def action_back(self) -> None:
        """Back to the screen below."""
        self.dismiss(None)
