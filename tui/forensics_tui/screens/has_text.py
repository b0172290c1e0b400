"""A place with a postmortem's text: what it is taken apart into, and what is known of its pins."""

from __future__ import annotations

from forensics.incident.document import Block
from forensics.incident.pins import Checked, Pin
from forensics_tui.draft import Draft, read
from forensics_tui.markdown_lines import Laid
from forensics_tui.opening import Opened
from forensics_tui.postmortem_lines import lines
from forensics_tui.screens.place import Place
from forensics_tui.sheet import Sheet
from forensics_tui.widgets.editor import Editor
from forensics_tui.widgets.preview import Preview

#: For how long what a person has to read is said.
SAY_S = 20.0


class HasText(Place):
    """A place with a postmortem.

    Args:
        opened: the lake.
        id: of the place.
    """

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(opened, id=id)
        self._sheet: Sheet | None = None
        self._draft = Draft()
        #: The text as it is edited, when it was last taken apart; with the pins by their rows.
        self._text = ""
        self._document, _ = read("")
        self._rows: dict[int, Pin] = {}
        self._heights: dict[int, int] = {}
        #: What the editor had when the file had the same, and whether only notes are other.
        self._saved = ""
        self._noted = False
        #: What became of pins, or that they are being asked, by their ids.
        self._checks: dict[str, Checked | str] = {}
        self._here: str | None = None
        self._editor = Editor()
        self._preview = Preview()

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

    @property
    def _unsaved(self) -> bool:
        return self._sheet is not None and (self._noted or self._editor.text != self._saved)

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
        self._ask_the_rest()

    def _lay(self) -> None:
        """Lay the text out as it reads, and say how it is."""
        pin = self._pin
        self._here = pin.id if pin is not None else None
        self._preview.show(self._lines)
        self._tell()

    def _lines(self, width: int) -> list[Laid]:
        return lines(self._draft, self._text, self._checks, self._here, width)

    def _ask_the_rest(self) -> None:
        """Ask the pins again of which nothing is known yet."""
        raise NotImplementedError

    def _tell(self) -> None:
        """Say everything that is said around the text."""
        raise NotImplementedError


def _other(old: Pin, new: Pin) -> bool:
    """Whether what is known of one pin says nothing of another of its id."""
    return (old.question, old.pointer, old.value.digest) != (
        new.question, new.pointer, new.value.digest,
    )  # fmt: skip
