"""A line to write on, in which what is pasted does nothing to the terminal."""

from __future__ import annotations

from textual.events import Paste
from textual.widgets import Input

from forensics.records.safe_text import safe_text


class SafeInput(Input):
    """An input that spells out what a terminal would obey."""

    def _on_paste(self, event: Paste) -> None:
        event.prevent_default()
        super()._on_paste(Paste(safe_text(" ".join(event.text.split()))))
