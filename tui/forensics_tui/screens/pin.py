"""What to pin of a place, and the note that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from forensics.incident.pins import Pinnable
from forensics.records.safe_text import safe_text
from forensics_tui.keys import Key, bindings
from forensics_tui.widgets.safe_input import SafeInput

KEYS = (
    Key("pin-back", "escape", "back", "back, nothing pinned"),
    Key("pin-down", "down", "move(1)", "the next statement"),
    Key("pin-up", "up", "move(-1)", "the statement before"),
    Key("pin-page-down", "pagedown", "move(8)", "down some"),
    Key("pin-page-up", "pageup", "move(-8)", "up some"),
)


class NoteInput(SafeInput):
    """A line of words, beside which the keys that move choose a statement."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(
        Key(key.id, key.keys, f"screen.{key.action}", key.words) for key in KEYS[1:]
    )


class PinPrompt(ModalScreen[tuple[Pinnable, str] | None]):
    """Statements to choose among, the first of them chosen, and a line for the note.

    Args:
        offered: what can be pinned.
        name: of the postmortem that it goes to; empty where that is asked next.
    """

    BINDINGS = bindings(KEYS)

    def __init__(self, offered: Sequence[Pinnable], name: str) -> None:
        super().__init__()
        self._offered = offered
        self._title = f"pin to {safe_text(name, 48)}" if name else "pin to a postmortem"

    def compose(self) -> ComposeResult:
        """The statements, the note, the keys."""
        with Vertical(classes="box"):
            yield Static(Content(self._title), classes="box-title")
            statements = OptionList(
                *(Option(Content(safe_text(one.statement))) for one in self._offered),
                id="statements",
                compact=True,
            )
            statements.can_focus = False
            yield statements
            yield NoteInput(placeholder="a note, if you like", compact=True, id="note")
            yield Static(
                Content("enter pins · up and down choose · esc goes back"), classes="box-keys"
            )

    def on_mount(self) -> None:
        """Write at once."""
        self.query_one(OptionList).highlighted = 0
        self.set_focus(self.query_one(NoteInput))

    def action_move(self, step: int) -> None:
        """Choose another statement."""
        statements = self.query_one(OptionList)
        at = (statements.highlighted or 0) + step
        statements.highlighted = min(max(at, 0), len(self._offered) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses."""
        event.stop()
        self.set_focus(self.query_one(NoteInput))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pin what is chosen."""
        event.stop()
        chosen = self.query_one(OptionList).highlighted or 0
        self.dismiss((self._offered[chosen], event.value.strip()))

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
