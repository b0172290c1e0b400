"""One question with one answer: a time, or a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros, to_micros
from forensics_tui.inert import time_words
from forensics_tui.keys import Key, bindings

KEYS = (Key("prompt-back", "escape", "back", "back"),)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d{1,6})?))?")
_STEP = re.compile(r"([+-])\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def read_time(text: str, near_us: int) -> int | None:
    """A time in microseconds from what a person writes; None where it is none.

    Args:
        text: ISO 8601 in UTC, a clock time of the day one looks at, or a step as ``-2h``.
        near_us: the time one looks at.
    """
    text, near = text.strip(), from_micros(near_us)
    try:
        if clock := _CLOCK.fullmatch(text):
            day = near.replace(hour=0, minute=0, second=0, microsecond=0)
            hours, minutes, seconds = int(clock[1]), int(clock[2]), float(clock[3] or 0)
            if hours > 23 or minutes > 59 or seconds >= 60:
                return None
            return to_micros(day + timedelta(hours=hours, minutes=minutes, seconds=seconds))
        if step := _STEP.fullmatch(text):
            seconds = float(step[2]) * _UNITS[step[3]]
            return to_micros(near + timedelta(seconds=-seconds if step[1] == "-" else seconds))
        time = datetime.fromisoformat(text)
        return to_micros(time.replace(tzinfo=UTC) if time.tzinfo is None else time)
    except (ValueError, OverflowError):
        return None


class TimePrompt(ModalScreen[int | None]):
    """Asks for a time."""

    BINDINGS = bindings(KEYS)

    def __init__(self, near_us: int) -> None:
        super().__init__()
        self._near_us = near_us

    def compose(self) -> ComposeResult:
        """A line to write on, and what can be written."""
        with Vertical(classes="box"):
            yield Static(Content("go to a time (UTC)"), classes="box-title")
            yield Input(time_words(self._near_us)[:16], compact=True, select_on_focus=True)
            yield Static(
                Content("2026-10-21 02:13 · 02:13 on the day one looks at · -2h or +30min"),
                id="prompt-said",
            )

    def on_mount(self) -> None:
        """Write at once."""
        self.set_focus(self.query_one(Input))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, where it is a time."""
        event.stop()
        found = read_time(event.value, self._near_us)
        if found is None:
            self.query_one("#prompt-said", Static).update(
                Content("That is no time. Write 2026-10-21 02:13, 02:13, -2h or +30min.")
            )
        else:
            self.dismiss(found)

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


class FilePrompt(ModalScreen[Path | None]):
    """Asks where something is to be written; what is there already is only replaced on purpose.

    Args:
        title: what is written.
        path: a name to begin with.
        suffixes: how the name may end.
    """

    BINDINGS = bindings(KEYS)

    def __init__(self, title: str, path: Path, suffixes: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._path = path
        self._suffixes = suffixes
        self._replaces: Path | None = None

    def compose(self) -> ComposeResult:
        """A line to write on, and what can be written."""
        with Vertical(classes="box"):
            yield Static(Content(safe_text(self._title)), classes="box-title")
            yield Input(safe_text(self._path), compact=True, select_on_focus=False)
            yield Static(Content(f"the name ends in {_listed(self._suffixes)}"), id="prompt-said")

    def on_mount(self) -> None:
        """Write at once."""
        self.set_focus(self.query_one(Input))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, where it can be written."""
        event.stop()
        path = Path(event.value.strip()).expanduser()
        if path.suffix.lower() not in self._suffixes:
            self._say(f"The name has to end in {_listed(self._suffixes)}.")
        elif not path.parent.is_dir():
            self._say(f"There is no folder {path.parent}.")
        elif path.is_dir():
            self._say(f"{path} is a folder.")
        elif path.exists() and path != self._replaces:
            self._replaces = path
            self._say(f"{path} is there already: enter replaces it, another name keeps it.")
        else:
            self.dismiss(path)

    def _say(self, words: str) -> None:
        self.query_one("#prompt-said", Static).update(Content(safe_text(words)))

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


def _listed(suffixes: Sequence[str]) -> str:
    *others, last = (f"{one} (JSON lines)" if one == ".jsonl" else one for one in suffixes)
    return f"{', '.join(others)} or {last}"
