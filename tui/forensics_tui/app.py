"""The application: what all screens share, and how one leads to another."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from textual.app import App, SystemCommand
from textual.screen import Screen
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from forensics.errors import ForensicsError, UsageError
from forensics.lake.window import DECISION, Row
from forensics.records.safe_text import safe_text
from forensics_tui.inert import said
from forensics_tui.kept import NOTHING, Kept, key_of
from forensics_tui.key_order import KeysInOrder
from forensics_tui.keys import ANYWHERE, Key, bindings, shown
from forensics_tui.looked import InContext
from forensics_tui.opening import Opened
from forensics_tui.screens.decisions import DecisionsScreen
from forensics_tui.screens.place import Place
from forensics_tui.widgets.chrome import Hints

if TYPE_CHECKING:
    from forensics.reconstruct.reconstruction import Reconstruction

_SAY_S = 4.0
_KEEP_EVERY_S = 10.0
_ERROR_S = 20.0
_ERROR_MAX = 400
DARK = Theme(
    name="forensics-dark",
    primary="#6cb6ff",
    secondary="#8ddb8c",
    accent="#6cb6ff",
    foreground="#d6dbe1",
    background="#14181d",
    surface="#14181d",
    panel="#232a32",
    success="#7fd18b",
    warning="#e3b341",
    error="#ff7b72",
    dark=True,
)
LIGHT = Theme(
    name="forensics-light",
    primary="#0550ae",
    secondary="#116329",
    accent="#0550ae",
    foreground="#1f2328",
    background="#ffffff",
    surface="#ffffff",
    panel="#e6eaef",
    success="#116329",
    warning="#8a5a00",
    error="#b3261e",
    dark=False,
)
#: The terminal's own sixteen colours: where it has no more, or colours are not wanted.
PLAIN = "ansi-dark"
_PLAIN_LIGHT = "ansi-light"


class ForensicsApp(KeysInOrder, App[None]):
    """``forensics tui``."""

    CSS_PATH = "app.tcss"
    TITLE = "decision-forensics"
    BINDINGS = bindings(ANYWHERE)
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING: ClassVar[str] = "ctrl+p"

    def __init__(
        self,
        opened: Opened,
        theme: str | None = None,
        keys: Mapping[str, str] | None = None,
        keep: Callable[[Kept], None] | None = None,
    ) -> None:
        plain = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if plain else None)
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        few = self.console.color_system in (None, "standard", "windows")
        if theme is not None and theme not in self.available_themes:
            names = ", ".join(sorted(self.available_themes))
            raise UsageError(f"No theme is called {theme!r}.", "", f"There are: {names}.")
        kept = opened.kept
        self._chosen_theme = kept.theme if kept.theme in self.available_themes else None
        wanted = opened.asked.theme or self._chosen_theme or theme or DARK.name
        self.theme = PLAIN if plain or few else wanted
        self._keys_waiting = deque()
        self.opened = opened
        #: Marked decisions by their ids, in the order of marking.
        self.marks: dict[str, Row] = {
            decision: (us, point, decision, request) for us, point, decision, request in kept.marks
        }
        #: The name of the postmortem that was last open; None where none was.
        self.postmortem: str | None = kept.postmortem
        #: Where pins go, once somebody has said so in this session.
        self.pinning_to: Path | None = None
        self._keep = keep
        #: What was to be kept for the next session when this one ended.
        self.kept = kept
        #: Keys of this person in place of others, by the ids in :mod:`forensics_tui.keys`.
        self.keys = dict(keys or {})
        self.set_keymap(self.keys)

    @property
    def lake_name(self) -> str:
        """What the lake is called on screens."""
        return self.opened.asked.root.resolve().name

    @property
    def postmortems(self) -> Path:
        """The folder of the lake's postmortems."""
        from forensics.incident.files import folder

        return folder(self.opened.asked.root, self.opened.asked.postmortems)

    def on_mount(self) -> None:
        """Begin with a decision, where one was asked for, else with all of them."""
        asyncio.get_running_loop().set_default_executor(InContext())
        self.push_screen(DecisionsScreen(self.opened))
        if self.opened.traced:
            self.show_traced(self.opened.traced)
        elif self.opened.kept.decision is not None:
            self.call_next(self.open_decision, self.opened.kept.decision, self.opened.kept.tab)
        if self.opened.word:
            self.call_after_refresh(self.say, self.opened.word, _ERROR_S)
        if self._keep is not None:
            self.set_interval(_KEEP_EVERY_S, self._keep_now)

    def on_exit_app(self) -> None:
        """Remember where one was, while the screens are still there."""
        self.kept = self.remember()

    def remember(self) -> Kept:
        """Where one is, for the next session."""
        from forensics_tui.screens.decision import DecisionScreen

        seen = NOTHING
        decision: DecisionScreen | None = None
        for screen in self.screen_stack:
            if isinstance(screen, DecisionsScreen) and screen.is_mounted:
                seen = screen.remember()
            elif isinstance(screen, DecisionScreen) and screen.is_mounted:
                decision = screen
        return replace(
            seen,
            theme=self._chosen_theme,
            marks=tuple(key_of(row) for row in self.marks.values()),
            postmortem=self.postmortem,
            decision=decision.key if decision is not None else None,
            tab=decision.tab if decision is not None else None,
        )

    def _keep_now(self) -> None:
        """Keep where one is, for the case that the terminal goes away without a word."""
        if self._keep is not None:
            work = partial(self._keep_quietly, self._keep, self.remember())
            self.run_worker(work, thread=True, group="keep", exit_on_error=False)

    @staticmethod
    def _keep_quietly(keep: Callable[[Kept], None], kept: Kept) -> None:
        with suppress(ForensicsError):  # the last attempt, at the end, says so
            keep(kept)

    async def open_decision(self, row: Row, tab: str | None = None) -> None:
        """Show one decision, reconstructed; at a tab by its name, else at the first."""
        from forensics_tui.screens.decision import DecisionScreen

        await self.push_screen(DecisionScreen(self.opened, row, tab=tab))

    def show_traced(self, traced: list[Reconstruction]) -> None:
        """Show a decision that has been looked up already."""
        from forensics_tui.screens.decision import DecisionScreen, row_of

        self.push_screen(DecisionScreen(self.opened, row_of(traced[0].decision), traced[0]))

    def mark(self, row: Row) -> None:
        """Mark a decision, or take its mark away."""
        if self.marks.pop(row[DECISION], None) is None:
            self.marks[row[DECISION]] = row

    async def action_marks(self) -> None:
        """The decisions that are marked, to open one or take marks away."""
        from forensics_tui.screens.marks import MarksScreen

        if not self.marks:
            self.say("Nothing is marked: m marks.")
        elif isinstance(self.screen, Place):
            await self.push_screen(MarksScreen(self.marks), self._from_marks)

    async def _from_marks(self, row: Row | None) -> None:
        if isinstance(self.screen, Place):
            self.screen.marks_changed()
        if row is not None:
            await self.open_decision(row)

    def way(self, to: Place) -> list[str]:
        """The crumbs from the lake to a place."""
        passed = [screen for screen in self.screen_stack if isinstance(screen, Place)]
        passed = passed[: passed.index(to)] if to in passed else passed
        return [self.lake_name, *(place.crumb for place in (*passed, to))]

    def back(self) -> None:
        """Back to the place before; the first one stays."""
        if sum(isinstance(screen, Place) for screen in self.screen_stack) > 1:
            self.pop_screen()

    async def action_go(self, name: str) -> None:
        """Go to a place, or stay where one is there already."""
        from forensics_tui.places import place

        here = self.screen
        if not isinstance(here, Place) or here.name == name:
            return
        try:
            there = place(name, self.opened, here)
        except ForensicsError as error:
            self.say(said(error))
            return
        await self.push_screen(there)

    async def action_pin(self) -> None:
        """Pin what is under the cursor to the postmortem, with a note."""
        from forensics_tui.pinning import pin

        if isinstance(self.screen, Place):
            await pin(self, self.screen)

    def copy(self, text: str) -> None:
        """Put text on the clipboard that has been made inert, and say so."""
        self.copy_to_clipboard(text)
        self.say(f"copied: {text}")

    def say(self, message: str, seconds: float = _SAY_S) -> None:
        """Tell something in the line of hints for a while."""
        hints = self.screen.query(Hints)
        for line in hints:
            line.say(message, seconds)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Nothing fails unsaid."""
        self.report(event)

    def report(self, event: Worker.StateChanged) -> None:
        """Say what ended a worker that nobody foresaw: nothing fails unsaid."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            error = event.worker.error
            words = safe_text(f"{type(error).__name__}: {error}", _ERROR_MAX)
            self.notify(words, title="failed", severity="error", timeout=_ERROR_S, markup=False)

    async def action_help(self) -> None:
        """The keys of this place."""
        from forensics_tui.screens.help import HelpScreen

        keys: Iterable[Key] = getattr(self.screen, "KEYS", ANYWHERE)
        place = str(self.screen.TITLE or "").lower()
        await self.push_screen(HelpScreen(place, keys, self.keys))

    def action_theme(self) -> None:
        """The other theme, dark or light."""
        dark = self.current_theme.dark
        if self.theme in (PLAIN, _PLAIN_LIGHT):
            self.theme = _PLAIN_LIGHT if dark else PLAIN
        else:
            self.theme = self._chosen_theme = LIGHT.name if dark else DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every key of the place, by what it does."""
        for key in getattr(screen, "KEYS", ANYWHERE):
            if key.id != "palette":
                keys = shown(self.keys.get(key.id, key.keys))
                yield SystemCommand(key.words, f"key {keys}", _runner(screen, key.action))
        yield SystemCommand("dark or light", "change the theme", self.action_theme)


def _runner(screen: Screen[object], action: str) -> Callable[[], Awaitable[None]]:
    """Does an action where it belongs: at what has the focus, what holds that, or the app."""
    name = action.partition("(")[0].removeprefix("app.")

    async def run() -> None:
        focused = screen.focused or screen
        for node in (*focused.ancestors_with_self, screen.app):
            if hasattr(node, f"action_{name}"):
                await screen.app.run_action(action, node)
                return

    return run
