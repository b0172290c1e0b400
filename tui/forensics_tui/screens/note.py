"""The note of a pin."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from forensics.records.safe_text import safe_text
from forensics_tui.keys import Key, bindings
from forensics_tui.widgets.safe_input import SafeInput

KEYS = (Key("note-back", "escape", "back", "back, the note as it was"),)


class NotePrompt(ModalScreen[str | None]):
    """Asks for the note of a pin; None where it is to stay as it is.

    Args:
        statement: what is pinned.
        note: as it is.
    """

    BINDINGS = bindings(KEYS)

    def __init__(self, statement: str, note: str) -> None:
        super().__init__()
        self._statement = statement
        self._note = note

    def compose(self) -> ComposeResult:
        """The statement and a line to write on."""
        with Vertical(classes="box"):
            yield Static(Content("the note of"), classes="box-title")
            yield Static(Content(safe_text(self._statement)), id="noted")
            yield SafeInput(
                safe_text(self._note), "what there is to say of it", compact=True,
                select_on_focus=False,
            )  # fmt: skip
            yield Static(Content("enter keeps it · esc goes back"), classes="box-keys")

    def on_mount(self) -> None:
        """Write at once."""
        self.set_focus(self.query_one(Input))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with what was written."""
        event.stop()
        self.dismiss(event.value.strip())

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
