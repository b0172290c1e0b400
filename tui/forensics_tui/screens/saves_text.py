"""A postmortem's text and its file: nothing that somebody wrote is lost, whoever writes it too."""

from __future__ import annotations

from forensics.errors import ForensicsError
from forensics_tui.inert import said
from forensics_tui.opening import Opened
from forensics_tui.screens.has_text import SAY_S, HasText
from forensics_tui.sheet import Sheet


class SavesText(HasText):
    """Saves the text, and takes what others wrote to its file.

    Args:
        opened: the lake.
        id: of the place.
    """

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(opened, id=id)
        #: What was put beside the file last, so that it is not put there twice.
        self._aside = ""
        self._asks_which = False

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
        self.app.notify(words, severity="warning", timeout=SAY_S, markup=False)

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
            self.app.say(f"not saved: {said(error)}", SAY_S)
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
            self.app.say(f"not saved: {said(error)}", SAY_S)
            return
        self._tell()
        self.app.say(f"saved; the other is kept in {aside}", SAY_S)

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
            self.app.say(said(error), SAY_S)
            return
        self._take(sheet)
        self.app.say("read again: the file was changed on disk")
