"""Every key of every place: it is pressed, nothing breaks, and help names it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from forensics_tui import keys
from forensics_tui.keys import Key, shown

SHOWCASE = "7f3a-c1"
Way = Callable[[Any], Awaitable[None]]


def by(*pressed: str) -> Way:
    """To a place by keys from the decision."""

    async def go(seat: Any) -> None:
        await seat.press(*pressed)

    return go


async def stay(seat: Any) -> None:
    pass


async def two_marks(seat: Any) -> None:
    await seat.press("m", "escape")
    await seat.see("of 30,000")  # rows that can be marked
    await seat.press("m")
    await seat.see("2 marked")
    await seat.press("x")


#: Each place by the name of its screen: the decision that is opened first, and the way from there.
PLACES: dict[str, tuple[str | None, Way]] = {
    "decisions": (None, stay),
    "decision": (SHOWCASE, by("enter")),
    "timeline": (SHOWCASE, by("t")),
    "state": (SHOWCASE, by("s")),
    "findings": (SHOWCASE, by("f")),
    "diff": (SHOWCASE, two_marks),
    "lineage": (SHOWCASE, by("L")),
}


async def arrive(seat: Any, name: str, way: Way) -> Any:
    """The screen of a place, once it is there."""
    await way(seat)
    await seat.until(lambda: seat.app.screen.name == name)
    return seat.app.screen


def back_to(seat: Any, place: Any) -> bool:
    """Leave what a key has opened; whether the place is still there."""
    while place in seat.app.screen_stack and seat.app.screen is not place:
        seat.app.pop_screen()
    return place in seat.app.screen_stack


@pytest.mark.parametrize("name", PLACES)
def test_every_key_of_a_place_can_be_pressed_and_help_names_it(
    sample_lake: Path, seated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from forensics_tui.widgets.lines import Lines

    identifier, way = PLACES[name]
    monkeypatch.chdir(tmp_path)

    async def session() -> None:
        async with seated(
            sample_lake, size=(80, 24), identifier=identifier, postmortems=tmp_path
        ) as seat:
            await seat.see("[summary]" if identifier else "1 of 30,000")
            place = await arrive(seat, name, way)
            await seat.press("question_mark")
            await seat.see(f"keys · {place.TITLE}".lower())
            text = " ".join(" ".join(seat.app.screen.query_one(Lines).text).split())
            told = list(dict.fromkeys(place.KEYS))
            for key in told:
                assert " ".join(key.words.split()) in text, key
                assert shown(key.keys).split()[0] in text, key
            pressed = [one for key in told for one in key.keys.split(",")]
            assert len(pressed) == len(set(pressed))
            last: list[str] = []
            for key in told:
                for one in key.keys.split(","):
                    if key.id == "quit":
                        last.append(one)
                        continue
                    if not back_to(seat, place):
                        place = await arrive(seat, name, way)
                    await seat.press(one)
                    await seat.press()
                    assert seat.app._exception is None, (key, seat.app._exception)
                    assert seat.app.is_running, key
                    assert seat.app.return_code in (None, 0), key
            back_to(seat, place)
            await seat.press(last[0])
            await seat.press()
            assert seat.app._exit

    asyncio.run(session())


def every_key() -> dict[str, Key]:
    """All keys of the module, by their ids."""
    groups = [value for value in vars(keys).values() if isinstance(value, tuple)]
    found = [key for group in groups for key in group if isinstance(key, Key)]
    found += [value for value in vars(keys).values() if isinstance(value, Key)]
    return {key.id: key for key in found}


def test_every_key_can_be_another() -> None:
    assert set(every_key()) <= set(keys.ids())
