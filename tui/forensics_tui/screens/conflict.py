"""A file that was changed by others while somebody wrote on it here: which of the two goes on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from forensics.records.safe_text import safe_text
from forensics_tui.keys import Key, bindings

KEYS = (
    Key("conflict-back", "escape", "back", "back to writing; nothing is saved"),
    Key("conflict-down", "j", "down", "down one"),
    Key("conflict-up", "k", "up", "up one"),
)
_ANSWERS = {
    "mine": "keep mine; theirs is kept in a file beside it",
    "theirs": "take theirs; mine is kept in a file beside it",
}


class ConflictPrompt(ModalScreen[str | None]):
    """Asks for ``mine`` or ``theirs``.

    Args:
        name: of the file.
    """

    BINDINGS = bindings(KEYS)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._file = name

    def compose(self) -> ComposeResult:
        """What happened, and what can be done."""
        with Vertical(classes="box"):
            words = f"{safe_text(self._file, 60)} was changed on disk meanwhile"
            yield Static(Content(words), classes="box-title")
            yield OptionList(*map(Option, _ANSWERS.values()), id="answers", compact=True)
            yield Static(
                Content("enter chooses · esc goes back, nothing saved"), classes="box-keys"
            )

    def on_mount(self) -> None:
        """Choose at once."""
        self.query_one(OptionList).highlighted = 0
        self.set_focus(self.query_one(OptionList))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        event.stop()
        self.dismiss(list(_ANSWERS)[event.option_index])

    def action_down(self) -> None:
        """Down one."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Up one."""
        self.query_one(OptionList).action_cursor_up()

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
