"""An application on a lake, driven without a terminal, and what its screen shows."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual")


class Seat:
    """Somebody in front of the application."""

    def __init__(self, app: Any, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def lines(self) -> list[str]:
        """The screen's lines as they are drawn."""
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        names = {" ": "space", "'": "apostrophe", ">": "greater_than_sign", ".": "full_stop",
                 "=": "equals_sign", "_": "underscore", ":": "colon", "-": "minus",
                 "<": "less_than_sign"}  # fmt: skip
        await self.pilot.press(*(names.get(character, character) for character in text))

    async def see(self, wanted: str | Callable[[str], bool], patience_s: float = 60) -> str:
        """Wait until the screen shows something, and all that it shows then."""
        shown = wanted if callable(wanted) else lambda text: wanted in text
        for _ in range(int(patience_s / 0.02)):
            if self.app._exception is not None:
                raise self.app._exception
            if shown(self.text):
                return self.text
            await asyncio.sleep(0.02)
        raise AssertionError(f"the screen never showed {wanted!r}:\n{self.text}")


Seated = Callable[..., AbstractAsyncContextManager[Seat]]


@pytest.fixture(scope="session")
def seated() -> Seated:
    """Take a seat: ``async with seated(root, size=(80, 24), where="score > 0.5") as seat``."""

    @asynccontextmanager
    async def seated(
        root: Path, size: tuple[int, int] = (80, 24), theme: str | None = None, **asked: Any
    ) -> AsyncIterator[Seat]:
        from forensics_tui.app import ForensicsApp
        from forensics_tui.opening import Asked, open_lake

        app = ForensicsApp(open_lake(Asked(root, **asked)), theme)
        async with app.run_test(size=size, notifications=True) as pilot:
            yield Seat(app, pilot)

    return seated


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
