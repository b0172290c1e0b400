"""The postmortem: written on one side, read on the other, its pins asked again beside that.

The text under the editor's cursor says which pin one is at; the same text is laid out as it reads.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from forensics.errors import ForensicsError
from forensics.incident.asking import Answers
from forensics.incident.document import Block
from forensics.incident.pins import Checked, Pin, recheck
from forensics.lake import sql
from forensics.lake.read import to_micros
from forensics.lake.snapshot import take
from forensics.lake.window import Reader
from forensics.records.safe_text import safe_text
from forensics_tui import pinning
from forensics_tui.draft import Draft, read, reference, with_row, with_rows_swapped, without_row
from forensics_tui.inert import said
from forensics_tui.keys import ANYWHERE, EDITOR, GO, LINES, POSTMORTEM, WRITING, Key, bindings
from forensics_tui.markdown_lines import Laid
from forensics_tui.opening import Opened
from forensics_tui.pinned_places import go, time_of
from forensics_tui.postmortem_lines import lines
from forensics_tui.screens.pins import PinDone, PinList
from forensics_tui.screens.place import Place
from forensics_tui.sheet import Sheet
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.editor import Editor
from forensics_tui.widgets.preview import Preview

_WIDE = 110
_PAUSE_S = 0.2
_LOOK_EVERY_S = 2.0
_SAY_S = 20.0
_GO = tuple(key for key in GO if key.id not in ("pin", "postmortem"))
_HINTS = (*POSTMORTEM, *_GO, *ANYWHERE)


class PostmortemScreen(Place):
    """A postmortem.

    Args:
        opened: the lake.
        came_from: what one looked at; a new postmortem is made of it.
    """

    TITLE = "Postmortem"
    KEYS: ClassVar[tuple[Key, ...]] = (*POSTMORTEM, EDITOR[0], *_GO, *LINES, *ANYWHERE)
    BINDINGS = bindings((*POSTMORTEM, *_GO, *LINES))

    @dataclass
    class _Asking(Message):
        """A pin is being asked again; None where all have been."""

        number: int
        pin: Pin | None

    @dataclass
    class _Asked(Message):
        number: int
        checked: Checked

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="postmortem")
        self._came_from = came_from
        self._sheet: Sheet | None = None
        self._draft = Draft()
        #: The text as it is edited, when it was last taken apart; with the pins by their rows.
        self._text = ""
        self._document, _ = read("")
        self._rows: dict[int, Pin] = {}
        #: What the editor had when the file had the same, and whether only notes are other.
        self._saved = ""
        self._noted = False
        self._checks: dict[str, Checked | str] = {}
        self._cut: list[Pin] = []
        self._number = 0
        self._asking: Reader | None = None
        #: Whether somebody asked for the check that is running; else it runs by itself.
        self._wanted = False
        self._reads = True
        self._beside = True
        self._here: str | None = None
        self._pause: Timer | None = None
        self._aside = ""
        self._asks_which = False
        self._heights: dict[int, int] = {}
        self._editor = Editor()
        self._preview = Preview()

    def compose(self) -> ComposeResult:
        """Where one is, the text, how it reads, keys."""
        yield Crumbs()
        with Horizontal(id="sheets"):
            yield self._editor
            yield self._preview
        yield Hints(_HINTS)

    async def on_mount(self) -> None:
        """Open the postmortem that was open last, else ask which."""
        self._arrange()
        self._tell()
        self.set_interval(_LOOK_EVERY_S, self._look_at_disk)
        name = self.app.postmortem
        path = self.app.pinning_to or (self.app.postmortems / name if name else None)
        if path is not None and path.is_file():
            self._open(path)
        else:
            self.call_after_refresh(self._choose_first)

    async def _choose_first(self) -> None:
        await pinning.choose(self.app, self._came_from, self._open, self._nothing_chosen)

    def _nothing_chosen(self) -> None:
        if self._sheet is None:
            self.app.back()

    def on_unmount(self) -> None:
        """Keep what was written; nobody waits for pins any more."""
        self._stop()
        self._keep()

    def on_screen_suspend(self) -> None:
        """Keep what was written before one looks at something else."""
        self._keep()

    def on_screen_resume(self) -> None:
        """Pins may have been added elsewhere."""
        self._look_at_disk()
        self._tell()

    def on_resize(self, event: Resize) -> None:
        """Both sides where there is room, else one."""
        self._arrange()

    @property
    def time_us(self) -> int | None:
        """The time that the pin under the cursor is about, else where the postmortem begins."""
        pin = self._pin
        if pin is not None:
            for name in ("time", "as-of", "since"):
                if name in pin.question.arguments:
                    return time_of(str(pin.question.arguments[name]))
        since = self._document.time("since")
        return to_micros(since) if since is not None else self._came_from.time_us

    @property
    def point(self) -> str | None:
        """The decision point that it is about."""
        named = self._document.front.get("decision_point")
        return named if isinstance(named, str) else super().point

    @property
    def window_us(self) -> tuple[int, int] | None:
        """The window that it is about."""
        since, until = self._document.time("since"), self._document.time("until")
        return (to_micros(since), to_micros(until)) if since and until else None

    @property
    def writing(self) -> bool:
        """Whether keys are text."""
        return not self._editor.read_only

    @property
    def _wide(self) -> bool:
        return self.size.width >= _WIDE

    @property
    def _pin(self) -> Pin | None:
        """The pin under the cursor."""
        row = self._editor.cursor_location[0]
        before = [first for first in self._rows if first <= row < first + self._heights[first]]
        return self._rows[before[0]] if before else None

    @property
    def _pins(self) -> list[Pin]:
        """All pins, in their order."""
        return list(self._rows.values())

    def _arrange(self) -> None:
        """Show both sides or one, and put the keys where they belong."""
        reads = self._beside if self._wide else self._reads and not self.writing
        self._preview.display = reads
        self._editor.display = self._wide or not reads
        self.set_focus(self._editor if self._editor.display else self._preview)

    def _open(self, path: Path) -> None:
        """Open a postmortem's file."""
        self._keep()
        try:
            sheet = Sheet(path)
        except ForensicsError as error:
            self.app.say(said(error), _SAY_S)
            return
        self._stop()
        self._sheet, self._checks, self._cut = sheet, {}, []
        self.app.postmortem = path.name
        self.app.pinning_to = path
        self._take(sheet)
        self._editor.move_cursor((self._document.head.count("\n"), 0))
        self._arrange()

    def _take(self, sheet: Sheet) -> None:
        """Show the text that the file has."""
        self._editor.put(self._draft.folded(sheet.text))
        self._saved, self._noted = self._editor.text, False
        self._read()

    def _read(self) -> None:
        """Take the text apart, and lay it out."""
        self._text = self._editor.text
        self._document, _ = read(self._text)
        self._rows, self._heights = {}, {}
        for first, part in self._draft.parts(self._text):
            if isinstance(part, Block) and part.pin is not None:
                self._rows[first], self._heights[first] = part.pin, part.text.count("\n") or 1
        known = {pin.id: pin for pin in self._pins}
        for id_, check in list(self._checks.items()):
            pin = known.get(id_)
            if pin is None or (isinstance(check, Checked) and _other(check.pin, pin)):
                del self._checks[id_]
        self._lay()
        if self._asking is None:
            self._check([pin for pin in self._pins if pin.id not in self._checks])

    def _lay(self) -> None:
        pin = self._pin
        self._here = pin.id if pin is not None else None
        self._preview.show(self._lines)
        self._tell()

    def _lines(self, width: int) -> list[Laid]:
        return lines(self._draft, self._text, self._checks, self._here, width)

    def _tell(self) -> None:
        """Everything that is said around the text."""
        pins, checks = self._pins, self._checks
        found = [check.status for check in checks.values() if isinstance(check, Checked)]
        words = [f"{len(pins):,} {'pin' if len(pins) == 1 else 'pins'}"]
        if self._asking is not None:
            words.append(f"checking, {len(found):,} of {len(pins):,} done")
        elif found:
            holding = found.count("holds")
            words.append("all still hold" if holding == len(pins) else f"{holding:,} still hold")
            other = len(found) - holding
            words += [f"{other:,} {'differs' if other == 1 else 'differ'}"] if other else []
        state = "writing" if self.writing else ""
        if self._sheet is not None:
            state += " · " if state else ""
            state += "not saved" if self._unsaved else "saved"
        whole = f"{' · '.join(words)} · {state}"
        named = f"{self._sheet.path.stem} · {whole}" if self._sheet is not None else ""
        self.tell(*([named, whole, f"{words[0]} · {state}"] if named else []))

    @property
    def _unsaved(self) -> bool:
        return self._sheet is not None and (self._noted or self._editor.text != self._saved)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Lay out anew once nobody writes for a moment."""
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_S, self._read)

    def on_text_area_selection_changed(self, event: TextArea.SelectionChanged) -> None:
        """The other side follows the cursor."""
        pin = self._pin
        if (pin.id if pin is not None else None) != self._here:
            self._lay()
        self._preview.scroll_to_source(self._editor.cursor_location[0])

    def on_preview_picked(self, message: Preview.Picked) -> None:
        """Go to what was clicked; where that is the pin that one is at, go where it comes from."""
        row = min(message.source, self._editor.document.line_count - 1)
        pin = self._rows.get(row)
        if pin is not None and pin.id == self._here:
            self.run_worker(self.action_open(), exit_on_error=False)
        else:
            self._editor.move_cursor((row, 0))

    def on_editor_entered(self, message: Editor.Entered) -> None:
        """Write where it was clicked twice."""
        self.action_write()

    def action_write(self) -> None:
        """Write."""
        if self._sheet is not None:
            self._editor.read_only = False
            self._reads = False
            self._arrange()
            self.query_one(Hints).offer(WRITING)
            self._tell()

    def action_leave(self) -> None:
        """End writing: keys are commands again."""
        self._editor.read_only = True
        self._arrange()
        self.query_one(Hints).offer(_HINTS)
        self._tell()

    def action_preview(self) -> None:
        """Show how it reads: beside the text where there is room, else instead of it."""
        if self._wide:
            self._beside = not self._beside
        else:
            self._reads = not self._reads or self.writing
            if self.writing:
                self.action_leave()
        self._arrange()
        self._preview.scroll_to_source(self._editor.cursor_location[0])

    # saving

    def _keep(self) -> None:
        """Save what was written, without a question: where the file was changed, beside it."""
        sheet = self._sheet
        if sheet is None or not self._unsaved or self._asks_which:
            return
        text = self._draft.whole(self._editor.text)
        if text == self._aside:
            return
        try:
            if not sheet.changed:
                self._write(sheet, text)
                return
            aside = sheet.put_aside(text, "mine")
            self._aside = text
            words = f"{sheet.path.name} was changed on disk meanwhile: yours is kept in {aside}"
        except ForensicsError as error:
            words = f"not saved: {said(error)}"
        self.app.notify(words, severity="warning", timeout=_SAY_S, markup=False)

    def _write(self, sheet: Sheet, text: str, *, over: bool = False) -> None:
        sheet.write(text, over=over)
        self._saved, self._noted = self._editor.text, False

    async def action_save(self) -> None:
        """Save; where the file was changed meanwhile, ask which goes on."""
        if self._sheet is None or not await self._save():
            return
        self.app.say(f"saved: {self._sheet.path}")

    async def _save(self) -> bool:
        """Whether the file has what is written here."""
        sheet = self._sheet
        if sheet is None:
            return False
        if sheet.changed:
            from forensics_tui.screens.conflict import ConflictPrompt

            self._asks_which = True
            await self.app.push_screen(ConflictPrompt(sheet.path.name), self._decided)
            return False
        try:
            if self._unsaved or not sheet.path.exists():
                self._write(sheet, self._draft.whole(self._editor.text))
        except ForensicsError as error:
            self.app.say(f"not saved: {said(error)}", _SAY_S)
            return False
        self._tell()
        return True

    def _decided(self, answer: str | None) -> None:
        """Go on with one of two texts; the other is kept beside it."""
        sheet = self._sheet
        self._asks_which = False
        if sheet is None or answer is None:
            return
        mine = self._draft.whole(self._editor.text)
        try:
            if answer == "mine":
                theirs = Sheet(sheet.path).text
                aside = sheet.put_aside(theirs, "theirs")
                self._write(sheet, mine, over=True)
            else:
                aside = sheet.put_aside(mine, "mine")
                sheet.read()
                self._take(sheet)
        except ForensicsError as error:
            self.app.say(f"not saved: {said(error)}", _SAY_S)
            return
        self._tell()
        self.app.say(f"saved; the other is kept in {aside}", _SAY_S)

    def _look_at_disk(self) -> None:
        """Take what others wrote, where nothing here would be lost."""
        sheet = self._sheet
        if sheet is None or not sheet.changed:
            return
        if self._unsaved:
            self.app.say("The file was changed on disk meanwhile: ^s asks which text goes on.")
            return
        try:
            sheet.read()
        except ForensicsError as error:
            self.app.say(said(error), _SAY_S)
            return
        self._take(sheet)
        self.app.say("read again: the file was changed on disk")

    # pins

    def _check(self, pins: Sequence[Pin], reader: Reader | None = None) -> None:
        """Ask pins again, beside everything else."""
        if not pins:
            return
        self._stop()
        self._number += 1
        self._asking = reader or self._opened.reader.another()
        for pin in pins:
            self._checks.pop(pin.id, None)
        work = partial(self._ask, self._asking, self._number, tuple(pins))
        self.run_worker(work, thread=True, group="pins", exit_on_error=False)
        self._tell()

    def _ask(self, reader: Reader, number: int, pins: Sequence[Pin]) -> None:
        try:
            with Answers(reader.snapshot) as answers:
                for pin in pins:
                    self.post_message(self._Asking(number, pin))
                    found = recheck(reader.snapshot, pin, answers=answers)
                    if reader.cancelled:
                        return
                    self.post_message(self._Asked(number, found))
        except (sql.SqlError, RuntimeError):  # what an interrupted question ends in
            if not reader.cancelled:
                raise
        finally:
            self.post_message(self._Asking(number, None))

    def _stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._wanted = False
        self._checks = {id_: one for id_, one in self._checks.items() if one != "checking"}

    def on_postmortem_screen__asking(self, message: _Asking) -> None:
        """Show which pin is being asked; at the end look for those that came meanwhile."""
        if message.number != self._number:
            return
        if message.pin is not None:
            self._checks[message.pin.id] = "checking"
        elif self._asking is not None:
            self._asking, self._wanted = None, False
            self._read()
            return
        self._lay()

    def on_postmortem_screen__asked(self, message: _Asked) -> None:
        """Show what became of a pin."""
        if message.number == self._number:
            self._checks[message.checked.pin.id] = message.checked
            self._lay()

    def action_recheck(self) -> None:
        """Ask all pins again, of the lake as it is now."""
        try:
            snapshot = take(self._opened.asked.root)
        except ForensicsError as error:
            self.app.say(said(error), _SAY_S)
            return
        self._check(self._pins, self._opened.reader.another(snapshot))
        self._wanted = self._asking is not None

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
        pin = self._pin
        if pin is None:
            self.app.say("The cursor is on no pin: n goes to the next.")
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

        pin = self._pin
        if pin is None or pin.id not in self._draft.pins:
            self.app.say("The cursor is on no pin: n goes to the next.")
            return

        def noted(note: str | None) -> None:
            if note is not None and note != pin.note:
                self._draft.noted(pin.id, note)
                self._noted = True
                self._read()

        await self.app.push_screen(NotePrompt(pin.statement, pin.note), noted)

    async def action_open(self) -> None:
        """Go where the pin under the cursor comes from."""
        pin = self._pin
        if pin is None:
            self.app.say("The cursor is on no pin: n goes to the next.")
        else:
            await go(self.app, self, pin)

    # leaving

    async def action_export(self) -> None:
        """Write it in another form."""
        from forensics_tui import exporting
        from forensics_tui.screens.export import ExportPrompt

        if self._sheet is None or not await self._save():
            return
        path, reader = self._sheet.path, self._opened.reader.another()

        def write(form: str, target: Path, say: Callable[[str], bool]) -> str:
            return exporting.export(reader.snapshot, path, form, target, say)

        await self.app.push_screen(ExportPrompt(exporting.paths(path), write))

    async def action_choose(self) -> None:
        """Another postmortem, or a new one."""
        await pinning.choose(self.app, self, self._open)

    def action_copy(self) -> None:
        """Copy the statement of the pin under the cursor."""
        pin = self._pin
        if pin is None:
            self.app.say("The cursor is on no pin: n goes to the next.")
        else:
            self.app.copy(safe_text(pin.statement))

    def action_copy_command(self) -> None:
        """Copy the command that exports it."""
        if self._sheet is not None:
            from forensics_tui.exporting import paths

            target = paths(self._sheet.path)["HTML"]
            words = ["forensics", "report", "postmortem", str(self._sheet.path)]
            words += ["--lake", str(self._opened.asked.root), "-o", str(target)]
            self.app.copy(safe_text(shlex.join(words)))

    def action_back(self) -> None:
        """End what somebody asked for, else go back."""
        if self._wanted and self._asking is not None:
            self._stop()
            self._number += 1
            self._lay()
            self.app.say("ended: the other pins are not checked")
        else:
            self.app.back()

    # moving, where the text has the keys

    def action_down(self) -> None:
        """Down one line."""
        self._editor.action_cursor_down()

    def action_up(self) -> None:
        """Up one line."""
        self._editor.action_cursor_up()

    def action_page_down(self) -> None:
        """Down one page."""
        self._editor.action_cursor_page_down()

    def action_page_up(self) -> None:
        """Up one page."""
        self._editor.action_cursor_page_up()

    def action_half_down(self) -> None:
        """Down half a page."""
        self._editor.move_cursor_relative(rows=self._editor.size.height // 2)

    def action_half_up(self) -> None:
        """Up half a page."""
        self._editor.move_cursor_relative(rows=-(self._editor.size.height // 2))

    def action_first(self) -> None:
        """To the first line."""
        self._editor.move_cursor((self._document.head.count("\n"), 0))

    def action_last(self) -> None:
        """To the last line."""
        self._editor.move_cursor(self._editor.document.end)


def _other(old: Pin, new: Pin) -> bool:
    """Whether what is known of one pin says nothing of another of its id."""
    return (old.question, old.pointer, old.value.digest) != (
        new.question, new.pointer, new.value.digest,
    )  # fmt: skip
