"""Exporting a postmortem: as what, where to, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from forensics.errors import ForensicsError
from forensics.records.safe_text import safe_text
from forensics_tui.exporting import Ended
from forensics_tui.inert import said
from forensics_tui.keys import Key, bindings
from forensics_tui.screens.choices import Choices

KEYS = (Key("export-copy", "y", "copy", "copy the path of what was written"),)
#: Writes one form to a path and says what became of the pins; is given how to say how far it is,
#: which answers whether to go on.
Write = Callable[[str, Path, Callable[[str], bool]], str]


class ExportPrompt(Choices[Path]):
    """Asks for a format, writes it, and says where it is. The answer is the path, if any.

    Args:
        formats: paths by the names of formats.
        write: writes one, in a thread.
    """

    BINDINGS = bindings(KEYS)

    @dataclass
    class _Said(Message):
        words: str

    @dataclass
    class _Written(Message):
        path: Path | None
        words: str

    def __init__(self, formats: Mapping[str, Path], write: Write) -> None:
        super().__init__()
        self._formats = formats
        self._write = write
        self._wanted = True
        self._busy = False
        self._written: Path | None = None

    def compose(self) -> ComposeResult:
        """The formats, each with its path."""
        with Vertical(classes="box"):
            yield Static(Content("export the postmortem"), classes="box-title")
            yield OptionList(
                *(
                    Option(Content(f"{name:<9} {safe_text(path.name)}"))
                    for name, path in self._formats.items()
                ),
                id="formats",
                compact=True,
            )
            where = safe_text(next(iter(self._formats.values())).parent)
            yield Static(Content(f"in {where}\nenter writes it · esc goes back"), id="export-said")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Write it."""
        event.stop()
        if self._busy:
            return
        if self._written is not None:
            self.dismiss(self._written)
            return
        self._busy = True
        name, path = list(self._formats.items())[event.option_index]
        self._say("asking the lake again …")
        self.run_worker(partial(self._work, name, path), thread=True, exit_on_error=False)

    def _work(self, name: str, path: Path) -> None:
        try:
            words = self._write(name, path, self._progress)
        except Ended:
            return
        except ForensicsError as error:
            self.post_message(self._Written(None, said(error)))
        else:
            self.post_message(self._Written(path, words))

    def _progress(self, words: str) -> bool:
        self.post_message(self._Said(words))
        return self._wanted

    def on_export_prompt__said(self, message: _Said) -> None:
        """Say how far it is."""
        if self._busy:
            self._say(f"{message.words} · esc ends")

    def on_export_prompt__written(self, message: _Written) -> None:
        """Say where it is."""
        self._busy, self._written = False, message.path
        if message.path is not None:
            self._say(f"{message.words}\nwritten: {message.path}\nenter goes back · y copies it")
        else:
            self._say(message.words)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Nothing fails unsaid."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.post_message(self._Written(None, f"{type(error).__name__}: {error}"))

    def _say(self, words: str) -> None:
        lines = [safe_text(line) for line in words.split("\n")]
        self.query_one("#export-said", Static).update(Content("\n".join(lines)))

    def action_copy(self) -> None:
        """Copy the path of what was written."""
        if self._written is not None:
            self.app.copy_to_clipboard(safe_text(self._written))
            self._say(f"copied: {self._written}")

    def action_back(self) -> None:
        """Leave; what is being written is not."""
        self._wanted = False
        self.dismiss(self._written)
