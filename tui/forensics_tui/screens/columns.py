"""The column picker: which fields and features the rows show."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from forensics.records.safe_text import safe_text
from forensics_tui.keys import Key, bindings
from forensics_tui.screens.choices import Choices

KEYS = (
    Key("columns-toggle", "space", "choose", "choose the name, or leave it out"),
    Key("columns-done", "ctrl+s,c", "done", "show these columns"),
    Key("columns-find", "slash", "find", "find a name"),
)


class ColumnPicker(Choices[tuple[str, ...]]):
    """Names to choose among; chosen ones keep their order, new ones come after them."""

    BINDINGS = bindings(KEYS)

    def __init__(self, names: Sequence[str], chosen: Sequence[str]) -> None:
        super().__init__()
        self._names = names
        self._chosen = list(chosen)
        self._offered: list[str] = []

    def compose(self) -> ComposeResult:
        """A line to find names by, and the names."""
        with Vertical(classes="box tall"):
            yield Static(
                Content("columns · space chooses · c shows them · / finds"), classes="box-title"
            )
            yield Input(placeholder="part of a name", compact=True, id="find")
            yield OptionList(id="names", compact=True)

    def on_mount(self) -> None:
        """Show all names."""
        self._fill("")
        self.set_focus(self.query_one(OptionList))

    def _fill(self, part: str) -> None:
        names = self.query_one(OptionList)
        names.clear_options()
        order = [*self._chosen, *(name for name in self._names if name not in self._chosen)]
        self._offered = [name for name in order if part.casefold() in name.casefold()]
        names.add_options(Option(self._prompt(name)) for name in self._offered)
        if self._offered:
            names.highlighted = 0

    def _prompt(self, name: str) -> Content:
        """A name with a sign that can be told without colour."""
        return Content(f"[{'x' if name in self._chosen else ' '}] {safe_text(name)}")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose a name, or leave it out."""
        event.stop()
        self._toggle(event.option_index)

    def action_choose(self) -> None:
        """Choose the name under the cursor, or leave it out."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self._toggle(at)

    def _toggle(self, at: int) -> None:
        name = self._offered[at]
        if name in self._chosen:
            self._chosen.remove(name)
        else:
            self._chosen.append(name)
        self.query_one(OptionList).replace_option_prompt_at_index(at, self._prompt(name))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the names that have a part."""
        self._fill(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the names."""
        event.stop()
        self.set_focus(self.query_one(OptionList))

    def action_find(self) -> None:
        """Write a part of a name."""
        self.set_focus(self.query_one(Input))

    def action_done(self) -> None:
        """Show the chosen columns."""
        self.dismiss(tuple(self._chosen) or None)

    def action_back(self) -> None:
        """Leave all as it was."""
        if isinstance(self.focused, Input):
            self.set_focus(self.query_one(OptionList))
        else:
            self.dismiss(None)
