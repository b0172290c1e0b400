"""A postmortem's pins, edited: gone to, moved, cut, put in, noted, and followed to their place."""

from __future__ import annotations

from collections.abc import Sequence

from forensics.incident.pins import Pin
from forensics.records.safe_text import safe_text
from forensics_tui.draft import reference, with_row, with_rows_swapped, without_row
from forensics_tui.opening import Opened
from forensics_tui.pinned_places import go
from forensics_tui.screens.has_text import HasText
from forensics_tui.screens.pins import PinDone, PinList


class EditsPins(HasText):
    """Edits the pins of the text.

    Args:
        opened: the lake.
        id: of the place.
    """

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(opened, id=id)
        self._cut: list[Pin] = []

    def _pin_here(self) -> Pin | None:
        """The pin under the cursor; where there is none, say so."""
        pin = self._pin
        if pin is None:
            self.app.say("The cursor is on no pin: n goes to the next.")
        return pin

    def action_pin(self, step: int) -> None:
        """To the next pin, or to the one before."""
        row = self._editor.cursor_location[0]
        rows = list(self._rows)
        further = [at for at in rows if (at > row if step > 0 else at < row)]
        if not rows:
            self.app.say("Nothing is pinned yet: p on any other place pins what one looks at.")
        elif further:
            self._go_to_row(further[0] if step > 0 else further[-1])
        else:
            self._go_to_row(rows[0] if step > 0 else rows[-1])

    def _go_to_row(self, row: int) -> None:
        self._editor.move_cursor((row, 0), center=True)
        self._preview.scroll_to_source(row)

    async def action_pins(self) -> None:
        """The pins: go to them, move, cut and insert them."""
        pin = self._pin
        listed = PinList(self._pins, self._cut, self._checks, pin.id if pin else None, self._change)
        await self.app.push_screen(listed, self._done)

    async def _done(self, done: PinDone | None) -> None:
        if done is None:
            return
        if done.what == "here":
            self._put_here(done.pin)
        else:
            self._go_to(done.pin.id)
            if done.what == "open":
                await self.action_open()

    def _go_to(self, identifier: str) -> None:
        for row, pin in self._rows.items():
            if pin.id == identifier:
                self._go_to_row(row)

    def _put_here(self, pin: Pin) -> None:
        """Put a pin where the cursor is, wherever it was."""
        row, text = self._editor.cursor_location[0], self._text
        for at, one in self._rows.items():
            if one.id == pin.id:
                fewer = without_row(text, at)
                row -= text.count("\n") - fewer.count("\n") if at < row else 0
                text = fewer
        self._cut = [one for one in self._cut if one.id != pin.id]
        self._edit(with_row(text, max(row, self._document.head.count("\n")), reference(pin)))
        self._go_to(pin.id)

    def _change(self, done: PinDone) -> tuple[Sequence[Pin], Sequence[Pin]]:
        """Move a pin or cut it."""
        rows = list(self._rows)
        at = next(n for n, row in enumerate(rows) if self._rows[row].id == done.pin.id)
        step = {"later": 1, "sooner": -1}.get(done.what, 0)
        if done.what == "cut":
            self._cut.append(done.pin)
            self._edit(without_row(self._text, rows[at]))
        elif 0 <= at + step < len(rows):
            self._edit(with_rows_swapped(self._text, rows[at], rows[at + step]))
        return self._pins, self._cut

    def _edit(self, text: str) -> None:
        self._editor.change_to(text)
        self._read()

    def action_cut_pin(self) -> None:
        """Cut the pin under the cursor; the list of pins can put it in again."""
        pin = self._pin_here()
        if pin is None:
            return
        self._change(PinDone("cut", pin))
        self.app.say("cut: u undoes it, p lists it to be put in elsewhere")

    def action_undo(self) -> None:
        """Undo."""
        self._editor.undo()

    def action_redo(self) -> None:
        """Do again what was undone."""
        self._editor.redo()

    async def action_note(self) -> None:
        """Write what there is to say of the pin under the cursor."""
        from forensics_tui.screens.note import NotePrompt

        pin = self._pin_here()
        if pin is None:
            return
        if pin.id not in self._draft.pins:
            self.app.say("This pin is written out in the text: change its note there.")
            return

        def noted(note: str | None) -> None:
            if note is not None and note != pin.note:
                self._draft.noted(pin.id, note)
                self._noted = True
                self._read()

        await self.app.push_screen(NotePrompt(pin.statement, pin.note), noted)

    async def action_open(self) -> None:
        """Go where the pin under the cursor comes from."""
        pin = self._pin_here()
        if pin is not None:
            await go(self.app, self, pin)

    def action_copy(self) -> None:
        """Copy the statement of the pin under the cursor."""
        pin = self._pin_here()
        if pin is not None:
            self.app.copy(safe_text(pin.statement))
