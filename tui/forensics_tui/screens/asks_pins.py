"""A postmortem's pins, asked again beside everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from textual.message import Message

from forensics.errors import ForensicsError
from forensics.incident.asking import Answers
from forensics.incident.pins import Checked, Pin, recheck
from forensics.lake import sql
from forensics.lake.snapshot import take
from forensics.lake.window import Reader
from forensics_tui.inert import said
from forensics_tui.opening import Opened
from forensics_tui.screens.has_text import SAY_S, HasText


class AsksPins(HasText):
    """Asks pins again: by itself those that it does not know, and all when somebody wants it.

    Args:
        opened: the lake.
        id: of the place.
    """

    @dataclass
    class _Asking(Message):
        """A pin is being asked again; None where all have been."""

        number: int
        pin: Pin | None

    @dataclass
    class _Asked(Message):
        number: int
        checked: Checked

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(opened, id=id)
        self._number = 0
        self._asking: Reader | None = None
        #: Whether somebody asked for the check that is running; else it runs by itself.
        self._wanted = False

    def _ask_the_rest(self) -> None:
        """Ask the pins again of which nothing is known yet."""
        if self._asking is None:
            self._check([pin for pin in self._pins if pin.id not in self._checks])

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
            self._number += 1
        self._wanted = False
        self._checks = {id_: one for id_, one in self._checks.items() if one != "checking"}

    def on_asks_pins__asking(self, message: _Asking) -> None:
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

    def on_asks_pins__asked(self, message: _Asked) -> None:
        """Show what became of a pin."""
        if message.number == self._number:
            self._checks[message.checked.pin.id] = message.checked
            self._lay()

    def action_recheck(self) -> None:
        """Ask all pins again, of the lake as it is now."""
        try:
            snapshot = take(self._opened.asked.root)
        except ForensicsError as error:
            self.app.say(said(error), SAY_S)
            return
        self._check(self._pins, self._opened.reader.another(snapshot))
        self._wanted = self._asking is not None

    def _end_asking(self) -> bool:
        """End what somebody asked for; whether there was something to end."""
        if not self._wanted or self._asking is None:
            return False
        self._stop()
        self._lay()
        self.app.say("ended: the other pins are not checked")
        return True
