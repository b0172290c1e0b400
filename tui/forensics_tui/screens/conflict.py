"""A file that was changed by others while somebody wrote on it here: which of the two goes on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from forensics.records.safe_text import safe_text
from forensics_tui.screens.choices import Choices

_ANSWERS = {
    "mine": "keep mine; theirs is kept in a file beside it",
    "theirs": "take theirs; mine is kept in a file beside it",
}


class ConflictPrompt(Choices[str]):
    """Asks for ``mine`` or ``theirs``.

    Args:
        name: of the file.
    """

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

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        event.stop()
        self.dismiss(list(_ANSWERS)[event.option_index])
