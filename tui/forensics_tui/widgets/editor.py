"""Where a postmortem is written: an editor whose text does nothing to the terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.events import Click, Key, Paste
from textual.message import Message
from textual.widgets import TextArea

from forensics.records.safe_text import safe_text
from forensics_tui.keys import EDITOR, bindings

_KEPT = "\r\n\t"
_LONE = re.compile("\r(?!\n)")


def spelt(text: str) -> str:
    r"""``text`` with what a terminal would obey spelt out, as ``\u202e``; lines and tabs stay.

    So written, it means the same within a pin: TOML reads it back.
    """
    text = _LONE.sub("\n", text)
    if all(character in _KEPT or character.isprintable() for character in text):
        return text
    return "".join(
        character if character in _KEPT or safe_text(character) == character else _spelt(character)
        for character in text
    )


def _spelt(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x1_0000 else f"\\U{number:08x}"


class Editor(TextArea):
    """Markdown to be written on. While ``read_only``, its keys are those of the screen."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(EDITOR)

    @dataclass
    class Entered(Message):
        """Somebody clicked twice: to write there."""

    def __init__(self) -> None:
        super().__init__(
            "", id="editor", read_only=True, tab_behavior="indent", max_checkpoints=500
        )
        self.indent_width = 2
        self.match_cursor_bracket = False

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: headings bold, marks of blocks dim."""
        line = super().get_line(line_index)
        if line.plain.startswith(("#", "[pin ")):
            line.stylize("bold")
        elif line.plain.startswith(("```", "~~~", "+++")):
            line.stylize("dim")
        return line

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While nobody writes, keys that would are the screen's."""
        if self.read_only and not action.startswith(("cursor_", "copy", "select_", "export")):
            return False
        return super().check_action(action, parameters)

    def put(self, text: str) -> None:
        """Another text, with nothing to be undone, and the cursor where it was."""
        row, column = self.cursor_location
        self.load_text(spelt(text))
        row = min(row, self.document.line_count - 1)
        self.move_cursor((row, min(column, len(self.document.get_line(row)))))

    def change_to(self, text: str) -> None:
        """Another text, of which only what differs is replaced, so that it can be undone."""
        old = "\n".join(self.document.lines)
        new = spelt(text).replace("\r\n", "\n")
        same = _alike(old, new)
        most = min(len(old), len(new)) - same
        after = min(_alike(old[::-1], new[::-1]), most)
        start, end = _location(old, same), _location(old, len(old) - after)
        self.history.checkpoint()
        self.replace(new[same : len(new) - after], start, end)
        self.history.checkpoint()

    async def action_leave(self) -> None:
        """End writing."""
        await self.run_action("screen.leave")

    async def action_export(self) -> None:
        """Export what is written."""
        await self.run_action("screen.export")

    async def _on_key(self, event: Key) -> None:
        if event.key == "escape":  # which would leave to whatever comes next
            event.prevent_default()

    async def _on_paste(self, event: Paste) -> None:
        event.prevent_default()
        await super()._on_paste(Paste(spelt(event.text)))

    async def _on_click(self, event: Click) -> None:
        if event.chain == 2 and self.read_only:
            self.post_message(self.Entered())


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _location(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at), at - text.rfind("\n", 0, at) - 1
