"""An application on a lake, driven without a terminal and in a real one, and what it shows."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import time
import unicodedata
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

#: Drawing is most of what these tests do; what is drawn between two looks, nobody sees.
os.environ["TEXTUAL_FPS"] = "20"
pytest.importorskip("textual")
from textual.events import Key

from forensics.testing import change_record, decision_record, override_record


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A terminal of many colours for every test, and a folder of its own for what is kept."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def _key(name: str) -> Key:
    """A key as a terminal tells it: a character, or a name of Textual's."""
    from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key

    if len(name) == 1 and not name.isalnum():
        name = _character_to_key(name)
    try:
        said = unicodedata.lookup(_get_unicode_name_from_key(REPLACED_KEYS.get(name, name)))
    except KeyError:
        return Key(name, name if len(name) == 1 else None)
    return Key(name, said)


class Seat:
    """Somebody in front of the application.

    Textual's pilot waits after each key until the process is idle, twice, and gives up after a
    second: what a test then sees depends on what else the machine does. Here keys are typed ahead,
    and awaited until they have been answered.
    """

    def __init__(self, app: Any, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot
        pilot.pause = self.press  # before and after what the mouse does, too
        self._drawn = asyncio.Event()
        self._display = app._display
        app._display = self._displayed

    def _displayed(self, *drawn: Any) -> None:
        self._display(*drawn)
        self._drawn.set()

    @property
    def strips(self) -> list[Any]:
        """The screen's lines as they are drawn, with their styles.

        A prompt draws what is behind it from a context that Textual sets when it draws. Without, it
        would draw nothing there, and keep that for the next time.
        """
        from textual._context import visible_screen_stack

        visible_screen_stack.set(self.app._background_screens)
        strips: list[Any] = self.app.screen._compositor.render_strips()
        return strips

    @property
    def lines(self) -> list[str]:
        """The screen's lines as they are drawn."""
        return [strip.text for strip in self.strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @staticmethod
    def at_cursor(text: str) -> str:
        """The line of a screen that the cursor is on."""
        (line,) = (line for line in text.splitlines() if line.startswith(">"))
        return line

    async def press(self, *keys: str) -> None:
        """Press keys, and wait until all have been answered, but not for what works in threads."""
        app, taken = self.app, asyncio.Event()
        for name in keys:
            key = _key(name)
            key.set_sender(app)
            app.post_message(key)
        app.call_later(taken.set)
        while app._exception is None and not app._exit:
            if taken.is_set() and not app._key_busy:
                break
            await asyncio.sleep(0.001)
        await self.pilot._wait_for_screen()
        if app._exception is None and not app._exit:
            app.screen._on_timer_update()

    async def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, and wait until everything has its place in it."""
        from textual.events import Resize
        from textual.geometry import Size

        size = Size(width, height)
        self.app._driver._size = size
        self.app.post_message(Resize(size, size))
        await self.rest()

    async def sizes(self, *more: tuple[int, int]) -> AsyncIterator[tuple[int, int]]:
        """Have every size in turn, light and dark."""
        from forensics_tui.app import DARK, LIGHT

        for at, size in enumerate((*more, (80, 24), (120, 40), (200, 60))):
            await self.resize(*size)
            for theme in (DARK, LIGHT)[:: 1 - 2 * (at % 2)]:
                self.app.theme = theme.name
                await self.rest()
                yield size

    async def worked(self) -> None:
        """Wait until nothing works in a thread."""
        await self.until(lambda: all(worker.is_finished for worker in self.app.workers))
        await self.press()

    async def rest(self) -> None:
        """Wait until nothing works in a thread, is to happen after a while, or is to be drawn."""

        def quiet() -> bool:
            app, screen = self.app, self.app.screen
            if app._resize_event is not None or app._resize_timer is not None or screen._callbacks:
                return False
            if screen._layout_required or screen._repaint_required or screen._dirty_widgets:
                return False
            nodes = (app, *screen.walk_children(with_self=True))
            once = (each for node in nodes for each in node._timers if each._repeat == 0)
            if any(timer._task is not None and not timer._task.done() for timer in once):
                return False
            return all(worker.is_finished for worker in app.workers)

        calm = 0
        while calm < 3:  # what is done after the next drawing may begin something new
            await self.until(quiet)
            await self.press()
            calm = calm + 1 if quiet() else 0

    async def type(self, text: str) -> None:
        """Type text, as fast as it is taken."""
        await self.press(*text)

    async def click(self, *where: Any, **how: Any) -> None:
        """Click as the pilot does, ``times`` times at an ``offset``, and wait for the answer."""
        await self.pilot.click(*where, **how)

    async def to_time(self, text: str) -> None:
        """Go to a time."""
        await self.press("at")
        await self.see("go to a time")
        await self.type(text)
        await self.press("enter")
        await self.see(lambda shown: "go to a time" not in shown)

    async def search(self, text: str) -> None:
        """Ask for what the place looks for: rows of a condition, a name."""
        await self.press("slash")
        await self.type(text)
        await self.press("enter")

    async def see(self, wanted: str | Callable[[str], bool], patience_s: float = 180) -> str:
        """Wait until the screen shows something, and all that it shows then."""
        shown = wanted if callable(wanted) else lambda text: wanted in text
        text = ""

        def seen() -> bool:
            nonlocal text
            text = self.text
            return shown(text)

        try:
            await self.until(seen, patience_s)
        except TimeoutError:
            raise AssertionError(f"the screen never showed {wanted!r}:\n{self.text}") from None
        return text

    async def until(self, so: Callable[[], bool], patience_s: float = 180) -> None:
        """Wait until something is so, without a look at the screen, which takes a while."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if self.app._exception is not None:
                raise self.app._exception
            self._drawn.clear()
            if so():
                return
            with suppress(TimeoutError):  # not all that is waited for is drawn
                await asyncio.wait_for(self._drawn.wait(), 0.1)
        raise TimeoutError(f"it never was so; the screen shows:\n{self.text}")


Seated = Callable[..., AbstractAsyncContextManager[Seat]]


@pytest.fixture(scope="session")
def seated() -> Seated:
    """Take a seat: ``async with seated(root, size=(80, 24), where="score > 0.5") as seat``."""

    @asynccontextmanager
    async def seated(
        root: Path,
        size: tuple[int, int] = (80, 24),
        theme: str | None = None,
        kept: Any = None,
        **asked: Any,
    ) -> AsyncIterator[Seat]:
        from forensics_tui.app import ForensicsApp
        from forensics_tui.kept import NOTHING
        from forensics_tui.opening import Asked, open_lake

        app = ForensicsApp(open_lake(Asked(root, **asked), kept or NOTHING), theme)
        async with app.run_test(size=size, notifications=True) as pilot:
            yield Seat(app, pilot)

    return seated


class Terminal:
    """A window of a tmux server of its own."""

    def __init__(self, command: str, width: int, height: int, **environment: str) -> None:
        self._tmux = ["tmux", "-L", f"forensics-test-{uuid.uuid4().hex[:8]}", "-f", os.devnull]
        size = ["-x", str(width), "-y", str(height)]
        ours = {**os.environ, "COLORTERM": "", **environment}
        if "NO_COLOR" not in environment:
            ours.pop("NO_COLOR", None)
        words = shlex.join(f"{name}={value}" for name, value in environment.items())
        program = f"env {words} {command}; echo left with $?; cat"
        #: How many keys were pressed.
        self.pressed = 0
        subprocess.run([*self._tmux, "new-session", "-d", *size, program], check=True, env=ours)
        # An escape must not wait for what may follow it.
        subprocess.run([*self._tmux, "set", "-s", "escape-time", "0"], check=True)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def screen(self, *options: str) -> str:
        command = [*self._tmux, "capture-pane", "-p", *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def press(self, *keys: str) -> None:
        self.pressed += len(keys)
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def type(self, text: str) -> None:
        self.pressed += len(text)
        subprocess.run([*self._tmux, "send-keys", "-l", text], check=True)

    def see(self, wanted: str | Callable[[str], bool], patience_s: float = 90) -> str:
        shown = wanted if callable(wanted) else lambda text: wanted in text
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if shown(text := self.screen()):
                return text
            time.sleep(0.05)
        raise AssertionError(f"the terminal never showed {wanted!r}:\n{self.screen()}")


@pytest.fixture
def terminal(surroundings: Path) -> Iterator[Callable[..., Terminal]]:
    """Start ``forensics tui``: ``terminal("--lake", root, size=(80, 24), TERM="xterm")``."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened: list[Terminal] = []

    def start(*arguments: object, size: tuple[int, int] = (80, 24), **environment: str) -> Terminal:
        words = [sys.executable, "-m", "forensics", "tui", *map(str, arguments)]
        environment = {"XDG_STATE_HOME": str(surroundings), **environment}
        opened.append(Terminal(shlex.join(words), *size, **environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def hostile_history(lake: Path, take_in: Callable[..., Any]) -> Path:
    """Nine hours of decisions, changes and overrides, each full of a text that must do nothing."""
    texts = [
        "\x1b[2J", "\x1b]52;c;cm0=\x07", "a\rb", "\u202eb\u202c", "[@click=app.quit]x[/]", "[/]",
        "漢字" * 40, "x\u2028y", "$primary",
    ]  # fmt: skip
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    records: list[Any] = []
    for at, text in enumerate(texts):
        time = (begin + timedelta(hours=at)).isoformat()
        records += [
            decision_record(
                request_id=f"r{at}", decision_id=f"d{at}", occurred_at=time, outcome=text,
                environment=text, region=text, model={"name": text, "version": text},
                config={"name": text, "revision": text, "values": {text: text}},
                feature_sources=[{"view": text, "features": ["x"], "dataset": text, "job": text,
                                  "run_id": text}],
            ),
            change_record(
                change_id=f"c{at}", kind="flag" if at % 2 else "deploy", component=text,
                reason=text, actor=text, from_version=text, to_version=text, environment=text,
                occurred_at=time, recorded_at=time, detail={text: text},
            ),
            override_record(
                override_id=f"o{at}", decision_id=f"d{at}", reason=text, actor=text, scope=text,
                occurred_at=time,
            ),
        ]  # fmt: skip
    take_in(records)
    return lake


@pytest.fixture(scope="session")
def assert_inert() -> Callable[[str], None]:
    """That no character on a screen does anything."""

    def check(text: str) -> None:
        active = {
            hex(ord(character))
            for character in text.replace("\n", "")
            if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
        }
        assert not active, active

    return check
