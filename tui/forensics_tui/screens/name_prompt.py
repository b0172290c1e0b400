"""One question with one answer: the name of something that lineage knows."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from forensics_tui.keys import Key, bindings

KEYS = (Key("name-back", "escape", "back", "back"),)


class NamePrompt(ModalScreen[str | None]):
    """Asks for the name of a dataset, column, job, run or feature."""

    BINDINGS = bindings(KEYS)

    def compose(self) -> ComposeResult:
        """A line to write on, and what can be written."""
        with Vertical(classes="box"):
            yield Static(Content("lineage of"), classes="box-title")
            yield Input(compact=True)
            yield Static(
                Content(
                    "a name, or dataset:NAMESPACE/NAME · column:NAMESPACE/NAME#COLUMN · "
                    "job:NAMESPACE/NAME · run:ID · feature:POINT.NAME"
                )
            )

    def on_mount(self) -> None:
        """Write at once."""
        self.set_focus(self.query_one(Input))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with what was written."""
        event.stop()
        self.dismiss(event.value.strip() or None)

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
