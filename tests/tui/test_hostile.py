"""Text that was logged does nothing on any screen: no escape, no markup, no action."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.testing import decision_record

HOSTILE = [
    "\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJmIC8=\x07", "\x1b]8;;http://x\x1b\\",
    "\x9b31mred", "a\rb\x08c", "a\u202eb\u202c\u2066x", "\u200e\u200f", "x\u2028y", "\ufeff",
    "[@click=app.quit]press[/]", "[@click=app.bell()]x[/@click]", "[bold red on blue]x[/]", "[/]",
    "[link=http://x]y[/link]", "$primary", "\x00", "\U000e0041", "\t=1+1", "漢字" * 40,
    "e\u0301" * 30,
]  # fmt: skip


def record(number: int, text: str) -> dict[str, Any]:
    step = {"id": text, "kind": text, "component": text, "version": text, "error": text,
            "inputs": {text: text}, "outputs": {"x": text}}  # fmt: skip
    return decision_record(
        decision_id=f"d-{number}",
        request_id=f"r-{number}",
        outcome=text,
        environment=text,
        region=text,
        subject={"id": "s", "purpose": text},
        model={"name": text, "version": text},
        config={"name": text, "revision": text, "values": {"note": text}},
        features={"x": text, "n": 1},
        feature_sources=[{"view": text, "features": ["x"], "dataset": text, "status": text}],
        consumer={"name": text, "received": text, "action": text},
        steps=[step],
        my_own={text: [text]},
    )


@pytest.fixture
def hostile(lake: Path, take_in: Callable[..., Any]) -> Path:
    report = take_in(record(number, text) for number, text in enumerate(HOSTILE))
    assert not report.quarantined
    return lake


def test_no_screen_obeys_what_was_logged(
    hostile: Path, seated: Any, assert_inert: Callable[[str], None]
) -> None:
    async def session() -> None:
        async with seated(hostile, size=(200, 60)) as seat:
            text = await seat.see(f"1 of {len(HOSTILE)}")
            assert_inert(text)
            assert "[@click=app.quit]press[/]" in text
            assert "\\x1b[2J" in text
            for _ in HOSTILE:
                await seat.press("l", "y", "h", "o", "j")
                assert_inert(seat.text)
                assert_inert(seat.app.clipboard)
            await seat.press("c", "escape")
            await seat.press("g", "enter")
            for _ in HOSTILE:
                await seat.see(lambda text: "replaying" not in text and "reading" not in text)
                for _ in range(8):
                    await seat.press("right_square_bracket")
                    assert_inert(seat.text)
                await seat.press("O")
            assert seat.app.is_running

    asyncio.run(session())


def test_a_click_on_markup_does_nothing(hostile: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(hostile, size=(200, 60)) as seat:
            text = await seat.see("press[/]")
            (y,) = (at for at, line in enumerate(text.splitlines()) if "press[/]" in line)
            x = text.splitlines()[y].index("press")
            await seat.pilot.click(offset=(x + 1, y))
            await seat.press("j")
            assert seat.app.is_running
            assert seat.app.return_code in (None, 0)

    asyncio.run(session())


def test_what_a_person_types_is_no_markup_either(hostile: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(hostile) as seat:
            await seat.see(f"1 of {len(HOSTILE)}")
            seat.app.screen.bar.query_one("#condition").value = "'[@click=app.quit]x[/]' ="
            text = await seat.see("Not an expression")
            assert "[@click=app.quit]" in text

    asyncio.run(session())


def test_ids_and_features_full_of_it_open(
    lake: Path, take_in: Callable[..., Any], seated: Any, assert_inert: Callable[[str], None]
) -> None:
    ids = ["[@click=app.quit]x[/]", "a' or 1=1 --", "%s{0}$x", "[/]", "漢字" * 20]
    take_in(
        decision_record(
            request_id=text,
            decision_id=f"{text} decision",
            subject={"id": text},
            features={text: 1.5, "[bold]": "[/]"},
        )
        for text in ids
    )

    async def session() -> None:
        async with seated(lake, size=(120, 40)) as seat:
            await seat.see(f"1 of {len(ids)}")
            for place in range(len(ids)):
                await seat.press("enter")
                await seat.see("[summary]")
                await seat.see(lambda text: "replaying" not in text)
                for _ in range(7):
                    await seat.press("right_square_bracket")
                    assert_inert(seat.text)
                await seat.press("o", "y", "ctrl+y", "escape")
                await seat.see(f"{place + 1} of")
                await seat.press("j")

    asyncio.run(session())
