"""A prompt with a list that one chooses from."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen
from textual.widgets import OptionList

from forensics_tui.keys import Key, bindings

_T = TypeVar("_T")
KEYS = (
    Key("choices-back", "escape,less_than_sign", "back", "back"),
    Key("choices-down", "j", "down", "down one"),
    Key("choices-up", "k", "up", "up one"),
)


class Choices(ModalScreen[_T | None]):
    """A list with vim's keys beside the arrows; None is the answer of who goes back."""

    BINDINGS = bindings(KEYS)

    @property
    def options(self) -> OptionList:
        """The list."""
        return self.query_one(OptionList)

    def on_mount(self) -> None:
        """Begin with the first, where the prompt itself has not chosen another."""
        if self.options.highlighted is None and self.options.option_count:
            self.options.highlighted = 0
        self.set_focus(self.options)

    def action_down(self) -> None:
        """Down one."""
        self.options.action_cursor_down()

    def action_up(self) -> None:
        """Up one."""
        self.options.action_cursor_up()

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
