"""Which postmortem to write to: one that is there, or a new one of a window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from forensics.records.safe_text import safe_text
from forensics_tui.inert import time_words
from forensics_tui.keys import Key, bindings
from forensics_tui.screens.prompt import read_time
from forensics_tui.widgets.safe_input import SafeInput

KEYS = (
    Key("choose-back", "escape,less_than_sign", "back", "back"),
    Key("choose-down", "j", "down", "down one"),
    Key("choose-up", "k", "up", "up one"),
)
NEW_KEYS = (
    Key("new-back", "escape", "back", "back, nothing made"),
    Key("new-down", "down", "app.focus_next", "the next line"),
    Key("new-up", "up", "app.focus_previous", "the line before"),
)


class Wanted(NamedTuple):
    """A postmortem that is to be made of the decisions of a window.

    Args:
        title: what it is called; where empty, what its window shows.
        point: whose decisions.
        since_us: the window's first microsecond.
        until_us: the first beyond it.
        points: the decision points that there are.
    """

    title: str
    point: str
    since_us: int
    until_us: int
    points: tuple[str, ...] = ()


class ChoosePostmortem(ModalScreen[Path | Wanted | None]):
    """The postmortems that there are, newest first, and a new one.

    Args:
        there: their paths.
        wanted: what a new one is made of, until somebody says otherwise.
    """

    BINDINGS = bindings(KEYS)

    def __init__(self, there: Sequence[Path], wanted: Wanted) -> None:
        super().__init__()
        self._there = there
        self._wanted = wanted

    def compose(self) -> ComposeResult:
        """The names."""
        with Vertical(classes="box"):
            yield Static(Content("which postmortem"), classes="box-title")
            yield OptionList(
                *(Option(Content(safe_text(path.stem, 80))) for path in self._there),
                Option(Content("a new one …")),
                id="postmortems",
                compact=True,
            )
            yield Static(Content("enter chooses · esc goes back"), classes="box-keys")

    def on_mount(self) -> None:
        """The newest is chosen first."""
        self.query_one(OptionList).highlighted = 0
        self.set_focus(self.query_one(OptionList))

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer, or ask of what window a new one is."""
        event.stop()
        if event.option_index < len(self._there):
            self.dismiss(self._there[event.option_index])
        else:
            await self.app.push_screen(NewPostmortem(self._wanted), self._made)

    def _made(self, wanted: Wanted | None) -> None:
        if wanted is not None:
            self.dismiss(wanted)

    def action_down(self) -> None:
        """Down one."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Up one."""
        self.query_one(OptionList).action_cursor_up()

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


class NewPostmortem(ModalScreen[Wanted | None]):
    """Asks for the title and the window of a new postmortem; enter takes what is written there."""

    BINDINGS = bindings(NEW_KEYS)

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self._wanted = wanted

    def compose(self) -> ComposeResult:
        """A line each."""
        wanted = self._wanted
        lines = [
            ("title", safe_text(wanted.title), "what its window shows"),
            ("since", time_words(wanted.since_us)[:19], ""),
            ("until", time_words(wanted.until_us)[:19], ""),
        ]
        if len(wanted.points) > 1:
            lines.insert(1, ("point", safe_text(wanted.point), ", ".join(wanted.points)))
        with Vertical(classes="box"):
            yield Static(Content("a new postmortem"), classes="box-title")
            for name, value, otherwise in lines:
                with Horizontal(classes="field"):
                    yield Static(Content(name), classes="field-name")
                    yield SafeInput(
                        value, safe_text(otherwise), compact=True, select_on_focus=True,
                        id=f"new-{name}",
                    )  # fmt: skip
            yield Static(
                Content("enter makes it · up and down move · times are UTC"), id="new-said"
            )

    def on_mount(self) -> None:
        """Begin with the title."""
        self.set_focus(self.query_one("#new-title"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, where it is a window."""
        event.stop()
        wanted = self._wanted
        said = {name: self._written(name) for name in ("title", "point", "since", "until")}
        since = read_time(said["since"], wanted.since_us)
        until = read_time(said["until"], since if since is not None else wanted.since_us)
        if said["point"] not in ("", *wanted.points):
            self._say(f"There is no such decision point. There are: {', '.join(wanted.points)}.")
        elif since is None or until is None:
            self._say("A time is written as 2026-10-21 02:13, or 02:13 of the day of since.")
        elif since >= until:
            self._say("It must begin before it ends.")
        else:
            point = said["point"] or wanted.point
            self.dismiss(Wanted(safe_text(said["title"]), point, since, until, wanted.points))

    def _written(self, name: str) -> str:
        found = self.query(f"#new-{name}").results(Input)
        return next((line.value.strip() for line in found), "")

    def _say(self, words: str) -> None:
        self.query_one("#new-said", Static).update(Content(safe_text(words)))

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
