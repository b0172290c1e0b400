"""The pins of a postmortem: where each is, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from forensics.incident.pins import Checked, Pin
from forensics_tui.keys import Key, bindings
from forensics_tui.postmortem_lines import statement
from forensics_tui.screens.choices import Choices

KEYS = (
    Key("pins-back", "p", "back", "back"),
    Key("pins-open", "o", "answer('open')", "go where it comes from"),
    Key("pins-here", "i", "answer('here')", "put it where the cursor is"),
    Key("pins-later", "J", "change('later')", "later: change places with the next"),
    Key("pins-sooner", "K", "change('sooner')", "sooner: change places with the one before"),
    Key("pins-cut", "d", "change('cut')", "cut it; i puts it back in"),
)


class PinDone(NamedTuple):
    """What is to be done with a pin: show, open, put it here, later, sooner, or cut."""

    what: str
    pin: Pin


#: Does something with a pin at once, and answers the pins and those that were cut.
Change = Callable[[PinDone], tuple[Sequence[Pin], Sequence[Pin]]]


class PinList(Choices[PinDone]):
    """The pins in their order, then those that were cut.

    Args:
        pins: of the text.
        cut: that were cut, which can be put in again.
        checks: by ids: what became of them, or ``checking``.
        here: the id of the one under the cursor.
        change: moves and cuts.
    """

    BINDINGS = bindings(KEYS)

    def __init__(
        self,
        pins: Sequence[Pin],
        cut: Sequence[Pin],
        checks: Mapping[str, Checked | str],
        here: str | None,
        change: Change,
    ) -> None:
        super().__init__()
        self._pins, self._cut = list(pins), list(cut)
        self._checks = checks
        self._here = here
        self._change = change

    def compose(self) -> ComposeResult:
        """The pins and the keys."""
        with Vertical(classes="box"):
            yield Static(Content("pins"), classes="box-title")
            yield OptionList(id="pins", compact=True)
            yield Static(
                Content("enter shows · o opens · i puts it here · J K move · d cuts"),
                classes="box-keys",
            )

    def on_mount(self) -> None:
        """Begin with the one under the cursor."""
        ids = [pin.id for pin in self._pins]
        self._fill(ids.index(self._here) if self._here in ids else 0)
        self.set_focus(self.query_one(OptionList))

    def _fill(self, at: int) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        for pin in self._pins:
            words = statement(pin, self._checks.get(pin.id, "unchecked"))
            options.add_option(Option(Content(words)))
        for pin in self._cut:
            options.add_option(Option(Content(f"cut: {statement(pin, 'unchecked')}")))
        if options.option_count:
            options.highlighted = min(at, options.option_count - 1)

    def _chosen(self) -> Pin | None:
        at = self.query_one(OptionList).highlighted
        return [*self._pins, *self._cut][at] if at is not None else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show it in the text; one that was cut is put in again."""
        event.stop()
        pin = [*self._pins, *self._cut][event.option_index]
        self.dismiss(PinDone("show" if event.option_index < len(self._pins) else "here", pin))

    def action_answer(self, what: str) -> None:
        """Leave, with something to be done."""
        pin = self._chosen()
        if pin is not None:
            self.dismiss(PinDone(what, pin))

    def action_change(self, what: str) -> None:
        """Move it or cut it, and stay."""
        pin, at = self._chosen(), self.query_one(OptionList).highlighted or 0
        if pin is None or at >= len(self._pins):
            return
        pins, cut = self._change(PinDone(what, pin))
        self._pins, self._cut = list(pins), list(cut)
        ids = [one.id for one in self._pins]
        self._fill(ids.index(pin.id) if pin.id in ids else at)
