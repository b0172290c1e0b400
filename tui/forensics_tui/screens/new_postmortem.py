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
from forensics_tui.screens.choices import Choices
from forensics_tui.screens.prompt import read_time
from forensics_tui.widgets.safe_input import SafeInput

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
        why: what the window is taken from.
        is_sought: whether a better one is being looked for, which :meth:`found` tells of.
    """

    title: str
    point: str
    since_us: int
    until_us: int
    points: tuple[str, ...] = ()
    why: str = ""
    is_sought: bool = False


class ChoosePostmortem(Choices[Path | Wanted]):
    """The postmortems that there are, newest first, and a new one.

    Args:
        there: their paths.
        wanted: what a new one is made of, until somebody says otherwise.
    """

    def __init__(self, there: Sequence[Path], wanted: Wanted) -> None:
        super().__init__()
        self._there = there
        self._wanted = wanted
        self._new: NewPostmortem | None = None

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

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer, or ask of what window a new one is."""
        event.stop()
        if event.option_index < len(self._there):
            self.dismiss(self._there[event.option_index])
        else:
            new = NewPostmortem(self._wanted)
            await self.app.push_screen(new, self._made)
            self._new = new
            new.found(self._wanted)

    def found(self, wanted: Wanted) -> None:
        """Take what a new one is made of."""
        self._wanted = wanted
        if self._new is not None:
            self._new.found(wanted)

    def _made(self, wanted: Wanted | None) -> None:
        self._new = None
        if wanted is not None:
            self.dismiss(wanted)


class NewPostmortem(ModalScreen[Wanted | None]):
    """Asks for the title and the window of a new postmortem; enter takes what is written there."""

    BINDINGS = bindings(NEW_KEYS)

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self._wanted = wanted
        #: What stands in the lines until somebody writes there.
        self._offered: dict[str, str] = {}
        self._is_made = False

    def compose(self) -> ComposeResult:
        """A line each."""
        wanted = self._wanted
        self._offered = _times(wanted)
        lines = [
            ("title", safe_text(wanted.title), "what its window shows"),
            *((name, value, "") for name, value in self._offered.items()),
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
            yield Static(Content(self._why), id="new-said")
            yield Static(
                Content("enter makes it · up and down move · times are UTC"), classes="box-keys"
            )

    def on_mount(self) -> None:
        """Begin with the title."""
        self.set_focus(self.query_one("#new-title"))

    @property
    def _why(self) -> str:
        wanted = self._wanted
        return "looking for what began it, and what ended it …" if wanted.is_sought else wanted.why

    def found(self, wanted: Wanted) -> None:
        """Take what it is made of; what somebody has written stays."""
        self._wanted = wanted
        if not self.is_running:
            return
        for name, value in _times(wanted).items():
            line = self.query_one(f"#new-{name}", Input)
            if line.value == self._offered[name]:
                line.value = self._offered[name] = value
        self._say_why()
        if self._is_made:
            self._answer()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what the window is taken from."""
        self._say_why()

    def _say_why(self) -> None:
        """What the window was taken from, which is no longer so once another is written."""
        offered = all(self._written(name) == value for name, value in self._offered.items())
        self._say(self._why if offered else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, as soon as all is known that it is made of."""
        event.stop()
        self._is_made = True
        if not self._wanted.is_sought:
            self._answer()

    def _answer(self) -> None:
        """Answer, where it is a window."""
        self._is_made = False
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


def _times(wanted: Wanted) -> dict[str, str]:
    """The lines of the window, and what stands there."""
    times = {"since": wanted.since_us, "until": wanted.until_us}
    return {name: time_words(us)[:19] for name, us in times.items()}
