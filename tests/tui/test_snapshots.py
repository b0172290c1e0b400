"""Every screen in three sizes, light and dark, as text that is read as a diff.

A scene leads to one or more screens. Each is held in one file for a size: its lines, then a digest
of the styles in each theme. FORENSICS_UPDATE_GOLDEN=1 writes them anew; what changed is looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("textual")

GOLDEN = Path(__file__).parents[1] / "golden" / "tui"
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("forensics-dark", "forensics-light")
SHOWCASE = "7f3a-c1"
#: What is drawn anew each time that the sample is built, or differs from machine to machine.
_CHANCE = re.compile(
    r"(?:part-)?\b[0-9a-f]{8,}\b|\b2026-1[1-9]-\d\d[ T][\d:.]+"
    r"|\b20(?:2[7-9]|[3-9]\d)-[\d-]+[ T][\d:.]+|segment [0-9a-f]{8}|leaf [\d,]+|row \d+"
)
_SECONDS = re.compile(r"(?:(?<=· )|(?<=in ))\d+(?:\.\d+)? s$")
Scene = Callable[[Any], AsyncIterator[str]]
SCENES: dict[str, tuple[Scene, dict[str, Any]]] = {}


def scene(**asked: Any) -> Callable[[Scene], Scene]:
    """Register a scene, which drives a seat and yields the name of each screen it comes to.

    Args:
        asked: what the application is opened with.
    """

    def register(made: Scene) -> Scene:
        SCENES[made.__name__] = made, asked
        return made

    return register


class Shot(NamedTuple):
    """What a screen shows, and a digest of how."""

    text: str
    styles: str


def shot(seat: Any) -> Shot:
    """The screen as it is."""
    for field in seat.app.screen.query("Input, TextArea"):
        field.cursor_blink = False
    strips = seat.strips
    digest = hashlib.sha256()
    for strip in strips:
        cells = ((str(part.style), len(part.text)) for part in strip)
        for style, run in groupby(cells, key=lambda cell: cell[0]):
            digest.update(f"{sum(length for _, length in run)} {style};".encode())
        digest.update(b"\n")
    lines = [_CHANCE.sub(_same_length, strip.text).rstrip() for strip in strips]
    if _SECONDS.search(lines[0]):
        lines[0] = " ".join(_SECONDS.sub("# s", lines[0]).split())
    return Shot("\n".join(lines), digest.hexdigest()[:16])


def _same_length(found: re.Match[str]) -> str:
    return re.sub(r"\w", "#", found[0])


async def still(seat: Any) -> Shot:
    """The screen once nothing is under way and nothing moves."""
    last = None
    while True:
        await seat.rest()
        now = shot(seat)
        if now == last:
            return now
        last = now


async def taken(seat: Any, name: str) -> dict[str, str]:
    """What the files of a screen are to hold, by their names."""
    found = {}
    for width, height in SIZES:
        await seat.resize(width, height)
        shots = {}
        for theme in THEMES:
            seat.app.theme = theme
            shots[theme] = await still(seat)
        dark, light = shots.values()
        assert dark.text == light.text, f"{name}-{width}x{height}"
        styles = "\n".join(f"{theme} {one.styles}" for theme, one in shots.items())
        found[f"{name}-{width}x{height}.txt"] = f"{dark.text}\n\n{styles}\n"
    await seat.resize(*SIZES[0])
    seat.app.theme = THEMES[0]
    await seat.rest()
    return found


@scene()
async def decisions(seat: Any) -> AsyncIterator[str]:
    await seat.see("bars up to")
    yield "decisions"
    await seat.press("m", "j", "j", "m", "M")
    await seat.see("enter opens")
    yield "marks"
    await seat.press("escape", "question_mark")
    await seat.see("keys · decisions")
    yield "help"
    await seat.press("escape", "at")
    await seat.see("go to a time")
    yield "time"
    await seat.press("escape", "e")
    await seat.see("the columns that are shown")
    yield "file"
    await seat.press("escape", "c")
    await seat.see("part of a name")
    yield "columns"
    await seat.press("escape", "p")
    await seat.see("pin to a postmortem")
    yield "pin"
    await seat.press("escape", "slash", *"utilisation_3n > 5", "enter")
    await seat.see("Nearest names")
    yield "decisions-error"
    await seat.press("slash", "ctrl+u", *"utilisation_3m > 5", "enter")
    await seat.see("of the matches")
    yield "decisions-filter"


@scene(identifier=SHOWCASE)
async def decision(seat: Any) -> AsyncIterator[str]:
    from forensics_tui.screens.decision import TABS

    await seat.see("bit exact ·")
    for name, _, _ in TABS:
        await seat.see(f"[{name}]")
        yield f"decision-{name.replace(' ', '-')}"
        await seat.press("right_square_bracket")


async def come_to(seat: Any, name: str) -> None:
    """Wait until a place is there and whole."""
    await seat.until(lambda: seat.app.screen.name == name)
    await still(seat)


@scene(identifier=SHOWCASE)
async def places(seat: Any) -> AsyncIterator[str]:
    await seat.see("bit exact ·")
    for key, name in (("t", "timeline"), ("s", "state"), ("L", "lineage"), ("f", "findings")):
        await seat.press(key)
        await come_to(seat, name)
        yield name
        await seat.press("escape")
        await come_to(seat, "decision")
    await seat.press("m", "escape", "m", "x")
    await come_to(seat, "diff")
    yield "diff"


@scene()
async def postmortem(seat: Any) -> AsyncIterator[str]:
    await seat.see("bars up to")
    await seat.press("P")
    await seat.see("a new postmortem")
    for text in ("Declines after the change", "2026-10-21 02:13", "2026-10-21 05:41"):
        await seat.press("ctrl+u", *text, "down")
    yield "postmortem-new"
    await seat.press("enter")
    await seat.see("all still hold")
    yield "postmortem"


@pytest.mark.parametrize("name", SCENES)
def test_every_screen_is_what_the_golden_files_hold(
    sample_lake: Path, seated: Any, tmp_path: Path, name: str
) -> None:
    made, asked = SCENES[name]

    async def session() -> dict[str, str]:
        found: dict[str, str] = {}
        folder = tmp_path / "postmortems"
        async with seated(sample_lake, SIZES[0], postmortems=folder, **asked) as seat:
            async for screen in made(seat):
                found |= await taken(seat, screen)
        return found

    shown = asyncio.run(session())
    if os.environ.get("FORENSICS_UPDATE_GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        for file, text in shown.items():
            (GOLDEN / file).write_text(text, encoding="utf-8", newline="\n")
    for file, text in shown.items():
        assert text == (GOLDEN / file).read_text(encoding="utf-8"), file


def test_no_golden_screen_is_wider_or_higher_than_its_size() -> None:
    files = list(GOLDEN.glob("*.txt"))
    assert files
    for file in files:
        width, height = map(int, file.stem.rpartition("-")[2].split("x"))
        lines = file.read_text(encoding="utf-8").split("\n")
        assert len(lines) == height + len(THEMES) + 2, file
        assert max(map(len, lines)) <= width, file
