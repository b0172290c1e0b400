"""The postmortem: written on one side, read on the other, its pins asked again beside that.

The text under the editor's cursor says which pin one is at; the same text is laid out as it reads.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize
from textual.timer import Timer
from textual.widgets import TextArea

from forensics.errors import ForensicsError
from forensics.incident.pins import Checked
from forensics.records.safe_text import safe_text
from forensics.records.times import to_micros
from forensics_tui import pinning
from forensics_tui.inert import said
from forensics_tui.keys import ANYWHERE, EDITOR, GO, LINES, POSTMORTEM, WRITING, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.pinned_places import time_of
from forensics_tui.screens.asks_pins import AsksPins
from forensics_tui.screens.edits_pins import EditsPins
from forensics_tui.screens.has_text import SAY_S
from forensics_tui.screens.place import Place
from forensics_tui.screens.saves_text import SavesText
from forensics_tui.sheet import Sheet
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.editor import Editor
from forensics_tui.widgets.preview import Preview

_WIDE = 110
_PAUSE_S = 0.2
_LOOK_EVERY_S = 2.0
_GO = tuple(key for key in GO if key.id not in ("pin", "postmortem"))
_HINTS = (*POSTMORTEM, *_GO, *ANYWHERE)


class PostmortemScreen(SavesText, AsksPins, EditsPins):
    """A postmortem.

    Args:
        opened: the lake.
        came_from: what one looked at; a new postmortem is made of it.
    """

    TITLE = "Postmortem"
    KEYS: ClassVar[tuple[Key, ...]] = (*POSTMORTEM, EDITOR[0], *_GO, *LINES, *ANYWHERE)
    BINDINGS = bindings((*POSTMORTEM, *_GO, *LINES))

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="postmortem")
        self._came_from = came_from
        self._reads = True
        self._beside = True
        self._pause: Timer | None = None

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
    def incident_us(self) -> tuple[int, int] | None:
        """The window that it is about."""
        return self.window_us

    @property
    def writing(self) -> bool:
        """Whether keys are text."""
        return not self._editor.read_only

    @property
    def _wide(self) -> bool:
        return self.size.width >= _WIDE

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
            self.app.say(said(error), SAY_S)
            return
        self._stop()
        self._sheet, self._checks, self._cut = sheet, {}, []
        self.app.postmortem = path.name
        self.app.pinning_to = path
        self._take(sheet)
        self._editor.move_cursor((self._document.head.count("\n"), 0))
        self._arrange()

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
        if not self._end_asking():
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
